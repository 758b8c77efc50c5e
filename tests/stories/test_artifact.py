"""What a build leaves: verified again without PyTorch, caught when tampered with, and the same bytes every time."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from commands import TINY_BERT, Run, assert_clean_failure, offline_environment

import exporter
from exporter.artifacts.manifest import CARD, MANIFEST

# A Python in which importing torch or transformers raises, as where they are not installed.
WITHOUT_TORCH = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers", "onnxscript", "safetensors"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
try:
    import torch
except ModuleNotFoundError:
    pass
else:
    raise AssertionError("torch is there")
from exporter.cli import main

main()
"""


@pytest.fixture(scope="session")
def checkpoint(make_checkpoint: Callable[..., Path]) -> Path:
    return make_checkpoint("BertForMaskedLM", "bert", **TINY_BERT)


@pytest.fixture(scope="session")
def built(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact of a checkpoint, built once; tests copy what they change."""
    place = tmp_path_factory.mktemp("artifact") / "bert"
    exporter.build(model=checkpoint, output=place)
    return place


@pytest.fixture
def copy(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "copy"))


class TestArtifact:
    """One class, so that one process builds the artifact and looks at it (see the ids below)."""

    @pytest.mark.parametrize("_", [0], ids=["artifact/without-torch"])
    def test_verifying_needs_no_torch(self, _: int, built: Path, tmp_path: Path):
        done = subprocess.run(
            [sys.executable, "-c", WITHOUT_TORCH, "verify", str(built)],
            cwd=tmp_path,
            env=offline_environment(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "verified in onnxruntime" in done.stdout

    @pytest.mark.parametrize("_", [0], ids=["artifact/beside-its-model"])
    def test_verifying_beside_the_checkpoint(self, _: int, built: Path, checkpoint: Path, make_checkpoint):
        report = exporter.verify(built, model=checkpoint)
        assert report.passed
        golden = exporter.verify(built)
        seeds = {comparison.seed for comparison in report.comparisons}
        assert seeds.isdisjoint({comparison.seed for comparison in golden.comparisons})
        another = make_checkpoint("BertForMaskedLM", "bert", seed=8, **TINY_BERT)
        with pytest.raises(
            exporter.ExporterError, match=r"is not the checkpoint this artifact was built from: model\.safetensors"
        ):
            exporter.verify(built, model=another)

    @pytest.mark.parametrize(
        "name",
        ["model.onnx", "config.json", "test_data_set_0/input_0.pb", "test_data_set_1/output_0.pb"],
        ids=lambda name: f"artifact/{name.replace('/', '-')}",
    )
    def test_a_file_that_was_changed_or_lost_is_named(self, name: str, copy: Path, run: Run):
        path = copy / name
        content = path.read_bytes()
        middle = len(content) // 2
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
        assert f"{name} has changed since it was built" in assert_clean_failure(run("verify", copy), 1)
        path.unlink()
        assert exporter.verify(copy).problems == (f"{name} is missing",)

    @pytest.mark.parametrize("_", [0], ids=["artifact/weight"])
    def test_a_weight_that_was_changed_is_caught_by_the_numbers_too(self, _: int, copy: Path):
        """Even where whoever changed it kept the books."""
        path = copy / "model.onnx"
        proto = onnx.load(str(path))
        weight = max(proto.graph.initializer, key=lambda tensor: int(np.prod(tensor.dims)))
        array = onnx.numpy_helper.to_array(weight).copy()
        array += 0.01
        weight.CopyFrom(onnx.numpy_helper.from_array(array, weight.name))
        onnx.save(proto, str(path))
        keep_the_books(copy, "model.onnx")
        report = exporter.verify(copy)
        assert not report.passed
        assert not report.problems
        assert "logits" in report.failures()[0]

    @pytest.mark.parametrize("_", [0], ids=["artifact/graph"])
    def test_a_graph_that_was_changed_is_caught_by_its_structure(self, _: int, copy: Path):
        path = copy / "model.onnx"
        proto = onnx.load(str(path))
        proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2
        onnx.save(proto, str(path))
        keep_the_books(copy, "model.onnx")
        report = exporter.verify(copy)
        assert not report.passed
        assert "the input 'input_ids' has shape" in report.problems[0]

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (lambda manifest: manifest.pop("plan"), "manifest"),
            (lambda manifest: manifest["files"].update({"../outside": {"sha256": "0", "bytes": 0}}), "outside"),
        ],
        ids=["artifact/no-plan", "artifact/outside"],
    )
    def test_a_manifest_that_was_changed_is_told(
        self, change: Callable[[dict], object], said: str, copy: Path, run: Run
    ):
        manifest = json.loads((copy / MANIFEST).read_text("utf-8"))
        change(manifest)
        (copy / MANIFEST).write_text(json.dumps(manifest), "utf-8")
        result = run("verify", copy)
        assert result.returncode in (1, 2), result.stderr
        assert said in assert_clean_failure(result, result.returncode)

    @pytest.mark.parametrize("_", [0], ids=["artifact/vectors"])
    def test_the_golden_vectors_follow_the_convention_of_onnx(self, _: int, built: Path):
        """As ONNX's own backend tests read them: by number, in the order of the graph's inputs and outputs."""
        session = onnxruntime.InferenceSession(str(built / "model.onnx"))
        folders = sorted(built.glob("test_data_set_*"))
        assert [folder.name for folder in folders] == [f"test_data_set_{index}" for index in range(len(folders))]
        assert len(folders) >= 3
        for folder in folders:
            inputs, outputs = (
                [load_tensor(folder / f"{role}_{index}.pb") for index in range(len(list(folder.glob(f"{role}_*.pb"))))]
                for role in ("input", "output")
            )
            names = [value.name for value in session.get_inputs()]
            actual = session.run(None, dict(zip(names, inputs, strict=True)))
            for output, golden in zip(actual, outputs, strict=True):
                np.testing.assert_allclose(output, golden, rtol=1e-3, atol=1e-4)

    @pytest.mark.parametrize("_", [0], ids=["artifact/manifest"])
    def test_the_manifest_says_what_it_is_and_nothing_of_the_machine(self, _: int, built: Path, checkpoint: Path):
        text = (built / MANIFEST).read_text("utf-8")
        manifest = json.loads(text)
        assert manifest["architecture"] == "bert"
        assert manifest["source"]["files"].keys() == {"config.json", "model.safetensors"}
        assert manifest["report"]["passed"] is True
        present = {path.relative_to(built).as_posix() for path in built.rglob("*") if path.is_file()}
        assert set(manifest["files"]) == present - {MANIFEST, CARD}
        for place in (built, checkpoint.parent, Path.home(), Path.cwd()):
            assert str(place) not in text


def keep_the_books(directory: Path, name: str) -> None:
    """Write into the manifest what a file is now."""
    from exporter.models.checkpoints import digest_file

    path = directory / MANIFEST
    manifest = json.loads(path.read_text("utf-8"))
    manifest["files"][name] = {"sha256": digest_file(directory / name), "bytes": (directory / name).stat().st_size}
    path.write_text(json.dumps(manifest), "utf-8")


def load_tensor(path: Path) -> np.ndarray:
    return onnx.numpy_helper.to_array(onnx.TensorProto.FromString(path.read_bytes()))


@pytest.mark.parametrize("architecture", ["t5"])
def test_equal_builds_are_equal_bytes(architecture: str, tmp_path: Path, run: Run):
    """In other directories, in other processes, with other hashes of strings."""
    artifacts = []
    for seed in ("1", "2"):
        place = tmp_path / f"place-{seed}" / "deep" / "artifact"
        result = run(
            "build", architecture, "--task", "text2text-generation-with-past", "-o", place, PYTHONHASHSEED=seed
        )
        assert result.returncode == 0, result.stderr
        artifacts.append(
            {path.relative_to(place).as_posix(): path.read_bytes() for path in place.rglob("*") if path.is_file()}
        )
    first, second = artifacts
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []
