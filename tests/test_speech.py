"""Libraries speak where somebody asks for it, in processes that are started later too."""

from __future__ import annotations

import os
import warnings

import pytest

from exporter.speech import let_libraries_speak, libraries_speak
from exporter.targets.quiet import quiet_libraries


@pytest.fixture(autouse=True)
def silence(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("EXPORTER_VERBOSE", "0")


def test_it_is_told_to_processes_by_the_environment():
    assert not libraries_speak()
    let_libraries_speak(spoken=True)
    assert libraries_speak()
    assert os.environ["EXPORTER_VERBOSE"] == "1"
    let_libraries_speak(spoken=False)
    assert not libraries_speak()
    assert "EXPORTER_VERBOSE" not in os.environ


def test_warnings_of_tracers_are_heard_where_they_are_asked_for():
    with quiet_libraries():
        warnings.warn("a size may be baked in", UserWarning, stacklevel=1)
    let_libraries_speak(spoken=True)
    with pytest.warns(UserWarning, match="baked in"), quiet_libraries():
        warnings.warn("a size may be baked in", UserWarning, stacklevel=1)
