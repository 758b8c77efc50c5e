"""Graphs for OpenVINO: in every dtype, at open and at fixed sizes, with equal bytes, and with a card."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from commands import Run, assert_clean_failure

import exporter
from exporter.api import BuildResult
from exporter.artifacts.manifest import read_manifest
from exporter.errors import ExportError, UsageError
from exporter.targets.registry import find_target, import_toolchain

openvino = pytest.importorskip("openvino")


def files(directory: Path) -> dict[str, bytes]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


def test_a_build_is_verified_in_openvino_at_every_point(artifact: BuildResult):
    assert {"model.xml", "model.bin", "config.json"} <= set(artifact.files)
    assert not [name for name in artifact.files if "onnx" in name], "what was converted is not part of the artifact"
    assert artifact.report is not None
    assert artifact.report.passed
    assert artifact.report.runtime.startswith("openvino ")
    points = {comparison.point for comparison in artifact.report.comparisons}
    assert points == {point.name for point in artifact.plan.sizes.points}
    assert "openvino" in read_manifest(artifact.directory)["versions"]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_goes_in_and_comes_out(dtype: str, tmp_path: Path):
    (result,) = exporter.build("distilbert", task="fill-mask", target="openvino", dtype=dtype, output=tmp_path / "out")
    model = openvino.Core().read_model(tmp_path / "out" / "model.xml")
    expected = {"float16": openvino.Type.f16, "bfloat16": openvino.Type.bf16}[dtype]
    assert model.outputs[0].get_element_type() == expected
    assert result.report is not None
    assert result.report.passed
    assert exporter.verify(tmp_path / "out").passed


def test_weights_can_be_float16_where_the_rest_is_float32(artifact: BuildResult, tmp_path: Path):
    place = tmp_path / "out"
    settings = {"compress_to_fp16": True}
    (result,) = exporter.build("distilbert", task="fill-mask", target="openvino", settings=settings, output=place)
    assert result.files["model.bin"] < 0.6 * artifact.files["model.bin"]
    assert openvino.Core().read_model(place / "model.xml").outputs[0].get_element_type() == openvino.Type.f32
    # The bound is that of float16, and says why.
    assert result.plan.bound.atol > artifact.plan.bound.atol
    assert "float16" in str(result.plan.bound.because)


def test_dims_can_be_fixed(tmp_path: Path):
    dims = {"batch": 1, "sequence": 7}
    exporter.build("distilbert", task="fill-mask", target="openvino", dims=dims, static=True, output=tmp_path / "out")
    model = openvino.Core().read_model(tmp_path / "out" / "model.xml")
    assert [list(port.shape) for port in model.inputs] == [[1, 7], [1, 7]]


def test_equal_builds_give_equal_bytes(tmp_path: Path):
    for name in ("first", "second"):
        exporter.build("distilbert", task="fill-mask", target="openvino", output=tmp_path / name / "out")
    first, second = files(tmp_path / "first"), files(tmp_path / "second")
    assert first == second
    assert str(tmp_path).encode() not in first["out/model.xml"]


def test_operations_are_named_by_their_place_and_not_by_a_counter(artifact: BuildResult):
    text = (artifact.directory / "model.xml").read_text("utf-8")
    numbers = [int(number) for number in re.findall(r'name="Constant_(\d+)"', text)]
    layers = text.count("<layer ")
    assert numbers
    assert max(numbers) < layers


def test_the_program_in_the_card_runs(artifact: BuildResult):
    text = (artifact.directory / "README.md").read_text("utf-8")
    assert 'library_name: "openvino"\n' in text
    (program,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=artifact.directory,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("logits (2, 8, ")


def test_options_of_onnx_files_are_refused_with_the_reason(run: Run, tmp_path: Path):
    for option, reason in (("--merged", "load ONNX"), ("--weights=external", "in a .bin beside")):
        said = assert_clean_failure(run("build", "bert", "--target", "openvino", option, "-o", tmp_path / "out"), 2)
        assert reason in said
    said = assert_clean_failure(run("build", "bert", "--target", "onnx", "--compress-to-fp16"), 2)
    assert "it belongs to --target openvino" in said


def test_without_the_package_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ExportError, match="needs the package 'openvino'") as caught:
        import_toolchain(find_target("openvino"), {})
    assert "checkpoint-exporter[openvino]" in str(caught.value.help)


def test_a_layout_of_onnx_graphs_is_refused():
    with pytest.raises(UsageError, match="the target is openvino"):
        exporter.plan("bert", "fill-mask", target="openvino", layout="transformers-js")
