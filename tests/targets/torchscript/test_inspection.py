"""TorchScript files, looked at before torch opens them: traces pass, and what reaches beyond tensors does not."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from exporter.errors import UntrustedError
from exporter.targets.torchscript.exporter import save_script
from exporter.targets.torchscript.inspection import check_code, inspect_script

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(4, 4), nn.Embedding(5, 4)])
        self.register_buffer("steps", torch.arange(4))

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor]:
        hidden = self.layers[0](self.layers[1](ids)) * mask[..., None]
        return (torch.nn.functional.gelu(hidden[:, : ids.shape[1]]),)


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("traced") / "model.pt"
    inputs = (torch.ones(2, 3, dtype=torch.int64), torch.ones(2, 3))
    save_script(torch.jit.trace(Small().eval(), inputs, check_trace=False), path)
    return path


def with_part(source: Path, target: Path, part: str, data: bytes | None) -> Path:
    """Copy an archive with one part exchanged, added, or (None) as it was."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as new:
        for entry in old.infolist():
            if entry.filename != f"model/{part}" or data is None:
                new.writestr(zipfile.ZipInfo(entry.filename), old.read(entry))
        if data is not None:
            new.writestr(zipfile.ZipInfo(f"model/{part}"), data)
    return target


def test_a_trace_passes_and_torch_reads_it(traced: Path) -> None:
    inspect_script(traced)
    assert torch.jit.load(str(traced)) is not None


def test_what_torch_writes_itself_is_compressed_and_not_looked_into(traced: Path, tmp_path: Path) -> None:
    torch.jit.save(torch.jit.load(str(traced)), str(tmp_path / "model.pt"))
    with pytest.raises(UntrustedError, match="is compressed"):
        inspect_script(tmp_path / "model.pt")


@pytest.mark.parametrize(
    ("part", "data", "said"),
    [
        ("data.pkl", b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00echo\x85R.", "imports 'os system'"),
        ("constants.pkl", b"\x80\x02cbuiltins\neval\nX\x01\x00\x00\x001\x85R.", "imports 'builtins eval'"),
        ("data.pkl", b"\x80\x02c__torch__.torch.classes.quantized\nLinearPackedParamsBase\n)\x81.", "imports"),
        ("data.pkl", b"\x80\x02c__torch__.torch.classes\nX\n)\x81.", "imports"),
        ("extra/run.sh", b"echo", "which no trace has"),
        ("model.json", b"{}", "which no trace has"),
        ("code/../x.py", b"", "not below"),
        ("code/x.py", b"while True:\n  pass\n", "While"),
        ("code/x.py", b"\xff", "cannot be read"),
        ("code/x.py", b"def (", "cannot be read"),
    ],
)
def test_a_part_that_no_trace_has_is_refused(part: str, data: bytes, said: str, traced: Path, tmp_path: Path) -> None:
    with pytest.raises(UntrustedError, match=said):
        inspect_script(with_part(traced, tmp_path / "model.pt", part, data))


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"\x80\x02N.", b"#!/bin/sh\n"], ids=repr)
def test_a_file_that_is_no_archive_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(data)
    with pytest.raises(UntrustedError, match=r"model\.pt is not opened"):
        inspect_script(tmp_path / "model.pt")


class Writes(nn.Module):
    """A module whose TorchScript writes a file."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        torch.save(x, "written")
        return x


class Reads(nn.Module):
    """A module whose TorchScript reads a file."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.from_file("/etc/hostname", False, 1, dtype=torch.uint8)


@pytest.mark.parametrize("module", [Writes, Reads])
def test_operators_on_files_are_refused(module: type[nn.Module], tmp_path: Path) -> None:
    save_script(torch.jit.script(module()), tmp_path / "model.pt")
    with pytest.raises(UntrustedError, match=r"names '(save|from_file)'"):
        inspect_script(tmp_path / "model.pt")


@pytest.mark.parametrize(
    "code",
    [
        'torch.save(x, "f")',
        'x.save("f")',
        'save(x, "f")',
        'ops.aten.save(x, "f")',
        "y = torch\ny.add(x, x)",
        "y = ops\ny.c10d.send(x)",
        "y = ops.c10d\ny.send(x)",
        "ops.c10d.send(x)",
        "ops.prim.rpc_sync(x)",
        "ops.prim.PythonOp(x)",
        "torch.classes.mine.Thing(x)",
        "__torch__.torch.classes.mine.Thing(x)",
        'getattr(x, "sa" "ve")("f")',
        'getattr(x, "\\x73ave")("f")',
        'getattr(torch, "add")(x, x)',
        "fork(x)",
        "import os",
        "from os import system",
        "def __setstate__(self, state):\n  pass",
        "class A(Enum):\n  a = 1",
        "class A(Interface):\n  pass",
        "torch._sparse_coo_tensor_unsafe(x, x)",
        "# -*- coding: utf-7 -*-\n+AHQAbwByAGMAaAAuAHMAYQB2AGUAKAB4ACkA-\nx = 1",
        "torch.\\\nsave(x)",
    ],
)
def test_code_that_does_more_than_compute_is_refused(code: str) -> None:
    with pytest.raises(ValueError, match=r"its code 'code/x\.py'"):
        check_code(code.encode(), "code/x.py")


@pytest.mark.parametrize(
    "code",
    [
        "torch.add(x, torch.mul(y, 2))",
        "ops.prim.NumToTensor(torch.size(x, 0))",
        'ops.prim.RaiseException("too long")',
        'getattr(self.layers, "0").forward(x, )',
        "x = __torch__.torch.nn.modules.linear.Linear",
        "class Linear(Module):\n  __parameters__ = ['weight', ]\n  weight : Tensor",
        "if torch.gt(x, 1):\n  y = 1\nelse:\n  y = 2",
        "for i in range(3):\n  y = i",
        "loads = self.saved",
    ],
)
def test_code_that_computes_passes(code: str) -> None:
    check_code(code.encode(), "code/x.py")
