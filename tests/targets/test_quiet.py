"""What libraries say while they record is kept off the terminal, and no longer."""

from __future__ import annotations

import logging
import warnings

import pytest

from exporter.targets.quiet import quiet_libraries


def test_warnings_and_named_loggers_are_silent_while_it_lasts(caplog: pytest.LogCaptureFixture):
    named, other = logging.getLogger("test.named"), logging.getLogger("test.other")
    with quiet_libraries("test.named"):
        warnings.warn("a size may be baked in", UserWarning, stacklevel=1)
        named.warning("advice")
        named.error("a failure")
        other.warning("somebody else's")
    assert [record.getMessage() for record in caplog.records] == ["a failure", "somebody else's"]


def fail_quietly(name: str) -> None:
    with quiet_libraries(name):
        raise ValueError("the tracer failed")


def test_all_is_as_before_after_a_failure():
    logger = logging.getLogger("test.failed")
    logger.setLevel(logging.DEBUG)
    with pytest.raises(ValueError, match="the tracer failed"):
        fail_quietly("test.failed")
    assert logger.level == logging.DEBUG


def test_all_is_as_before_afterwards():
    logger = logging.getLogger("test.restored")
    logger.setLevel(logging.INFO)
    with quiet_libraries("test.restored"):
        assert logger.level == logging.ERROR
    assert logger.level == logging.INFO
    with pytest.warns(UserWarning, match="heard again"):
        warnings.warn("heard again", UserWarning, stacklevel=1)
