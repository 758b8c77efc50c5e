"""What outputs depend on, measured in the bounds they are compared within."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from exporter.planning.dependence import CLEARLY, Observed, change_inputs, find_independent
from exporter.planning.dummies import make_dummies
from exporter.planning.plan import Axis, Bound, FillPlan, GraphPlan, Point, TensorPlan

BATCH, SEQUENCE = Axis("batch"), Axis("sequence")
POINT = Point("trace", {"batch": 2, "sequence": 8})
BOUND = Bound(1e-3, 0.0, "element", None)


def tensor(name: str, fill: str, *args: int, dtype: str = "int64", unused: str | None = None) -> TensorPlan:
    return TensorPlan(name, dtype, (BATCH, SEQUENCE), (name,), FillPlan(fill, args), unused)


IDS, MASK = tensor("ids", "randint", 90), tensor("mask", "padding")


def graph_of(*inputs: TensorPlan, outputs: tuple[str, ...] = ("logits",)) -> GraphPlan:
    planned = tuple(TensorPlan(name, "float32", (BATCH,), (name,)) for name in outputs)
    return GraphPlan("model", "model.x", ("model.x",), None, {}, (), inputs, planned, ())


def lines(graph: GraphPlan, run: Callable[[Mapping[str, Any]], list[Any]], bound: Bound = BOUND) -> list[str]:
    inputs = make_dummies(graph, POINT, 0)
    return find_independent(run, graph, Observed(POINT, inputs, run(inputs)), bound, CLEARLY["float32"])


def masked(inputs: Mapping[str, Any], weight: float = 1.0) -> list[Any]:
    ids = inputs["ids"].mean(-1)
    return [(ids + weight * (inputs["ids"] * inputs["mask"]).mean(-1)).astype("float32")]


def test_an_output_that_follows_every_input_is_proved():
    assert lines(graph_of(IDS, MASK), masked) == []


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (lambda given: [np.zeros(2, "float32")], "'logits' is zero, whatever the inputs"),
        (lambda given: [np.ones(2, "float32")], "'logits' depends on no input: it changes not at all"),
        (lambda given: [(7 + 1e-6 * given["ids"].mean(-1)).astype("float32")], "times its bound at most where"),
        (lambda given: masked(given, 0.0), "no output depends on 'mask'"),
        (lambda given: masked(given, 1e-6), "no output depends on 'mask'"),
        (lambda given: [given["mask"].mean(-1).astype("float32")], "no output depends on 'ids'"),
    ],
    ids=["zero", "constant", "faint", "no mask", "a faint mask", "a mask alone"],
)
def test_what_does_not_move_by_clearly_more_than_its_bound_is_named(run: Callable[..., Any], said: str):
    (line,) = lines(graph_of(IDS, MASK), run)
    assert line.startswith("model: ")
    assert said in line


def test_each_output_is_judged_by_itself_and_each_input_by_all_of_them():
    graph = graph_of(IDS, MASK, outputs=("a", "b", "c"))

    def run(given: Mapping[str, Any]) -> list[Any]:
        return [given["ids"].mean(-1), given["mask"].mean(-1), np.full(2, 3.0)]

    assert lines(graph, run) == ["model: 'c' depends on no input: it changes not at all where they change"]


def test_large_values_do_not_make_a_change_out_of_rounding():
    bound = Bound(0.0, 1e-3, "output", None)
    assert lines(graph_of(IDS), lambda given: [(1e5 + given["ids"].mean(-1)).astype("float32")], bound) != []
    assert lines(graph_of(IDS), lambda given: [(1e2 + given["ids"].mean(-1)).astype("float32")], bound) == []


def test_whole_numbers_depend_where_any_of_them_changes():
    graph = graph_of(IDS)
    assert lines(graph, lambda given: [given["ids"].max(-1) // 90 + given["ids"].sum(-1)]) == []
    assert lines(graph, lambda given: [np.ones(2, "int64")]) != []


def test_layers_of_a_cache_are_changed_together():
    cache = [tensor(f"past.{layer}.key", "randn", dtype="float32") for layer in range(3)]
    ran = []

    def run(given: Mapping[str, Any]) -> list[Any]:
        ran.append(given)
        return [given["past.1.key"].mean(-1)]

    assert lines(graph_of(*cache), run) == []
    assert len(ran) == 2


@pytest.mark.parametrize(
    "only", [tensor("x", "randint", 1), tensor("x", "zeros"), tensor("x", "ones"), tensor("x", "randn", unused="why")]
)
def test_an_input_of_a_single_value_is_not_tried(only: TensorPlan):
    assert lines(graph_of(only), lambda given: [np.zeros(2, "float32")]) == []


@pytest.mark.parametrize("fill", ["randint", "arange", "padding", "randn", "rand", "bernoulli", "boxes"])
def test_every_fill_has_other_values_of_the_same_kind(fill: str):
    args = {"randint": (9,), "boxes": (9,), "bernoulli": (0.5,)}.get(fill, ())
    shape = (BATCH, SEQUENCE, 4) if fill == "boxes" else (BATCH, SEQUENCE)
    dtype = "float32" if fill in ("randn", "rand") else "int64"
    one = TensorPlan("x", dtype, shape, ("x",), FillPlan(fill, args, ending=5 if fill == "randint" else None))
    before = make_dummies(graph_of(one), POINT, 0)
    changed = change_inputs([one], Observed(POINT, before, []))
    assert changed is not None
    after = changed["x"]
    assert (after.shape, after.dtype) == (before["x"].shape, before["x"].dtype)
    assert not np.array_equal(after, before["x"])
    if fill == "randint":
        assert (after[:, -1] == 5).all()


def test_a_mask_without_padding_is_given_some():
    inputs = {"mask": np.ones((2, 8), "int64")}
    changed = change_inputs([MASK], Observed(POINT, inputs, []))
    assert changed is not None
    assert changed["mask"].tolist() == [[0] * 4 + [1] * 4] * 2
