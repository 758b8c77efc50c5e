"""The catalogue as text, table and data, and a composed spec with the places of its values."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from exporter import api
from exporter.cli.render import catalogue
from exporter.cli.render.catalogue import (
    catalogue_data,
    catalogue_markdown,
    catalogue_text,
    composed_data,
    composed_text,
)
from exporter.language.loading import load_spec
from exporter.language.spec import DTYPES, TRACERS
from exporter.targets.registry import TARGETS


def test_data_has_every_task_with_every_target():
    (entry,) = catalogue_data([load_spec("bert")])
    assert (entry["architecture"], entry["family"]) == ("bert", "encoder")
    assert [task["task"] for task in entry["tasks"]] == list(load_spec("bert").tasks)
    for task in entry["tasks"]:
        assert list(task["targets"]) == list(TARGETS)
        assert set(task["tracers"]) <= set(TRACERS)
        assert set(task["dtypes"]) <= set(DTYPES)
        assert not {*task["tracers"], *task["dtypes"]} & set(task["refused"])
    assert json.loads(json.dumps(entry)) == entry


def test_a_line_has_a_task_and_all_it_can_be_had_as():
    first, *rest, last = catalogue_text([load_spec("vit")])
    assert first == "vit  (image)"
    assert last == f"1 architecture, {len(load_spec('vit').tasks)} tasks"
    (line,) = (line for line in rest if line.startswith("  image-classification"))
    assert all(name in line for name in ("torchscript", "float32", *TARGETS))


def test_what_is_refused_stands_below_its_task():
    spec = load_spec("bert")
    task = replace(spec.tasks["fill-mask"], refused={"dynamo": "a loop depends on data"})
    lines = list(catalogue_text([replace(spec, tasks={"fill-mask": task})]))
    assert "    not dynamo: a loop depends on data" in lines
    assert "dynamo" not in lines[1]
    table = catalogue_markdown([replace(spec, tasks={"fill-mask": task})])
    assert "1. `dynamo` is refused: a loop depends on data" in table
    # The one task of the architecture has the note, so its number stands beside the name.
    assert "| [bert](specs/bert.yaml) <sup>1</sup> | ✓ |" in table


def test_the_columns_of_a_table_are_tasks_without_and_with_past():
    rows = catalogue_markdown([load_spec("gpt2")]).splitlines()
    (head,) = (row for row in rows if row.startswith("| decoder |"))
    assert "-with-past" not in head
    (row,) = (row for row in rows if row.startswith("| [gpt2]"))
    cells = dict(zip(head.split(" | ")[1:], row.split(" | ")[1:], strict=True))
    assert cells["text-generation"].startswith("✓ +past")
    assert len(re.findall(r"\|", head)) == len(re.findall(r"\|", row))


def test_the_key_follows_the_targets(monkeypatch: pytest.MonkeyPatch):
    key = catalogue_markdown([load_spec("vit")]).splitlines()[0]
    open_ended = [name for name, target in TARGETS.items() if not target.all_static]
    assert all(f"`{name}`" in key for name in TARGETS)
    assert key.index(f"`{open_ended[-1]}`") < key.index("at fixed sizes, `neuron`")
    only = {name: TARGETS[name] for name in open_ended[:1]}
    monkeypatch.setattr(catalogue, "TARGETS", only)
    assert f"as every target (`{open_ended[0]}`) that no number refuses" in catalogue_markdown([load_spec("vit")])


def test_a_composed_spec_names_the_place_of_every_value():
    tree = api.compose("distilbert")
    lines = list(composed_text(tree))
    assert re.match(r"architecture: distilbert +# specs/distilbert.yaml:\d+$", lines[1])
    assert "tasks:" in lines
    assert any(re.search(r"# specs/families/encoder.yaml:\d+$", line) for line in lines)
    data = composed_data(tree)
    assert data["extends"]["value"] == "encoder"
    assert re.fullmatch(r"specs/distilbert.yaml:\d+", data["extends"]["from"])


def test_empty_mappings_and_lists_are_shown(tmp_path):
    text = """\
spec_version: 1
architecture: example
extends: encoder
tasks:
  fill-mask: {}
reference:
  config: {hidden_size: 32, vocab_size: 99, sizes: [1, 2], name: }
"""
    (tmp_path / "example.yaml").write_text(text, "utf-8")
    tree = api.compose(str(tmp_path / "example.yaml"))
    shown = "\n".join(composed_text(tree))
    assert re.search(r"^    sizes: \[1, 2\] +# .*example.yaml:7$", shown, re.MULTILINE)
    assert re.search(r"^    name: null +# ", shown, re.MULTILINE)
    assert [item["value"] for item in composed_data(tree)["reference"]["config"]["sizes"]] == [1, 2]
