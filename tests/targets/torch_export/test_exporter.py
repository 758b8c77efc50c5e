"""Writing exported programs: assertions that the plan contradicts, what a file remembers, and failures."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from exporter.errors import ExportError
from exporter.planning.plan import Axis, FillPlan, GraphPlan, Point, SizePlan, TensorPlan
from exporter.targets.torch_export import exporter
from exporter.targets.torch_export.exporter import attention_of, export_graph

pytestmark = pytest.mark.filterwarnings("ignore")

SHAPE = (Axis("batch"), 3)
GRAPH = GraphPlan(
    component="model",
    file="model.pt2",
    files=("model.pt2",),
    module=None,
    constants={},
    built=(),
    inputs=(TensorPlan("x", "float32", SHAPE, ("x",), fill=FillPlan("randn", ())),),
    outputs=(TensorPlan("y", "float32", SHAPE, ("y",)),),
    ignored=(),
)
TRACE, CHECK = Point("trace", {"batch": 4}), Point("check 1", {"batch": 2})


def plan_with(*points: Point, **settings: bool) -> SimpleNamespace:
    recording = SimpleNamespace(settings=settings, target="torch-export")
    sizes = SizePlan(points or (TRACE, CHECK), {}, {}, seed=0)
    return SimpleNamespace(title="toy default", sizes=sizes, recording=recording, graphs=(GRAPH,))


class Layer(nn.Module):
    """One layer that is read, and one that is not."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.unread = nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x):
        return {"y": self.linear(x)}


def test_a_program_follows_the_declared_axis_and_uses_what_it_reads(tmp_path: Path):
    model = Layer().eval()
    weights = export_graph(model, GRAPH, plan_with(), tmp_path)
    assert {weight.data_ptr() for weight in weights} == {each.data_ptr() for each in model.linear.parameters()}
    program = torch.export.load(tmp_path / "model.pt2").module()
    for batch in (2, 7):
        x = torch.randn(batch, 3)
        torch.testing.assert_close(program(x)[0], model(x)["y"])


def test_a_program_remembers_nothing_of_the_python_it_came_from(tmp_path: Path):
    export_graph(Layer(), GRAPH, plan_with(), tmp_path)
    data = (tmp_path / "model.pt2").read_bytes()
    assert str(Path(__file__).parent).encode() not in data
    assert str(Path(torch.__file__).parent).encode() not in data


class Branching(nn.Module):
    """Takes a branch by two of its sizes that makes no difference; the exporter asserts the one it saw."""

    def forward(self, x, past):
        return {"y": 2 * x if x.shape[0] + past.shape[0] > 5 else x * 2}


PAST = TensorPlan("past", "float32", (Axis("past"), 3), ("past",), fill=FillPlan("randn", ()))
WITH_PAST = dataclasses.replace(GRAPH, inputs=(*GRAPH.inputs, PAST))


def assertions(path: Path) -> list[object]:
    return [node for node in torch.export.load(path).graph.nodes if node.target is exporter._ASSERT]


def test_an_assertion_that_a_planned_point_contradicts_is_dropped(tmp_path: Path):
    trace, check = Point("trace", {"batch": 4, "past": 6}), Point("check 1", {"batch": 2, "past": 3})
    for name, points in (("kept", (trace,)), ("dropped", (trace, check))):
        (tmp_path / name).mkdir()
        export_graph(Branching(), WITH_PAST, plan_with(*points), tmp_path / name)
    kept, dropped = (len(assertions(tmp_path / name / "model.pt2")) for name in ("kept", "dropped"))
    assert dropped < kept
    program = torch.export.load(tmp_path / "dropped" / "model.pt2").module()
    torch.testing.assert_close(program(torch.ones(2, 3), torch.ones(3, 3))[0], torch.full((2, 3), 2.0))


class Failing(nn.Module):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def forward(self, x):
        raise self.error


def test_a_model_that_cannot_be_exported_is_one_clear_error(tmp_path: Path):
    with pytest.raises(ExportError) as caught:
        export_graph(Failing(ValueError("\nno such size\nand a trace")), GRAPH, plan_with(), tmp_path)
    assert caught.value.message.startswith("torch.export failed on 'model' of toy default: ")
    assert "no such size" in caught.value.message
    assert "\n" not in caught.value.message
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (RuntimeError("\n g++ is missing\nand a log"), "RuntimeError: g++ is missing"),
        (AssertionError(), "AssertionError"),
    ],
)
def test_a_compiler_that_fails_is_one_clear_error(
    error: Exception, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(torch._inductor, "aoti_compile_and_package", fail)
    with pytest.raises(ExportError) as caught:
        export_graph(Layer(), GRAPH, plan_with(aoti=True), tmp_path)
    assert caught.value.message == f"AOTInductor cannot compile 'model' of toy default: {text}"
    assert "without --aoti the program itself is built" in (caught.value.help or "")


def test_a_program_is_compiled_beside_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    places = []
    monkeypatch.setattr(
        torch._inductor, "aoti_compile_and_package", lambda program, package_path: places.append(package_path)
    )
    export_graph(Layer(), GRAPH, plan_with(aoti=True), tmp_path)
    assert places == [str(tmp_path / "model.aoti.pt2")]


def test_the_attention_is_the_models_own():
    assert attention_of(plan_with()) is None
