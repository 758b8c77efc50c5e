"""One job from its plan to its files, in this process: what is done in which order, and what is left of a failure."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

import exporter
from exporter.artifacts.manifest import read_manifest, read_plan
from exporter.building import job
from exporter.building.events import Built, Job
from exporter.building.job import build_artifact
from exporter.building.requests import plan_builds
from exporter.errors import ExportError, UsageError
from exporter.targets.registry import find_target
from exporter.verification.report import Comparison, Report, VerificationError

GOOD = Comparison("model", "logits", "trace", {"batch": 2}, 0, (2, 8, 99), share=0.5)
BAD = Comparison("model", "logits", "check 1", {"batch": 3}, 0, (3, 8, 99), max_abs=0.1, share=12.0, outside=7)


def run_job(given: dict[str, Any], staging: Path) -> tuple[Built, list[str]]:
    """Return what a build of BERT's fill-mask made, and what it said was being done."""
    (build,) = plan_builds(["bert"], {"tasks": ("fill-mask",), **given, "output": staging})
    staging.mkdir()
    said: list[str] = []
    return build_artifact(Job(build.request, staging), said.append), said


def test_a_reference_is_made_exported_verified_and_described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    built, said = run_job({}, tmp_path / "staging")
    assert built.plan == exporter.plan("bert", "fill-mask") == read_plan(tmp_path / "staging")
    assert built.model_class == "BertForMaskedLM"
    assert built.report is not None
    assert built.report.passed
    assert read_manifest(tmp_path / "staging")["report"] == built.report.summary
    files = {path.relative_to(tmp_path / "staging").as_posix(): path for path in (tmp_path / "staging").rglob("*")}
    assert built.files == {name: path.stat().st_size for name, path in files.items() if path.is_file()}
    assert {"model.onnx", "manifest.json", "README.md", "config.json"} <= set(built.files)
    steps = ["making", "loading", "exporting", "computing", "verifying", "changing", "writing"]
    order = [text.split()[0] for text in said]
    assert list(dict.fromkeys(order)) == steps
    # The reference is not left outside of the artifact.
    assert not list(scratch.glob("exporter-*"))


def test_a_checkpoint_is_taken_with_what_lies_beside_it_and_not_verified_unless_asked(masked_lm: Path, tmp_path: Path):
    checkpoint = tmp_path / "checkpoint"
    shutil.copytree(masked_lm, checkpoint)
    (checkpoint / "tokenizer_config.json").write_text('{"model_max_length": 40}', "utf-8")
    (checkpoint / "dict.txt").write_text("a 1", "utf-8")
    (checkpoint / "manifest.json").write_text("{}", "utf-8")
    (checkpoint / "optimizer.pt").write_bytes(b"x")
    built, said = run_job({"model": str(checkpoint), "verify": False}, tmp_path / "staging")
    assert built.report is None
    assert read_manifest(tmp_path / "staging")["report"] is None
    assert not [text for text in said if text.startswith(("making", "verifying"))]
    assert said[0] == "opening the checkpoint"
    copied = tmp_path / "staging" / "tokenizer_config.json"
    assert copied.read_text("utf-8") == '{"model_max_length": 40}'
    assert "dict.txt" in built.files
    assert "optimizer.pt" not in built.files
    left = {"manifest.json": "names that the artifact gives to files of its own", "optimizer.pt": "training state"}
    assert {item.name: item.reason for item in built.left} == left
    assert read_manifest(tmp_path / "staging")["source"]["left_behind"] == left
    assert built.remarks[-1] == (
        "left behind: names that the artifact gives to files of its own (manifest.json); training state (optimizer.pt)"
    )
    assert not built.plan.model.is_reference


def test_a_toolchain_that_is_not_there_is_told_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    modules = find_target("neuron").build_modules({})
    assert modules
    for name in modules:
        monkeypatch.setitem(sys.modules, name, None)
    (build,) = plan_builds(["bert"], {"tasks": ("fill-mask",), "targets": ("neuron",), "verify": False})
    said: list[str] = []
    with pytest.raises(ExportError, match="cannot be imported: ModuleNotFoundError"):
        build_artifact(Job(build.request, tmp_path), said.append)
    assert said == []
    assert not list(tmp_path.iterdir())


def test_a_request_that_does_not_hold_is_refused_before_a_model_is_made(tmp_path: Path):
    (build,) = plan_builds(["bert"], {"tasks": ("fill-mask",), "dims": {"nonsense": 1}})
    said: list[str] = []
    with pytest.raises(UsageError, match="'nonsense' is no dynamic dim"):
        build_artifact(Job(build.request, tmp_path), said.append)
    assert said == []
    assert not list(tmp_path.iterdir())


def verify_with(report: Report, target: str, staging: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return what a target is told of its open dims where verification gives a report."""
    plan = exporter.plan("bert", "fill-mask", target=target)
    described: list[Any] = []

    class Recorder:
        @staticmethod
        def describe_open_dims(*arguments: Any) -> None:
            described.append(arguments)

    monkeypatch.setattr(job, "verify_artifact", lambda *_: report)
    monkeypatch.setattr(job, "find_target", lambda name: Recorder if name == target else None)
    assert job._verify(plan, {}, staging, lambda text: None) is report
    return described


def test_a_report_that_does_not_pass_is_an_error_that_carries_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for report in (
        Report("onnxruntime", 1e-5, 1e-5, (GOOD, BAD), ()),
        Report("onnxruntime", 1e-5, 1e-5, (GOOD,), ("an input is missing",), {"model": {"batch": "open"}}),
        Report("onnxruntime", 1e-5, 1e-5, (), ()),
    ):
        with pytest.raises(VerificationError, match="bert fill-mask failed verification") as failure:
            verify_with(report, "torchscript", tmp_path, monkeypatch)
        assert failure.value.report is report


def test_dims_that_were_probed_are_described_beside_their_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    plan = exporter.plan("bert", "fill-mask", target="torchscript")
    verdicts = {"batch": "open", "sequence": "fixed"}
    report = Report("torch", 1e-5, 1e-5, (GOOD,), (), {"model": verdicts})
    described = verify_with(report, "torchscript", tmp_path, monkeypatch)
    assert described == [(tmp_path, plan.graphs[0], plan, verdicts)]
    # A graph that was not probed says which of its dims are open, or nobody knows.
    assert verify_with(Report("torch", 1e-5, 1e-5, (GOOD,), ()), "torchscript", tmp_path, monkeypatch) == []
