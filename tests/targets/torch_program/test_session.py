"""A saved program in a process of its own: opened, run, named, and its failures told in one line."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from exporter.errors import ExportError
from exporter.targets.torch_program import session
from exporter.targets.torch_program.session import TorchSession, start_torch_process

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


class Halve(torch.nn.Module):
    """Gives a half of its first input, and its second as it is."""

    def forward(self, x: torch.Tensor, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        assert x.shape[0] != 7, "no batch of 7"
        return x / 2, ids


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("program") / "model.pt"
    torch.jit.save(torch.jit.script(Halve()), path)
    return path


def test_a_program_runs_as_often_as_asked(saved: Path):
    program = TorchSession(saved)
    assert program.name == f"torch {torch.__version__} without transformers"
    for batch in (1, 3):
        x, ids = np.full((batch, 2), 3, np.float32), np.arange(batch)
        half, same = program.run({"x": x, "ids": ids})
        assert half.tolist() == [[1.5, 1.5]] * batch
        assert (same.dtype, same.tolist()) == (np.int64, ids.tolist())


def test_inputs_go_by_their_place_whatever_their_order_in_memory(saved: Path):
    x = np.arange(6, dtype=np.float32).reshape(2, 3).T
    half, _ = TorchSession(saved).run({"x": x, "ids": np.arange(1)})
    np.testing.assert_array_equal(half, x / 2)


def test_programs_share_one_process_and_not_their_state(saved: Path):
    first, second = TorchSession(saved), TorchSession(saved)
    (running,) = session._running
    start_torch_process()
    assert session._running == [running]
    inputs = {"x": np.ones((1, 1), np.float32), "ids": np.arange(1)}
    with pytest.raises(RuntimeError, match="no batch of 7"):
        first.run({**inputs, "x": np.ones((7, 1), np.float32)})
    # A run that failed ends neither the program nor another.
    for program in (first, second):
        assert program.run(inputs)[0].tolist() == [[0.5]]


def test_a_file_that_is_no_program_is_one_clear_error(tmp_path: Path):
    path = tmp_path / "model.pt"
    path.write_bytes(b"PK not a program")
    with pytest.raises(ExportError, match=r"^torch cannot open model\.pt: \w") as caught:
        TorchSession(path, help="install it")
    assert "\n" not in caught.value.message
    assert caught.value.help == "install it"


def test_modules_whose_operators_it_uses_are_imported_first(saved: Path):
    with pytest.raises(ExportError, match="No module named 'no_such_module'"):
        TorchSession(saved, ["no_such_module"])
    # numpy stands for a package with operators: it has a version, which the name tells.
    assert f"numpy {np.__version__} without transformers" in TorchSession(saved, ["numpy"]).name


@pytest.fixture
def stopped() -> Iterator[None]:
    """No process runs, and the one that runs otherwise is left alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "_running", [])
        yield
        session._stop(os.getpid())


def test_a_process_that_does_not_start_is_one_clear_error(
    stopped: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    script = tmp_path / "process.py"
    script.write_text("raise SystemExit(9)\n")
    monkeypatch.setattr(session, "_SCRIPT", script)
    with pytest.raises(ExportError, match="the process that runs torch programs ended with status 9"):
        start_torch_process()
    assert session._running == []


def test_a_process_that_dies_is_told(stopped: None, saved: Path):
    program = TorchSession(saved)
    session._stop(os.getpid())
    assert session._running == []
    program._connection.close()
    with pytest.raises(RuntimeError, match="the process that ran it died"):
        program.run({"x": np.ones((1, 1), np.float32), "ids": np.arange(1)})


def test_only_the_process_that_started_it_ends_it(stopped: None, saved: Path):
    TorchSession(saved)
    session._stop(os.getpid() + 1)
    (running,) = session._running
    assert running.popen.poll() is None
