"""The commands that build: what they print, and what they refuse before any work."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from artifact_files import occupy
from click.testing import Result
from commands import TINY_BERT, Run, assert_clean_failure, read_answer

from exporter import api
from exporter.building.measuring import Measurement
from exporter.building.pool import Outcome
from exporter.errors import CheckpointError, ExportError

Contents = Callable[[Path], dict[str, bytes | None]]


@pytest.fixture
def bert(make_checkpoint: Callable[..., Path], tmp_path: Path) -> Path:
    """A small checkpoint of a masked language model, to break."""
    return Path(shutil.copytree(make_checkpoint("BertForMaskedLM", "bert", **TINY_BERT), tmp_path / "checkpoint"))


# Build files


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("spec_version: 1\nkind: build\nbuilds: 3\n", "wrong-type"),
        ("spec_version: 1\nkind: build\nbuilds:\n- {spec: bert, taks: [fill-mask]}\n", "did you mean 'tasks'?"),
        ("spec_version: 1\nkind: build\nbuilds:\n- {tasks: [fill-mask]}\n", "neither 'spec' nor 'model'"),
        ("spec_version: 1\nkind: build\nbuilds:\n- {spec: ../../bert.yaml}\n", "spec"),
        ("spec_version: 1\nkind: build\nbuilds:\n- {spec: bert, output: ../elsewhere}\n", "leads out of"),
        ("spec_version: 1\nkind: build\nbuilds:\n- {spec: bert, output: /elsewhere}\n", "leads out of"),
        ("spec_version: 1\nkind: build\noutput: ..\nbuilds:\n- {spec: bert}\n", "leads out of"),
        ("spec_version: 1\nkind: build\nbuilds:\n- {spec: bert}\n- {spec: bert}\n", "two builds would be written to"),
        ("spec_version: 1\nkind: build\nbuilds:\n- {spec: bert, opset: 9}\n", "opset"),
        ("spec_version: 1\nkind: build\nbuilds:\n- {spec: bert, tasks: [fil-mask]}\n", "did you mean 'fill-mask'?"),
        ("spec_version: 1\nkind: build\nbuilds:\n- {spec: berd}\n", "did you mean 'bert'?"),
    ],
)
def test_bad_build_files(text: str, said: str, tmp_path: Path, refuse: Callable[..., str], contents: Contents):
    (tmp_path / "builds.yaml").write_text(text, "utf-8")
    before = contents(tmp_path)
    assert said in refuse((1, 2), "build", "builds.yaml")
    assert contents(tmp_path) == before


# Requests


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "nothing to build"),
        (["bart-like"], "bart-like"),
        (["berd"], "did you mean 'bert'?"),
        (["missing.yaml"], "missing.yaml"),
        (["empty"], "there are no specs in 'empty'"),
        (["bert", "--task", "fil-mask"], "did you mean 'fill-mask'?"),
        (["bert", "--feature", "maskedlm"], "did you mean 'fill-mask'?"),
        (["bert", "--task", "frobnicate"], "the tasks are"),
        (["bert", "--task", "image-classification"], "the architecture 'bert' has no task"),
        (["bert", "--feature", "causal-lm-with-past"], "the architecture 'bert' has no task"),
        (["bert", "--task", ""], "--task has a word that is empty"),
        (["bert", "--opset", "9"], "opsets 11 to 20"),
        (["bert", "--opset", "25"], "opset 25 cannot be had"),
        (["bert", "--opset", "14", "--tracer", "dynamo"], "--tracer torchscript"),
        (["bert", "--opset", "21"], "--tracer dynamo"),
        (["bert", "--opset", "eleven"], "'eleven' is not a valid integer"),
        (["bert", "--opset", "-1"], "opset -1 cannot be had"),
        (["bert", "--dtype", "float8"], "'float8' is not one of"),
        (["bert", "--tracer", "fx"], "'fx' is not one of"),
        (["bert", "--atol", "-1"], "-1.0 is not in the range"),
        (["bert", "--atol", "nan"], "nan is not a finite number"),
        (["bert", "--rtol", "inf"], "inf is not a finite number"),
        (["bert", "--seed", "4294967296"], "is not in the range"),
        (["bert", "--dim", "batch"], "'batch' is not a dim and its size"),
        (["bert", "--dim", "batch=0"], "'batch=0' is not a dim and its size"),
        (["bert", "--dim", "batch=1", "--dim", "batch=2"], "the dim 'batch' is given twice"),
        (["bert", "--variant", "99"], "has no variant 99"),
        (["bert", "--freeze"], "--freeze does not go with the target onnx"),
        (["bert", "--framework", "tf"], "--framework goes with a checkpoint"),
        (["bert", "--jobs", "0"], "0 is not in the range"),
        (["bert", "bert"], "two builds would be written to"),
        (["bert", "--nonsense"], "No such option"),
        (["bert", "--model", "./nowhere"], "the checkpoint './nowhere' does not exist"),
        (["--model", "./file"], "the checkpoint './file' is a file"),
        (["bert", "--model", "./empty", "--revision", "main"], "--revision goes with a hub id"),
        (["--model", "not a model!"], "does not exist"),
        (["--model", ""], "has no name"),
    ],
)
def test_requests_that_cannot_be_served(
    arguments: list[str], said: str, tmp_path: Path, refuse: Callable[..., str], contents: Contents
):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x", "utf-8")
    occupy(tmp_path / "out" / "artifact")
    before = contents(tmp_path)
    assert said in refuse(2, "build", *arguments, "-o", "out/artifact")
    assert contents(tmp_path) == before


# Places


def test_an_output_that_would_lose_something_is_refused(tmp_path: Path, refuse: Callable[..., str], contents: Contents):
    (tmp_path / "file").write_text("precious", "utf-8")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "thesis.txt").write_text("precious", "utf-8")
    before = contents(tmp_path)
    for output, said in (
        ("file", "is a file"),
        ("file/below", "file"),
        ("foreign", "was not written by exporter"),
        ("/proc/nowhere/artifact", "cannot be written"),
        ("x" * 300, "cannot be written"),
    ):
        assert said in refuse(2, "build", "bert", "--task", "fill-mask", "-o", output)
        assert contents(tmp_path) == before


def test_an_output_without_permission_is_refused(
    tmp_path: Path, refuse: Callable[..., str], monkeypatch: pytest.MonkeyPatch
):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    if os.access(closed, os.W_OK):
        # The superuser may write anywhere, so the question is answered for it.
        monkeypatch.setattr(os, "access", lambda path, mode, **_: Path(path) != closed)
    assert "no permission in" in refuse(2, "build", "bert", "--task", "fill-mask", "-o", closed / "artifact")
    assert not list(closed.iterdir())


# Checkpoints, looked at before any work


def rewrite_config(checkpoint: Path, **changes: object) -> None:
    path = checkpoint / "config.json"
    config = {**json.loads(path.read_text("utf-8")), **changes}
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not ...}), "utf-8")


def cut(path: Path, keep: int) -> None:
    path.write_bytes(path.read_bytes()[:keep])


WEIGHTS, INDEX, CONFIG = "model.safetensors", "model.safetensors.index.json", "config.json"


@dataclass(frozen=True)
class Damage:
    """What is done to a checkpoint, and how it is refused."""

    spoil: Callable[[Path], object]
    said: str
    code: int = 1


def write(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda checkpoint: (checkpoint / name).write_bytes(content)


def delete(name: str) -> Callable[[Path], object]:
    return lambda checkpoint: (checkpoint / name).unlink()


def change(**values: object) -> Callable[[Path], object]:
    return lambda checkpoint: rewrite_config(checkpoint, **values)


def shard(weight_map: object) -> Callable[[Path], object]:
    """Put an index of shards in the place of the weights."""

    def spoil(checkpoint: Path) -> None:
        delete(WEIGHTS)(checkpoint)
        write(INDEX, json.dumps({"weight_map": weight_map}).encode())(checkpoint)

    return spoil


def header(text: bytes, data: bytes = b"") -> Callable[[Path], object]:
    """Give the weights a header that is written as a safetensors file has it."""
    return write(WEIGHTS, len(text).to_bytes(8, "little") + text + data)


def both(*damages: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda checkpoint: [damage(checkpoint) for damage in damages]


# Weights that no task can be told by.
OTHER_WEIGHTS = header(b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}', b"1234")


BROKEN = {
    "no-weights": Damage(delete(WEIGHTS), "there are no weights"),
    "no-config": Damage(delete(CONFIG), "there is no config.json"),
    "no-model-type": Damage(change(model_type=...), "has no 'model_type'"),
    "unknown-model-type": Damage(change(model_type="berd"), "there is no spec for the architecture 'berd'", 2),
    "model-type-is-a-path": Damage(change(model_type="../specs/bert"), "there is no spec", 2),
    "model-type-is-a-number": Damage(change(model_type=3), "has no 'model_type'"),
    "no-task": Damage(both(change(architectures=[]), OTHER_WEIGHTS), "give --task", 2),
    "unknown-class": Damage(both(change(architectures=["BertForFrobnication"]), OTHER_WEIGHTS), "give --task", 2),
    "architectures-is-a-number": Damage(both(change(architectures=3), OTHER_WEIGHTS), "give --task", 2),
    "config-is-not-json": Damage(write(CONFIG, b'{"a": '), "is not valid JSON"),
    "config-is-not-text": Damage(write(CONFIG, b"\xff\xfe\x00"), "is not valid JSON"),
    "config-is-a-list": Damage(write(CONFIG, b"[]"), "does not hold a JSON object"),
    "config-is-deep": Damage(write(CONFIG, b"[" * 200_000), "is not valid JSON"),
    "truncated": Damage(lambda checkpoint: cut(checkpoint / WEIGHTS, -100), "is truncated"),
    "cut-in-the-header": Damage(
        lambda checkpoint: cut(checkpoint / WEIGHTS, 100), "is not a readable safetensors file"
    ),
    "empty-weights": Damage(write(WEIGHTS, b""), "is empty"),
    "not-safetensors": Damage(write(WEIGHTS, b"<html>404</html>" * 20), "is not a readable safetensors file"),
    "header-is-not-json": Damage(header(b"{nonsense}"), "its header is not JSON"),
    "header-is-a-list": Damage(header(b"[]"), "its header is not a mapping"),
    "header-is-deep": Damage(header(b"[" * 200_000), "its header is not JSON"),
    "entry-is-malformed": Damage(header(b'{"a": {"dtype": "F32"}}'), "the entry of 'a' is malformed"),
    "entry-is-nonsense": Damage(
        header(b'{"a": {"dtype": [], "shape": ["x"], "data_offsets": [null, {}]}}'), "the entry of 'a' is malformed"
    ),
    "wrong-offsets": Damage(
        header(b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}', b"1234"), "'a' has 4 bytes"
    ),
    "negative-offsets": Damage(
        header(b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [-8, 0]}}', b"1234"), "'a'"
    ),
    "missing-shard": Damage(shard({"a": "model-1.safetensors"}), "the shard model-1.safetensors"),
    "shard-outside": Damage(shard({"a": "../../secret"}), "outside the checkpoint's directory"),
    "index-without-a-map": Damage(shard([]), "has no weight_map"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_checkpoints_are_refused_before_any_work(
    name: str, bert: Path, refuse: Callable[..., str], intact: Callable[[], None]
):
    damage = BROKEN[name]
    damage.spoil(bert)
    said = refuse(damage.code, "build", "--model", bert, "-o", "out/artifact")
    assert damage.said in said
    assert len(said) < 2000
    intact()


def test_a_hub_id_without_a_network_fails_within_seconds(tmp_path: Path, run: Run, contents: Contents):
    before = contents(tmp_path)
    said = assert_clean_failure(
        run("build", "--model", "some-organization/some-model", timeout=60, HF_HOME=str(tmp_path / "hub")), 1
    )
    assert "the hub cannot be reached" in said
    assert "give the path of a local checkpoint" in said
    shutil.rmtree(tmp_path / "hub", ignore_errors=True)
    assert contents(tmp_path) == before


# Running, without a worker

FAILED = CheckpointError("the shard x is missing", help="download it again")


@pytest.fixture
def outcomes(monkeypatch: pytest.MonkeyPatch) -> list[Outcome]:
    """What every build of a command ends with, in place of a worker's answer."""
    ended: list[Outcome] = []

    def run_requests(builds, on_stage, jobs):
        for build in builds:
            on_stage(build, "exporting")
        return iter(ended)

    monkeypatch.setattr(api, "run_requests", run_requests)
    return ended


def test_a_build_prints_what_it_builds_and_what_came_of_it(
    invoke: Callable[..., Result], outcomes: list[Outcome], built: Outcome
):
    outcomes.append(built)
    result = invoke("build", "bert", "--task", "fill-mask", "-o", "out")
    assert result.return_value == 0
    assert result.stderr.splitlines() == [
        "Building bert from its reference, a tiny model with random weights (give --model for a checkpoint)",
        "  task: fill-mask (asked for)",
        "✓ bert fill-mask  2.3 s  verified, largest difference 10% of its bound  → out",
    ]
    assert result.stdout.startswith("out  (BertForMaskedLM, float32, opset 18, torchscript tracer)\n")
    assert "1 built" not in result.stderr


def test_a_failed_build_does_not_hide_the_others_and_sets_the_exit_code(
    invoke: Callable[..., Result], outcomes: list[Outcome], built: Outcome
):
    outcomes += [replace(built, plan=None, report=None, error=FAILED), built]
    result = invoke("build", "bert", "--task", "fill-mask", "--task", "text-generation")
    assert result.return_value == FAILED.exit_code == 1
    assert "error: the shard x is missing\n  = help: download it again\n" in result.stderr
    assert result.stderr.endswith("1 built, 1 failed\n")
    assert result.stdout.startswith("out  (BertForMaskedLM")


def test_the_json_of_a_build_stands_alone_on_standard_output(
    invoke: Callable[..., Result], outcomes: list[Outcome], built: Outcome
):
    outcomes += [built, replace(built, plan=None, report=None, error=ExportError("the tracer fails"))]
    result = invoke("build", "bert", "--json")
    good, failed = read_answer(result.stdout, ok=False)["builds"]
    assert (good["ok"], good["error"], good["plan"]["task"]) == (True, None, "fill-mask")
    assert failed["error"] == {"kind": "ExportError", "message": "the tracer fails", "help": None, "findings": []}
    assert result.return_value == 1


def test_more_jobs_are_asked_for_as_given(monkeypatch: pytest.MonkeyPatch, invoke: Callable[..., Result]):
    asked: list[int] = []
    monkeypatch.setattr(api, "run_requests", lambda builds, on_stage, jobs: asked.append(jobs) or iter(()))
    assert invoke("build", "bert", "-j", "3").return_value == 0
    assert asked == [3]


def measurement(share: float, error: str | None = None) -> Measurement:
    return Measurement("bert", "fill-mask", 1e-6, share, "logits", 2.0, 1e-6, error)


@pytest.mark.parametrize(
    ("share", "code", "verdict"), [(0.5, 0, "good"), (0.01, 1, "too loose"), (3.0, 1, "too tight")]
)
def test_measure_says_how_a_bound_fits(
    monkeypatch: pytest.MonkeyPatch, invoke: Callable[..., Result], share: float, code: int, verdict: str
):
    given: list[object] = []

    def measure(names, options, on_stage, on_planned):
        given.extend((names, options))
        return iter((measurement(share),))

    monkeypatch.setattr(api, "measure", measure)
    result = invoke("measure", "bert", "--dtype", "float16")
    assert (result.return_value, given) == (code, [("bert",), {"dtype": "float16"}])
    assert f"the spec's bound is {verdict}" in result.stdout
    (data,) = read_answer(invoke("measure", "bert", "--json").stdout, ok=code == 0)["measurements"]
    assert (data["verdict"], data["suggested"]) == (verdict, 7e-06)
