"""Inputs and outputs that somebody declares by name."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import onnxruntime
import pytest

import exporter
from exporter.errors import UsageError
from exporter.onnx import FeaturesManager, OnnxConfig, export, models, validate_model_outputs
from exporter.onnx.boundary import choose_tensors, closed_dims, name_dims
from exporter.planning.plan import Plan


class Declared(OnnxConfig):
    """A config somebody wrote: two of the three inputs, the other way round, one length, and names of their own."""

    @property
    def inputs(self) -> OrderedDict[str, dict[int, str]]:
        return OrderedDict([("attention_mask", {0: "rows"}), ("input_ids", {0: "rows"})])


def test_a_declared_boundary_is_what_the_graph_has(masked_lm, tmp_path: Path):
    model = FeaturesManager.get_model_from_feature("masked-lm", str(masked_lm))
    config = Declared(model.config, task="masked-lm")
    inputs, outputs = export(None, model, config, 14, tmp_path / "model.onnx")
    assert (inputs, outputs) == (["attention_mask", "input_ids"], ["logits"])
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    assert [(value.name, value.shape) for value in session.get_inputs()] == [
        ("attention_mask", ["rows", 8]),
        ("input_ids", ["rows", 8]),
    ]
    assert [value.shape for value in session.get_outputs()] == [["rows", 8, 50]]
    validate_model_outputs(config, None, model, tmp_path / "model.onnx", outputs, config.atol_for_validation)


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ({"input_id": {0: "batch"}}, "did you mean 'input_ids'?"),
        ({"input_ids": {0: "batch", 2: "width"}}, "the axis 2 of 'input_ids' does not exist"),
        ({"input_ids": {0: "n", 1: "n"}}, "cannot be called 'n'"),
        ({"input_ids": {0: "sequence", 1: "length"}}, "cannot be called 'sequence'"),
        ({"input_ids": {0: "batch", 1: "past + sequence"}}, "does not say so"),
    ],
)
def test_a_declared_boundary_that_cannot_be_is_refused(inputs: dict[str, dict[int, str]], reason: str):
    kind = type("Kind", (OnnxConfig,), {"inputs": property(lambda self: inputs)})
    with pytest.raises(UsageError) as failure:
        kind(models.BertConfig()).plan()
    assert reason in f"{failure.value.message} {failure.value.help}"


BERT_AXES = {name: {0: "batch", 1: "sequence"} for name in ("input_ids", "attention_mask", "token_type_ids")}
HIDDEN = {"last_hidden_state": {0: "batch", 1: "sequence"}}


@pytest.fixture(scope="module")
def plan() -> Plan:
    return exporter.plan("bert", "feature-extraction")


def test_an_axis_that_a_declaration_leaves_out_is_closed_at_its_traced_size(plan: Plan):
    assert closed_dims(plan, BERT_AXES) == {}
    assert closed_dims(plan, {**BERT_AXES, "input_ids": {0: "batch"}}) == {
        "sequence": plan.sizes.trace.sizes["sequence"]
    }
    # An input that is left out altogether closes nothing.
    assert closed_dims(plan, {"input_ids": {0: "batch", 1: "sequence"}}) == {}


def test_dims_are_called_what_a_declaration_calls_them(plan: Plan):
    assert name_dims(plan, BERT_AXES, HIDDEN) == {}
    rows = {name: {0: "rows", 1: "sequence"} for name in BERT_AXES}
    assert name_dims(plan, rows, HIDDEN | {"last_hidden_state": {0: "rows", 1: "sequence"}}) == {"batch": "rows"}
    with pytest.raises(
        UsageError, match="the axis 0 of 'last_hidden_state' is batch long and cannot be called 'lines'"
    ):
        name_dims(plan, rows, {"last_hidden_state": {0: "lines"}})
    with pytest.raises(UsageError, match=r"the axis 2 of 'last_hidden_state' has one length, \d+"):
        name_dims(plan, BERT_AXES, {"last_hidden_state": {2: "hidden"}})


def test_tensors_are_chosen_in_the_order_declared(plan: Plan):
    graph = choose_tensors(plan.graphs[0], dict(reversed(BERT_AXES.items())), HIDDEN)
    assert [tensor.name for tensor in graph.inputs] == ["token_type_ids", "attention_mask", "input_ids"]
    assert graph.built == plan.graphs[0].built
    with pytest.raises(UsageError, match="has no output 'logits'"):
        choose_tensors(plan.graphs[0], BERT_AXES, {"logits": {}})
