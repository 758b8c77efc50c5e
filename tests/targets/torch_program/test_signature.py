"""The sidecar of a torch program: names, dtypes and dims in order, and what differs from the plan."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

import exporter
from exporter.planning.plan import Plan
from exporter.targets.torch_program.signature import (
    SIGNATURE_VERSION,
    make_signature,
    signature_path,
    signature_problems,
    write_signature,
)


@pytest.fixture(scope="module")
def plan() -> Plan:
    return exporter.plan("distilbert", "feature-extraction", target="torchscript", dims={"sequence": 12})


def test_a_signature_has_the_tensors_in_order(plan: Plan, tmp_path: Path):
    (graph,) = plan.graphs
    write_signature(tmp_path, graph, plan, {"batch": "dynamic"})
    written = json.loads((tmp_path / "model.json").read_text("utf-8"))
    assert written == make_signature(graph, plan, {"batch": "dynamic"})
    assert written["signature_version"] == SIGNATURE_VERSION
    assert written["target"] == "torchscript"
    assert [tensor["name"] for tensor in written["inputs"]] == ["input_ids", "attention_mask"]
    assert written["inputs"][0] == {"name": "input_ids", "dtype": "int64", "shape": ["batch", 12]}
    assert written["outputs"][0]["name"] == "last_hidden_state"
    # A dim that was fixed has one size.
    assert written["dims"] == {"batch": "dynamic", "sequence": 12}
    assert signature_problems(tmp_path, graph, plan) == []


def test_it_lies_beside_the_program_by_the_same_name(plan: Plan, tmp_path: Path):
    graph = dataclasses.replace(plan.graphs[0], file="decoder_model.pt2")
    assert signature_path(tmp_path, graph) == tmp_path / "decoder_model.json"


@pytest.mark.parametrize("role", ["inputs", "outputs"])
@pytest.mark.parametrize("change", [{"name": "other"}, {"dtype": "int32"}, {"shape": [1, 12]}])
def test_another_signature_than_planned_is_named(plan: Plan, tmp_path: Path, role: str, change: dict[str, object]):
    (graph,) = plan.graphs
    signature = make_signature(graph, plan, {})
    signature[role][0] |= change
    (tmp_path / "model.json").write_text(json.dumps(signature), "utf-8")
    assert signature_problems(tmp_path, graph, plan) == [f"model.json: its {role} are not those planned"]


@pytest.mark.parametrize("text", [None, "", "{", "\udcff"])
def test_a_sidecar_that_cannot_be_read_is_named(plan: Plan, tmp_path: Path, text: str | None):
    if text is not None:
        (tmp_path / "model.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert signature_problems(tmp_path, plan.graphs[0], plan) == ["model.json is missing or damaged"]
