"""What the program of a card is run with: the loop that fits the graphs, and inputs that they take."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import exporter
from exporter.artifacts.facts import Facts
from exporter.artifacts.snippet import describe_programs
from exporter.planning.dtypes import NUMPY_DTYPES
from exporter.planning.plan import FillPlan, Plan

TEXT = "text2text-generation-with-past"


@pytest.mark.parametrize(
    ("architecture", "task", "options", "kind"),
    [
        ("bert", "fill-mask", {}, "plain"),
        ("gpt2", "text-generation", {}, "plain"),
        ("gpt2", "text-generation-with-past", {}, "decoder"),
        ("gpt2", "text-generation-with-past", {"dims": {"batch": 1}}, "plain"),
        ("t5", "text2text-generation", {}, "encoder-decoder"),
        ("t5", TEXT, {}, "encoder-decoder"),
        ("t5", TEXT, {"layout": "transformers-js"}, "encoder-decoder"),
        ("t5", TEXT, {"monolith": True}, "plain"),
    ],
)
def test_the_loop_fits_the_graphs(architecture: str, task: str, options: dict[str, Any], kind: str) -> None:
    plan = exporter.plan(architecture, task, **options)
    described = describe_programs(plan, Facts())
    assert described["kind"] == kind
    runs = ["encoder_model.onnx"] if kind == "encoder-decoder" else [graph.file for graph in plan.graphs]
    assert [run["file"].rpartition("/")[2] for run in described["runs"]] == runs


@pytest.mark.parametrize(("layout", "batch"), [("flat", "batch"), ("transformers-js", "batch_size")])
def test_a_loop_has_one_text_and_the_batch_as_the_layout_calls_it(layout: str, batch: str) -> None:
    described = describe_programs(exporter.plan("t5", TEXT, layout=layout), Facts())
    assert described["batch"] == batch
    (run,) = described["runs"]
    ids = next(given for given in run["inputs"] if given.name == "input_ids")
    assert "(1, " in ids.expression
    assert described["has_past"]


def test_a_start_token_beyond_the_vocabulary_is_not_used() -> None:
    plan = exporter.plan("t5", TEXT)
    vocabulary = plan.graphs[-1].outputs[0].shape[-1]
    last = int(vocabulary) - 1
    assert describe_programs(plan, Facts(start=(last,)))["start"] == [last]
    assert describe_programs(plan, Facts(start=(last, 3)))["start"] == [last, 3]
    assert describe_programs(plan, Facts(start=(last + 1,)))["start"] == [0]
    assert describe_programs(plan, Facts(start=(last, last + 1)))["start"] == [last]


def with_fill(plan: Plan, fill: FillPlan, dtype: str) -> Plan:
    (graph,) = plan.graphs
    tensors = (replace(graph.inputs[0], fill=fill, dtype=dtype), *graph.inputs[1:])
    return replace(plan, graphs=(replace(graph, inputs=tensors),))


@pytest.mark.parametrize(
    ("fill", "dtype"),
    [
        (FillPlan("randint", (99,)), "int64"),
        (FillPlan("randint", (3, 99), ending=2), "int64"),
        (FillPlan("arange", (2,)), "int64"),
        (FillPlan("arange", ()), "int64"),
        (FillPlan("bernoulli", (0.5,)), "bool"),
        (FillPlan("bernoulli", (0.5,)), "int64"),
        (FillPlan("padding", ()), "int64"),
        (FillPlan("ones", ()), "float16"),
        (FillPlan("zeros", ()), "bool"),
        (FillPlan("randn", ()), "float32"),
        (FillPlan("rand", ()), "float64"),
    ],
)
def test_an_expression_gives_the_shape_and_the_dtype(fill: FillPlan, dtype: str) -> None:
    plan = with_fill(exporter.plan("bert", "fill-mask"), fill, dtype)
    given = describe_programs(plan, Facts())["runs"][0]["inputs"][0]
    array = eval(given.expression, {"np": np, "rng": np.random.default_rng(0)})
    assert array.shape == plan.graphs[0].inputs[0].sizes_at(plan.sizes.trace.sizes)
    assert array.dtype == NUMPY_DTYPES[dtype]
    assert given.ending == fill.ending


def test_a_program_makes_bfloat16_in_float32() -> None:
    plan = with_fill(exporter.plan("bert", "fill-mask"), FillPlan("randn", ()), "bfloat16")
    given = describe_programs(plan, Facts())["runs"][0]["inputs"][0]
    assert eval(given.expression, {"np": np, "rng": np.random.default_rng(0)}).dtype == np.float32


def test_boxes_have_their_corners_in_order() -> None:
    plan = exporter.plan("layoutlm", "fill-mask")
    given = {given.name: given for given in describe_programs(plan, Facts())["runs"][0]["inputs"]}["bbox"]
    boxes = eval(given.expression, {"np": np, "rng": np.random.default_rng(0)})
    assert boxes.shape[-1] == 4
    assert (boxes[..., :2] <= boxes[..., 2:]).all()
