"""Writing TorchScript: which weights a trace uses, ties that are untied, and files that tell of no machine."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from exporter.errors import ExportError
from exporter.planning.plan import Axis, FillPlan, GraphPlan, Point, SizePlan, TensorPlan
from exporter.targets.torchscript.exporter import export_graph, save_script, trace_graph, untie_weights, used_weights

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

SHAPE = (Axis("batch"), 3)
GRAPH = GraphPlan(
    component="model",
    file="model.pt",
    files=("model.pt",),
    module=None,
    constants={},
    built=(),
    inputs=(TensorPlan("x", "float32", SHAPE, ("x",), fill=FillPlan("randn", ())),),
    outputs=(TensorPlan("y", "float32", SHAPE, ("y",)),),
    ignored=(),
)
SIZES = SizePlan((Point("trace", {"batch": 2}),), {}, {}, seed=0)


def plan_with(**settings: bool) -> SimpleNamespace:
    recording = SimpleNamespace(settings=settings, target="torchscript")
    return SimpleNamespace(title="toy default", sizes=SIZES, recording=recording, graphs=(GRAPH,))


class Tied(nn.Module):
    """Two layers with one weight, and one layer that nothing reads."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.unread = (nn.Linear(3, 3, bias=False) for _ in range(3))
        self.second.weight = self.first.weight

    def forward(self, x):
        return {"y": self.second(self.first(x))}


def test_weights_are_those_that_the_trace_reads():
    model = Tied()
    used = used_weights(trace_graph(model, GRAPH, plan_with()))
    assert {weight.data_ptr() for weight in used} == {model.first.weight.data_ptr()}


def test_tied_weights_are_untied_in_place_with_equal_values():
    model = Tied()
    untie_weights(model)
    assert model.first.weight.data_ptr() != model.second.weight.data_ptr()
    torch.testing.assert_close(model.first.weight, model.second.weight)
    kept = model.second.weight
    untie_weights(model)
    assert model.second.weight is kept


@pytest.mark.parametrize("settings", [{}, {"untie": True}, {"freeze": True}], ids=["plain", "untie", "freeze"])
def test_a_program_computes_what_the_model_computes(settings: dict[str, bool], tmp_path: Path):
    model = Tied().eval()
    weights = export_graph(model, GRAPH, plan_with(**settings), tmp_path)
    program = torch.jit.load(tmp_path / "model.pt")
    x = torch.randn(5, 3)
    torch.testing.assert_close(program(x)[0], model(x)["y"])
    assert len({weight.data_ptr() for weight in weights}) == (2 if settings.get("untie") else 1)
    assert bool(list(program.parameters())) is not settings.get("freeze", False)


class Failing(nn.Module):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def forward(self, x):
        raise self.error


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("\nno such size\nand a trace"), "ValueError: no such size"),
        (AssertionError(), "AssertionError"),
    ],
)
def test_a_model_that_cannot_be_traced_is_one_clear_error(error: Exception, text: str):
    with pytest.raises(ExportError) as caught:
        trace_graph(Failing(error), GRAPH, plan_with())
    assert caught.value.message == f"torch.jit.trace failed on 'model' of toy default: {text}"


@pytest.mark.parametrize("said", ["\n could not export\n at line 3", ""])
def test_a_trace_that_cannot_be_saved_is_one_clear_error(said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> None:
        raise RuntimeError(said)

    traced = trace_graph(Tied(), GRAPH, plan_with())
    monkeypatch.setattr(torch.jit, "save", refuse)
    with pytest.raises(ExportError) as caught:
        save_script(traced, tmp_path / "model.pt")
    expected = "could not export" if said else "RuntimeError"
    assert caught.value.message == f"the trace cannot be saved as TorchScript: {expected}"
    assert not list(tmp_path.iterdir())


def test_a_file_holds_no_place_and_no_time_and_can_be_mapped(tmp_path: Path):
    save_script(trace_graph(Tied(), GRAPH, plan_with()), tmp_path / "model.pt")
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt"]
    with zipfile.ZipFile(tmp_path / "model.pt") as archive:
        entries = archive.infolist()
        assert not [entry.filename for entry in entries if entry.filename.endswith(".debug_pkl")]
        assert {entry.filename.partition("/")[0] for entry in entries} == {"model"}
        assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
        assert {entry.compress_type for entry in entries} == {zipfile.ZIP_STORED}
    data = (tmp_path / "model.pt").read_bytes()
    for entry in entries:
        header = data[entry.header_offset : entry.header_offset + 30]
        start = (
            entry.header_offset + 30 + int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
        )
        assert start % 64 == 0, entry.filename
    assert json.dumps(str(tmp_path))[1:-1].encode() not in data
