"""What a spec declares against what its model does, each disagreement with its place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

import exporter
from exporter.building.request import plan_config
from exporter.errors import ExportError
from exporter.language.diagnostics import Diagnostic
from exporter.models.examination import check_outputs, examine_outputs, examine_spec
from exporter.models.references import make_reference
from exporter.planning.plan import Axis, Plan, TensorPlan

SPEC: dict[str, Any] = {
    "spec_version": 1,
    "architecture": "distilbert",
    "extends": "encoder",
    "tasks": {"fill-mask": {}},
    "reference": {
        "config": {
            "dim": 24,
            "n_layers": 1,
            "n_heads": 3,
            "hidden_dim": 20,
            "max_position_embeddings": 64,
            "vocab_size": 99,
        }
    },
}


@pytest.fixture(scope="module")
def planned() -> tuple[Any, Plan]:
    plan = exporter.plan("distilbert", "fill-mask")
    return make_reference(plan), plan


def change_output(plan: Plan, change: Callable[[TensorPlan], TensorPlan]) -> Plan:
    """Return the plan with another first output."""
    (graph,) = plan.graphs
    return replace(plan, graphs=(replace(graph, outputs=(change(graph.outputs[0]), *graph.outputs[1:])),))


def rules_of(planned: tuple[Any, Plan], plan: Plan) -> list[str]:
    mismatches = examine_outputs(planned[0], plan.graphs[0], plan, plan.sizes.trace)
    return [mismatch.rule.name for mismatch in mismatches]


def test_a_graph_that_is_as_declared_has_no_mismatch(planned: tuple[Any, Plan]) -> None:
    assert rules_of(planned, planned[1]) == []
    check_outputs(planned[0], planned[1].graphs[0], planned[1])


@pytest.mark.parametrize(
    ("change", "rules"),
    [
        (lambda output: replace(output, dtype="float16"), ["shape-disagrees"]),
        (lambda output: replace(output, shape=(Axis("sequence"), *output.shape[1:])), ["shape-disagrees"]),
        (lambda output: replace(output, path=("scores",)), ["undeclared-output", "missing-output"]),
    ],
    ids=["dtype", "shape", "name"],
)
def test_an_output_that_is_not_as_declared_is_named(
    change: Callable[[TensorPlan], TensorPlan], rules: list[str], planned: tuple[Any, Plan]
) -> None:
    plan = change_output(planned[1], change)
    assert rules_of(planned, plan) == rules
    with pytest.raises(ExportError, match="logits"):
        check_outputs(planned[0], plan.graphs[0], plan)


def test_a_model_that_refuses_its_inputs_is_told(planned: tuple[Any, Plan], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError

    model, plan = planned
    monkeypatch.setattr(model, "forward", refuse)
    with pytest.raises(
        ExportError, match="refuses the inputs declared for 'model' of distilbert fill-mask: AssertionError"
    ):
        check_outputs(model, plan.graphs[0], plan)


def examine(folder: Path, **changes: Any) -> list[Diagnostic]:
    path = folder / "distilbert.yaml"
    path.write_text(yaml.safe_dump({**SPEC, **changes}, sort_keys=False), "utf-8")
    return examine_spec(exporter.load_spec(path), plan_config)


def test_a_spec_that_agrees_with_its_model_has_no_findings(tmp_path: Path) -> None:
    assert examine(tmp_path) == []


def test_an_embedding_is_examined_with_what_makes_it(tmp_path: Path) -> None:
    """The tasks beside it have the same class and config, and their model makes none."""
    assert examine(tmp_path, tasks={"feature-extraction": {}, "sentence-similarity": {}}) == []


def test_a_key_that_the_config_does_not_have_is_found_where_it_is(tmp_path: Path) -> None:
    config = {**SPEC["reference"]["config"], "n_layer": 3}
    (finding,) = examine(tmp_path, reference={"config": config})
    assert (finding.rule, finding.help) == ("unknown-config-key", "did you mean 'n_layers'?")
    text = (tmp_path / "distilbert.yaml").read_text("utf-8")
    assert "n_layer" in text[finding.span.start : finding.span.end + 20]


def test_a_reference_that_does_not_build_is_found(tmp_path: Path) -> None:
    config = {**SPEC["reference"]["config"], "n_heads": 5}
    findings = examine(tmp_path, reference={"config": config})
    assert [finding.rule for finding in findings] == ["reference-does-not-build"]
    assert "distilbert" in findings[0].message


def test_a_task_that_the_architecture_has_no_class_for_is_found(tmp_path: Path) -> None:
    findings = examine(tmp_path, tasks={"fill-mask": {"class": "DistilBertForNothing"}})
    assert [finding.rule for finding in findings] == ["no-auto-class"]
    assert "DistilBertForNothing" in findings[0].message
