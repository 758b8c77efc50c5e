"""What is asked of a checkpoint crosses a process as data."""

from __future__ import annotations

import json

import pytest

from exporter import records
from exporter.models.checkpoints import Source


@pytest.mark.parametrize(
    "source",
    [Source("organization/model"), Source("here", "main", "flax", "/cache", trust_remote_code=True, subfolder="a/b")],
    ids=["name-alone", "everything"],
)
def test_a_source_comes_back_from_data(source: Source) -> None:
    assert records.from_data(Source, json.loads(json.dumps(records.to_data(source)))) == source


def test_a_checkpoint_runs_no_code_of_its_own_unless_told() -> None:
    assert Source("model").trust_remote_code is False
