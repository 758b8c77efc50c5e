"""Equal builds are equal bytes: every file, whoever builds, wherever and whenever."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from commands import REPOSITORY, offline_environment

# A Python that has this directory on its path lives a day later. With the library of libfaketime in `LIBFAKETIME` every
# clock of the process does, and not only those that Python reads.
LATER = REPOSITORY / "tests" / "later"
FAKETIME = {"LD_PRELOAD": os.environ.get("LIBFAKETIME", ""), "FAKETIME": "+93784s", "DONT_FAKE_MONOTONIC": "1"}
NEURON = REPOSITORY / "tests" / "fakes" / "neuron"
PAIRS = (
    ("bert", "fill-mask"),
    ("gpt2", "text-generation-with-past"),
    ("t5", "text2text-generation-with-past"),
    ("vit", "image-classification"),
    ("detr", "object-detection"),
    ("wav2vec2", "audio-classification"),
    ("clip", "zero-shot-image-classification"),
    ("layoutlm", "token-classification"),
    ("llama", "text-generation"),
    ("roberta", "multiple-choice"),
)
TARGETS = ("onnx", "openvino", "torchscript", "torch-export", "neuron")


def build(place: Path, cwd: Path, names: tuple[str, ...], environment: Mapping[str, str]) -> dict[str, bytes]:
    """Build artifacts and return every file of them."""
    cwd.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "exporter", "build", *names, "-o", str(place)],
        cwd=cwd,
        env=offline_environment(**environment),
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {path.relative_to(place).as_posix(): path.read_bytes() for path in place.rglob("*") if path.is_file()}


def elsewhere(folder: Path) -> Path:
    """Copy the package to another directory, as it is where somebody else installed it."""
    for name in ("exporter", "specs", "schemas"):
        if not (folder / name).exists():
            shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def differing(names: tuple[str, ...], folder: Path, *path: Path) -> list[str]:
    """Build twice under two sets of circumstances and return the files that differ."""
    more = [str(entry) for entry in path]
    first = build(
        folder / "one",
        folder / "here",
        (*names, "--jobs", "1"),
        {
            "PYTHONHASHSEED": "1",
            "TZ": "UTC",
            "PYTHONPATH": os.pathsep.join([str(REPOSITORY / "tests/offline"), str(REPOSITORY), *more]),
        },
    )
    package = elsewhere(folder / "installed")
    second = build(
        folder / "two" / "deep" / "er",
        folder / "there" / "and back",
        (*names, "--jobs", "2"),
        {
            "PYTHONHASHSEED": "2",
            "TZ": "Pacific/Auckland",
            "PYTHONPATH": os.pathsep.join([str(LATER), str(package), *more]),
            **(FAKETIME if FAKETIME["LD_PRELOAD"] else {}),
        },
    )
    assert first
    assert first.keys() == second.keys()
    return [name for name in first if first[name] != second[name]]


def test_torch_programs_are_the_same_a_day_later_and_elsewhere(tmp_path: Path) -> None:
    names = ("distilbert", "--task", "question-answering", "--target", "torchscript", "--target", "torch-export")
    assert differing(names, tmp_path) == []


@pytest.mark.exhaustive
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("architecture", "task"), PAIRS)
def test_whole_artifacts_are_the_same(architecture: str, task: str, target: str, tmp_path: Path) -> None:
    from exporter import api

    names: tuple[str, ...] = (architecture, "--task", task, "--target", target)
    if target == "neuron":
        plan = api.plan(architecture, task)
        (graph, *_) = plan.graphs
        if graph.component != "model":
            pytest.skip("a program of fixed sizes has no steps")
        dims = {dim for tensor in graph.inputs for dim in tensor.dims()}
        traced = plan.sizes.points[0].sizes
        names += tuple(word for dim in sorted(dims) for word in ("--dim", f"{dim}={traced[dim]}"))
    assert differing(names, tmp_path, *((NEURON,) if target == "neuron" else ())) == []
