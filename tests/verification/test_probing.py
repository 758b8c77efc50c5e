"""Probing: each dynamic dim gets another size alone, and the program follows, or baked the dim in."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from exporter.planning.plan import Axis, Bound, FillPlan, GraphPlan, Point, SizePlan, TensorPlan
from exporter.verification.expected import LiveModel
from exporter.verification.probing import DYNAMIC, STATIC, TOGETHER, probe_dims

FILL = FillPlan("randn", ())
SHAPE = (Axis("batch"), Axis("sequence"))
GRAPH = GraphPlan(
    component="model",
    file="model.bin",
    files=("model.bin",),
    module=None,
    constants={},
    built=(),
    inputs=(TensorPlan("x", "float32", SHAPE, ("x",), fill=FILL),),
    outputs=(TensorPlan("y", "float32", SHAPE, ("y",)),),
    ignored=(),
)
TRACE = Point("trace", {"batch": 2, "sequence": 4})


def at(**sizes: int) -> Point:
    return Point("probe", {**TRACE.sizes, **sizes})


PROBES = {"batch": (at(batch=3),), "sequence": (at(sequence=5), at(sequence=7)), "past": (at(past=9),)}
PLAN = SimpleNamespace(
    bound=Bound(1e-5, 1e-5, "element", None), sizes=SizePlan((TRACE,), PROBES, {}, seed=0), graphs=(GRAPH,)
)


class Program:
    """A session that computes what the model computes, and fails or differs where a test says so."""

    name = "stub"

    def __init__(self, wrong=lambda shape: False, error: Exception | None = None) -> None:
        self.wrong, self.error, self.shapes = wrong, error, []

    def run(self, inputs):
        x = inputs["x"]
        self.shapes.append(x.shape)
        if self.wrong(x.shape):
            if self.error is not None:
                raise self.error
            return [x + 1]
        return [2 * x]


def probe(program: Program, oracle=lambda inputs: [2 * inputs["x"]]):
    return probe_dims(program, GRAPH, PLAN, LiveModel({"model": oracle}))


def test_a_program_that_follows_is_open():
    program = Program()
    assert probe(program) == ({"batch": DYNAMIC, "sequence": DYNAMIC}, [])
    # One dim at a time, at every one of its points; the dim that is none of this graph's is left out.
    assert program.shapes == [(3, 4), (2, 5), (2, 7)]


def test_a_size_that_was_baked_in_is_named():
    program = Program(wrong=lambda shape: shape[1] == 5)
    verdicts, (problem,) = probe(program)
    assert verdicts == {"batch": DYNAMIC, "sequence": STATIC}
    assert problem.startswith("model: 'sequence' was baked in at 4: at 5 alone, 'y' differs by ")
    # The first failure tells enough.
    assert (2, 7) not in program.shapes


@pytest.mark.parametrize(
    ("error", "text"), [(RuntimeError("\nsizes differ"), "sizes differ"), (AssertionError(), "AssertionError")]
)
def test_a_program_that_fails_is_quoted(error, text):
    _, (problem,) = probe(Program(wrong=lambda shape: shape[0] == 3, error=error))
    assert problem == f"model: 'batch' was baked in at 2: at 3 alone, 'y': the runtime fails: {text}"


def test_a_dim_the_model_varies_only_with_others_is_no_failure():
    def fixed_batch(inputs):
        if len(inputs["x"]) != 2:
            raise ValueError("batches of 2 only")
        return [2 * inputs["x"]]

    program = Program(wrong=lambda shape: shape[0] != 2)
    assert probe(program, fixed_batch) == ({"batch": TOGETHER, "sequence": DYNAMIC}, [])


def test_it_is_told_what_is_being_done():
    told: list[str] = []
    probe_dims(
        Program(), GRAPH, PLAN, LiveModel({"model": lambda inputs: [np.add(inputs["x"], inputs["x"])]}), told.append
    )
    assert told == ["model: is batch open?", "model: is sequence open?"]
