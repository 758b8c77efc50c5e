"""A stranger's artifact, verified by the command: nothing of it runs, and each fault is one clear error."""

from __future__ import annotations

import io
import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import TINY_BERT, Run, assert_clean_failure
from torch import nn

import exporter
from exporter.artifacts.manifest import MANIFEST
from exporter.models.checkpoints import digest_file


class Runs:
    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> Any:
        return (os.mkdir, (str(self.proof),))


@pytest.fixture(scope="session")
def exported(make_checkpoint: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("strangers")
    checkpoint = make_checkpoint("BertForMaskedLM", "bert", **TINY_BERT)
    exporter.build(model=checkpoint, target=("torch-export", "torchscript"), output=folder, verify=False)
    return folder


def keep_the_books(artifact: Path, name: str) -> None:
    manifest = json.loads((artifact / MANIFEST).read_text("utf-8"))
    path = artifact / name
    manifest["files"][name] = {"sha256": digest_file(path), "bytes": path.stat().st_size}
    (artifact / MANIFEST).write_text(json.dumps(manifest), "utf-8")


def exchange(path: Path, part: str, change: Callable[[bytes], bytes]) -> None:
    """Exchange one part of an archive, or add it."""
    with zipfile.ZipFile(path) as old:
        parts = {name: old.read(name) for name in old.namelist()}
    root = next(iter(parts)).partition("/")[0]
    name = f"{root}/{part}"
    parts[name] = change(parts.get(name, b""))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as new:
        for name, data in parts.items():
            new.writestr(zipfile.ZipInfo(name), data)


def pickled(proof: Path) -> bytes:
    buffer = io.BytesIO()
    torch.save(Runs(proof), buffer)
    return buffer.getvalue()


def evaluated(proof: Path) -> Callable[[bytes], bytes]:
    """Return what puts a call into the size of a tensor, which torch has sympy evaluate."""

    def change(data: bytes) -> bytes:
        program = json.loads(data)
        tensors = program["graph_module"]["graph"]["tensor_values"].values()
        size = next(axis["as_expr"] for tensor in tensors for axis in tensor["sizes"] if "as_expr" in axis)
        size["expr_str"] = f"__import__('os').mkdir({str(proof)!r})"
        return json.dumps(program).encode()

    return change


def guarded(proof: Path) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        return json.dumps({**json.loads(data), "guards_code": [f"__import__('os').mkdir({str(proof)!r})"]}).encode()

    return change


@pytest.mark.parametrize("place", ["samples", "constants", "size", "guard", "native"])
def test_nothing_of_a_stranger_runs(place: str, exported: Path, tmp_path: Path, run: Run) -> None:
    proof = tmp_path / "proof"
    artifact = Path(shutil.copytree(exported / "torch-export", tmp_path / "artifact"))
    part, change = {
        "samples": ("data/sample_inputs/model.pt", lambda _: pickled(proof)),
        "constants": ("data/constants/model.pt", lambda _: pickled(proof)),
        "size": ("models/model.json", evaluated(proof)),
        "guard": ("models/model.json", guarded(proof)),
        "native": ("data/aotinductor/model/a.wrapper.so", lambda _: b"\x7fELF"),
    }[place]
    exchange(artifact / "model.pt2", part, change)
    keep_the_books(artifact, "model.pt2")
    said = assert_clean_failure(run("verify", artifact), 2)
    assert "model.pt2 is not opened" in said
    assert "--trust-artifact" in said
    assert not proof.exists()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_script_that_writes_a_file_does_not(exported: Path, tmp_path: Path, run: Run) -> None:
    from exporter.targets.torchscript.exporter import save_script

    artifact = Path(shutil.copytree(exported / "torchscript", tmp_path / "artifact"))

    class Fixed(nn.Module):
        def forward(self, a: torch.Tensor, b: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
            torch.save(a, "proof")
            return a

    save_script(torch.jit.script(Fixed()), artifact / "model.pt")
    keep_the_books(artifact, "model.pt")
    assert "names 'save'" in assert_clean_failure(run("verify", artifact), 2)
    assert not (tmp_path / "proof").exists()


def test_good_ones_verify_and_say_what_they_do_not_name(exported: Path, tmp_path: Path, run: Run) -> None:
    for target in ("torch-export", "torchscript"):
        artifact = Path(shutil.copytree(exported / target, tmp_path / target))
        (artifact / "more.txt").write_text("", "utf-8")
        done = run("verify", artifact)
        assert done.returncode == 0, done.stderr
        assert "note: not looked at, since the manifest does not name them: more.txt" in done.stdout
