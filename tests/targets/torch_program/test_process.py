"""The process that runs programs: a script without exporter, its answers, and tensors on their way."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from exporter.planning.dtypes import NUMPY_DTYPES
from exporter.targets.torch_program import process
from exporter.targets.torch_program.process import _Forbid, _plain, _say, _tensor, open_program, run_program, serve

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def test_the_script_imports_nothing_of_this_package():
    tree = ast.parse(Path(process.__file__).read_text("utf-8"))
    imported = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported <= {*sys.stdlib_module_names, "torch"}


@pytest.mark.parametrize("name", ["transformers", "transformers.models.bert", "exporter"])
def test_a_program_that_needs_the_python_of_its_model_is_refused(name: str):
    with pytest.raises(ModuleNotFoundError, match=f"No module named '{name}': saved programs run without it"):
        _Forbid().find_spec(name)
    assert _Forbid().find_spec(f"{name.partition('.')[0]}_other") is None


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (AssertionError(), "AssertionError"),
        (ValueError(" \n\n"), "ValueError"),
        (
            RuntimeError("Traceback of TorchScript:\n  code\nRuntimeError: sizes differ\n"),
            "RuntimeError: RuntimeError: sizes differ",
        ),
    ],
)
def test_an_error_is_one_line(error: Exception, text: str):
    assert _say(error) == text


@pytest.mark.parametrize("dtype", NUMPY_DTYPES)
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3)])
def test_a_tensor_arrives_as_it_left(dtype: str, shape: tuple[int, ...]):
    array = (np.arange(np.prod(shape, dtype=int)) % 2).reshape(shape).astype(NUMPY_DTYPES[dtype])
    tensor = _tensor(dtype, shape, array.tobytes())
    assert tensor.dtype is getattr(torch, dtype)
    assert tensor.shape == shape
    assert _plain(tensor) == (dtype, shape, array.tobytes())


def test_a_view_travels_in_its_own_order():
    dtype, shape, data = _plain(torch.arange(6).reshape(2, 3).T)
    assert np.frombuffer(data, dtype).reshape(shape).tolist() == [[0, 3], [1, 4], [2, 5]]


class Double(torch.nn.Module):
    """Gives twice its input, or fails."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert x.shape[0] != 7, "no batch of 7"
        return 2 * x


@pytest.fixture
def saved(tmp_path: Path) -> str:
    torch.jit.save(torch.jit.script(Double()), tmp_path / "model.pt")
    return str(tmp_path / "model.pt")


def test_a_lone_output_is_a_list_of_one(saved: str):
    outputs = run_program(open_program(saved, []), [_plain(torch.ones(2))])
    assert outputs == [_plain(torch.full((2,), 2.0))]


def test_an_exported_program_is_opened_by_its_suffix(tmp_path: Path):
    program = torch.export.export(torch.nn.Linear(2, 2), (torch.ones(1, 2),))
    torch.export.save(program, tmp_path / "model.pt2")
    (output,) = run_program(open_program(str(tmp_path / "model.pt2"), []), [_plain(torch.ones(1, 2))])
    assert output[:2] == ("float32", (1, 2))


class Asker:
    """A connection whose other end asks some questions and leaves."""

    def __init__(self, *questions: tuple[object, ...]) -> None:
        self.questions, self.answers = list(questions), []

    def recv(self):
        if not self.questions:
            raise EOFError
        return self.questions.pop(0)

    def send(self, answer):
        self.answers.append(answer)


def test_every_question_has_an_answer_until_the_asker_leaves(saved: str):
    asker = Asker(
        ("open", saved, []),
        ("run", [_plain(torch.ones(2))]),
        ("run", [_plain(torch.ones(7))]),
        ("open", f"{saved}.missing", []),
        ("open", saved, ["no_such_module"]),
    )
    serve(asker)
    answers = asker.answers
    assert answers[0] == ("ok", None)
    assert answers[1] == ("ok", [_plain(torch.full((2,), 2.0))])
    assert answers[2][0] == "error"
    assert "no batch of 7" in answers[2][1]
    assert [answer[0] for answer in answers[3:]] == ["error", "error"]
    assert answers[4][1] == "ModuleNotFoundError: No module named 'no_such_module'"
