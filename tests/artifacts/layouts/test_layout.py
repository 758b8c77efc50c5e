"""A layout that asks nothing and adds nothing, and finding one by its name."""

from __future__ import annotations

from pathlib import Path

import pytest

import exporter
from exporter.artifacts.layouts import DEFAULT_LAYOUT, LAYOUTS, find_layout
from exporter.artifacts.layouts.layout import Layout
from exporter.errors import UsageError
from exporter.models.checkpoints import Checkpoint
from exporter.planning.arrangement import Arrangement


def test_a_plain_layout_asks_nothing_and_adds_nothing(tmp_path: Path) -> None:
    layout = Layout(Arrangement("plain"), "nothing else")
    plan = exporter.plan("bert", "fill-mask")
    layout.check(None, exporter.load_spec("bert").tasks["fill-mask"])
    layout.finish(tmp_path, plan, Checkpoint(tmp_path, "mine", ()), None)
    assert list(tmp_path.iterdir()) == []
    assert (layout.name, layout.library) == ("plain", None)


def test_every_layout_is_found_by_its_own_name() -> None:
    assert {name: find_layout(name).name for name in LAYOUTS} == {name: name for name in LAYOUTS}
    assert find_layout(DEFAULT_LAYOUT).arrangement == Arrangement("flat")
    assert all(layout.description for layout in LAYOUTS.values())


def test_an_unknown_layout_is_told_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="unknown layout 'transformer-js'") as refusal:
        find_layout("transformer-js")
    assert refusal.value.help == "did you mean 'transformers-js'?"
