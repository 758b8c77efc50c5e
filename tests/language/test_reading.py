"""Trees are read into the values of a spec, and what cannot be read is a finding at its place."""

from __future__ import annotations

from typing import Any

import pytest

from exporter.language.document import Mapping, Scalar, parse_document
from exporter.language.reading import (
    Reader,
    read_config,
    read_float,
    read_minimum_opsets,
    read_text,
    read_variants,
)
from exporter.language.spec import DerivedDim, DynamicDim, StaticDim, TaskSpec
from exporter.language.text import Text


def tree(text: str) -> Mapping:
    document = parse_document(Text("example.yaml", text))
    assert document.root is not None, document.diagnostics
    return document.root


def node(text: str) -> Any:
    return tree(f"value: {text}").get("value")


def read_task(text: str, name: str = "fill-mask") -> tuple[TaskSpec, list[str]]:
    """Return a task, and the rules of what is wrong with it."""
    reader, body = Reader(), tree(text)
    task = reader.task(name, Scalar(name, body.span), body)
    return task, [finding.rule for finding in reader.diagnostics]


def test_dims_are_of_three_kinds():
    reader = Reader()
    text = "batch: {trace: 2, check: [1, 3]}\nhidden: config.hidden_size\nlabels: 7\nrows: {derived: batch // 2}\n"
    dims = dict(reader.dims(tree(text)))
    assert reader.diagnostics == []
    assert isinstance(dims["batch"], DynamicDim)
    assert (dims["batch"].trace, dims["batch"].check) == (2, (1, 3))
    assert [span.text for span in dims["batch"].check_spans] == ["1", "3"]
    assert isinstance(dims["hidden"], StaticDim)
    assert getattr(dims["hidden"].value, "text", None) == "config.hidden_size"
    assert isinstance(dims["labels"], StaticDim)
    assert dims["labels"].value == 7
    assert isinstance(dims["rows"], DerivedDim)


@pytest.mark.parametrize(
    ("text", "rule", "place"),
    [
        ("batch: {trace: 2}", "missing-key", "batch"),
        ("batch: {check: [2]}", "missing-key", "batch"),
        ("rows: {derived: batch // 2, trace: 4}", "malformed-expression", "rows"),
        ("hidden: config.hidden_size //", "malformed-expression", "config.hidden_size //"),
    ],
)
def test_a_dim_that_cannot_be_read_is_a_finding(text: str, rule: str, place: str):
    reader = Reader()
    list(reader.dims(tree(text)))
    (finding,) = reader.diagnostics
    assert finding.rule == rule
    assert place.startswith(finding.span.text) or finding.span.text in place


def test_a_task_of_one_graph_has_its_patches_itself():
    task, rules = read_task(
        "patches: {kept-masks: the mask is left out}\n"
        "inputs: {input_ids: 'int64[batch, sequence] = randint(vocab)'}\n"
        "outputs: {logits: 'float[batch, sequence, vocab]'}\n"
    )
    assert rules == []
    assert task.patches == {"kept-masks": "the mask is left out"}
    (graph,) = task.graphs
    assert (graph.component, dict(graph.patches)) == ("model", {})
    assert [tensor.name for tensor in (*graph.inputs, *graph.outputs)] == ["input_ids", "logits"]


def test_a_component_has_its_own_patches_and_refusals():
    task, rules = read_task(
        "components:\n"
        "  encoder:\n"
        "    patches: {kept-masks: the mask is left out}\n"
        "    refused: {dynamo: the loop is not recorded}\n"
        "    inputs: {input_ids: 'int64[batch, sequence] = randint(vocab)'}\n"
        "    outputs: {last_hidden_state: 'float[batch, sequence, hidden]'}\n"
        "  decoder:\n"
        "    inputs: {input_ids: 'int64[batch, sequence] = randint(vocab)'}\n"
        "    outputs: {logits: 'float[batch, sequence, vocab]'}\n",
        "text2text-generation",
    )
    assert rules == []
    encoder, decoder = task.graphs
    assert (encoder.component_stem, decoder.component_stem) == ("encoder_model", "decoder_model")
    assert (dict(encoder.patches), dict(encoder.refused)) == (
        {"kept-masks": "the mask is left out"},
        {"dynamo": "the loop is not recorded"},
    )
    assert (dict(decoder.patches), dict(decoder.refused), dict(task.patches)) == ({}, {}, {})


def test_a_present_is_read_from_the_cache_of_the_model():
    task, _ = read_task(
        "inputs: {past_key_values.0.key: {type: 'float[batch, 4] = randn', argument: none}}\n"
        "outputs: {present.0.key: 'float[batch, 4]', logits: {type: 'float[batch]', field: scores}}\n"
    )
    (graph,) = task.graphs
    assert [tensor.field for tensor in graph.outputs] == ["past_key_values.0.key", "scores"]
    assert [tensor.argument for tensor in graph.inputs] == [""]


@pytest.mark.parametrize(
    "text",
    [
        "inputs: {input_ids: 'int64[batch'}",
        "inputs: {input_ids: 'int64[batch, sequence]'}",
        "outputs: {logits: 'float[batch] = randn'}",
        "inputs: {position_ids: 'int64[batch, sequence] = positions(input_ids)'}",
        "arguments: {position_ids: 'int64[batch, sequence] = positions(input_ids)'}",
        "arguments: {noise: 'float[batch] = randn'}",
    ],
)
def test_a_tensor_that_cannot_be_is_left_out_or_said(text: str):
    _, rules = read_task(text)
    assert rules == ["malformed-tensor"]


def test_the_tracer_and_what_is_refused_come_with_their_reasons():
    task, rules = read_task(
        "tracer: {use: dynamo, because: the loop is unrolled by the other}\n"
        "refused:\n"
        "  float16: overflows\n"
        "  sparse: {when: config.sparse, because: gathers by content}\n"
        "notes: {attention: {when: config.sparse, text: 'blocks of {block}'}}\n"
        "targets: {neuron: {static: [sequence], because: compiled, settings: {optlevel: 1}}}\n"
    )
    assert rules == []
    assert (task.tracer.name, task.tracer.because) == ("dynamo", "the loop is unrolled by the other")
    assert dict(task.refused) == {"float16": "overflows"}
    assert task.refused_when["sparse"].when.text == "config.sparse"
    assert [(note.text, note.dims) for note in task.notes] == [("blocks of {block}", ["block"])]
    assert (task.targets["neuron"].static, dict(task.targets["neuron"].settings)) == (("sequence",), {"optlevel": 1})


@pytest.mark.parametrize("text", ["tolerances: {float32: {atol: 1}}", "notes: {a: {when: config.a}}"])
def test_what_has_no_default_is_asked_for(text: str):
    assert read_task(text)[1] == ["missing-key"]


def test_plain_values():
    assert (read_text(node("word")), read_text(node("null")), read_text(node("[a]")), read_text(None)) == (
        "word",
        None,
        None,
        None,
    )
    assert (read_float(node("1.5"), 2.0), read_float(node("3"), 2.0), read_float(node("word"), 2.0)) == (1.5, 3.0, 2.0)
    assert (read_config(node("{a: {b: 1}}")), read_config(node("word")), read_config(None)) == ({"a": {"b": 1}}, {}, {})
    assert read_variants(node("[{a: 1}, {b: 2}]")) == ({"a": 1}, {"b": 2})
    assert read_variants(None) == ()


def test_the_lowest_opset_of_a_dtype_is_its_own_where_that_is_higher():
    opsets = dict(read_minimum_opsets(node("{minimum: 14, because: Trilu, bfloat16: {minimum: 18, because: Resize}}")))
    assert {dtype: minimum.opset for dtype, minimum in opsets.items()} == {
        "float32": 14,
        "float16": 14,
        "bfloat16": 18,
    }
    assert opsets["bfloat16"].because == "Resize"
    assert dict(read_minimum_opsets(None)) == {}
