from __future__ import annotations

from collections.abc import Iterator

import pytest

from exporter.models.architectures import one_thread


@pytest.fixture(autouse=True)
def alone() -> Iterator[None]:
    """The models are tiny, and threads of several tests at once would wait for one another."""
    with one_thread():
        yield
