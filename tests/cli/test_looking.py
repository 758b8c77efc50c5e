"""The commands that look and build nothing: what they print, and what they refuse."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from artifact_files import occupy
from click.testing import Result
from commands import SPECS, read_answer

from exporter import api
from exporter.errors import UsageError
from exporter.language.catalog import list_specs
from exporter.planning.plan import Plan
from exporter.verification.report import Report


def test_plan_prints_what_a_build_would_make(invoke: Callable[..., Result]):
    result = invoke("plan", "bert", "--task", "masked-lm", "--opset", "17", "--dim", "batch=1")
    first, *rest = result.stdout.splitlines()
    assert first == "bert fill-mask  (AutoModelForMaskedLM, float32, opset 17, torchscript tracer)"
    assert "    in    input_ids: int64[1, sequence] = randint(99)" in rest
    assert result.return_value == 0


def test_plans_as_data_are_the_plans(invoke: Callable[..., Result], plan: Plan):
    bound = ("--atol", str(plan.bound.atol), "--rtol", str(plan.bound.rtol))
    (data,) = read_answer(invoke("plan", "bert", "--task", "fill-mask", *bound, "--json").stdout)["plans"]
    assert Plan.from_data(data) == plan


def test_list_has_every_architecture(invoke: Callable[..., Result], tmp_path: Path):
    names = [path.stem for path in list_specs()]
    assert [entry["architecture"] for entry in read_answer(invoke("list", "--json").stdout)["architectures"]] == names
    assert invoke("list").stdout.splitlines()[-1].startswith(f"{len(names)} architectures, ")
    assert invoke("list", "--markdown").stdout.startswith(f"{len(names)} architectures, ")
    (tmp_path / "vit.yaml").write_bytes((SPECS / "vit.yaml").read_bytes())
    listed = read_answer(invoke("list", tmp_path, "--json").stdout)["architectures"]
    assert [entry["architecture"] for entry in listed] == ["vit"]


def test_show_names_the_place_of_every_value(invoke: Callable[..., Result]):
    lines = invoke("show", "distilbert").stdout.splitlines()
    places = dict(line.rsplit("  # ", 1) for line in lines if "  # " in line)
    assert all(place.startswith("specs/") for place in places.values())
    assert {place.partition(":")[0] for place in places.values()} == {
        "specs/distilbert.yaml",
        "specs/families/encoder.yaml",
    }
    data = read_answer(invoke("show", "distilbert", "--json").stdout)["spec"]
    assert data["architecture"] == {"value": "distilbert", "from": "specs/distilbert.yaml:3"}


@pytest.mark.parametrize("kind", ["spec", "family", "tasks", "build", "output", "plan-output"])
def test_schema_prints_one_document(invoke: Callable[..., Result], kind: str):
    schema = json.loads(invoke("schema", kind).stdout)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert "properties" in schema
    # Nothing in it leads to another file.
    assert "defs.schema.json#" not in json.dumps(schema)


def test_schema_without_a_kind_is_that_of_specs(invoke: Callable[..., Result]):
    assert invoke("schema").stdout == invoke("schema", "spec").stdout
    assert invoke("schema", "--markdown").stdout.startswith("# Keys of the documents\n")


def test_schemas_for_editors_have_the_names_there_are(invoke: Callable[..., Result], tmp_path: Path):
    schema = json.loads(invoke("schema", "--editor").stdout)
    assert "encoder" in schema["$defs"]["known_family"]["enum"]
    assert ".schema.json#" not in json.dumps(schema)
    (tmp_path / "families").mkdir()
    (tmp_path / "families" / "mine.yaml").write_text("family: mine\n", "utf-8")
    schema = json.loads(invoke("schema", "spec", "--beside", str(tmp_path)).stdout)
    assert "mine" in schema["$defs"]["known_family"]["enum"]
    for words in (["--beside", str(tmp_path / "none")], ["plan-output", "--editor"], ["--editor", "--markdown"]):
        with pytest.raises(UsageError) as refused:
            invoke("schema", *words)
        assert refused.value.help


def test_explain_takes_names_and_codes(invoke: Callable[..., Result]):
    page = invoke("explain", "unknown-dim").stdout
    assert page.startswith("unknown-dim  (EXP203, error)\n\n")
    assert page == invoke("explain", "EXP203").stdout == invoke("explain", "exp203").stdout
    assert page.splitlines()[0].split()[0] in invoke("explain").stdout
    assert invoke("explain", "--markdown").stdout.startswith("# Rules\n")
    (rule,) = read_answer(invoke("explain", "EXP203", "--json").stdout)["rules"]
    assert (rule["rule"], rule["code"], rule["severity"]) == ("unknown-dim", "EXP203", "error")
    assert rule["page"] in page
    assert len(read_answer(invoke("explain", "--json").stdout)["rules"]) == len(invoke("explain").stdout.splitlines())


# Verify


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch, report: Report) -> list[dict[str, Any]]:
    """What `verify` is asked for; the first time it passes, then one output differs."""
    asked: list[dict[str, Any]] = []
    worst = replace(report.comparisons[0], share=3.0, max_abs=3e-5, outside=2, where=(0, 1, 2))

    def verify(directory: Path, **options: Any) -> Report:
        asked.append({"directory": directory, **options})
        return report if len(asked) == 1 else replace(report, comparisons=(worst, *report.comparisons[1:]))

    monkeypatch.setattr(api, "verify", verify)
    return asked


def test_verify_prints_the_verdict(invoke: Callable[..., Result], verified: list[dict[str, Any]]):
    good = invoke("verify", "out", "--atol", "0.001")
    assert good.return_value == 0
    assert good.stdout.splitlines()[-1] == "verified in onnxruntime 1.0: 3 comparisons, atol 1.0e-05, rtol 1.0e-05"
    bad = invoke("verify", "out", "--model", "there", "--revision", "main")
    assert bad.return_value == 1
    assert bad.stderr.startswith("error: model: 'logits' differs by 3.00e-05 (3 times its bound)")
    assert "verified" not in bad.stdout
    assert [(asked["directory"], asked["model"], asked["atol"], asked["revision"]) for asked in verified] == [
        (Path("out"), None, 0.001, None),
        (Path("out"), "there", None, "main"),
    ]


def test_a_report_as_data_has_the_verdict(invoke: Callable[..., Result], verified: list[dict[str, Any]]):
    for passed in (True, False):
        result = invoke("verify", "out", "--json")
        data = read_answer(result.stdout, ok=passed)["report"]
        assert (data["passed"], result.return_value) == (passed, 0 if passed else 1)
        assert Report.from_data(data).passed is passed
        assert result.stderr == ""


def manifest(plan: Plan, **changes: Any) -> dict[str, Any]:
    """Return a manifest of the current version, as data, in which some keys are changed."""
    files = {"model.onnx": {"sha256": "0" * 64, "bytes": 1}}
    data = {"manifest_version": 2, "source": {"files": {}}, "plan": plan.to_data(), "files": files}
    return {**data, **changes}


def test_files_that_are_not_those_of_the_build_fail(tmp_path: Path, plan: Plan, invoke: Callable[..., Result]):
    occupy(tmp_path / "artifact")
    files = {name: {"sha256": "0" * 64, "bytes": 1} for name in ("model.onnx", "gone.json")}
    (tmp_path / "artifact" / "manifest.json").write_text(json.dumps(manifest(plan, files=files)), "utf-8")
    result = invoke("verify", tmp_path / "artifact")
    assert result.return_value == 1
    assert result.stderr.splitlines() == [
        "error: model.onnx has changed since it was built",
        "error: gone.json is missing",
    ]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: json.dumps(data)[:-1],
        lambda data: json.dumps(data)[: len(json.dumps(data)) // 2],
        lambda data: "",
        lambda data: "null",
        lambda data: '"manifest_version"',
        lambda data: "[1, 2]",
        lambda data: "[" * 200_000,
        lambda data: json.dumps({**data, "plan": []}),
        lambda data: json.dumps({**data, "plan": "a plan"}),
        lambda data: json.dumps({**data, "plan": {**data["plan"], "graphs": {}}}),
        lambda data: json.dumps({**data, "plan": {**data["plan"], "bound": {"atol": "small"}}}),
        lambda data: json.dumps({**data, "plan": {**data["plan"], "extra": 1}}),
        lambda data: json.dumps({**data, "files": []}),
        lambda data: json.dumps({**data, "files": {"model.onnx": 3}}),
        lambda data: json.dumps({**data, "source": 3}),
        lambda data: json.dumps({name: value for name, value in data.items() if name != "plan"}),
    ],
)
def test_a_damaged_manifest_is_none(
    spoil: Callable[[dict[str, Any]], str], tmp_path: Path, plan: Plan, refuse: Callable[..., str]
):
    occupy(tmp_path / "artifact")
    (tmp_path / "artifact" / "manifest.json").write_text(spoil(manifest(plan)), "utf-8")
    assert "'artifact/manifest.json' is not a manifest of exporter" in refuse(2, "verify", "artifact")


def test_bytes_that_are_no_text_are_no_manifest(tmp_path: Path, refuse: Callable[..., str]):
    occupy(tmp_path / "artifact")
    (tmp_path / "artifact" / "manifest.json").write_bytes(bytes(range(256)))
    assert "is not a manifest of exporter" in refuse(2, "verify", "artifact")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["verify", "nowhere"], "it does not exist"),
        (["verify", "file"], "'file' is a file"),
        (["verify", "empty"], "it has no manifest.json"),
        (["verify", "newer"], "has manifest version 99"),
        (["verify"], "Missing argument"),
        (["verify", "newer", "--atol", "nan"], "nan is not a finite number"),
        (["verify", "newer", "--rtol", "inf"], "inf is not a finite number"),
        (["verify", "newer", "--revision", "main"], "--revision goes with a checkpoint, and none is given"),
        (["show", "berd"], "did you mean 'bert'?"),
        (["show", "empty"], "no spec for the architecture 'empty'"),
        (["show", "tasks"], "no spec for the architecture 'tasks'"),
        (["show", "folder.yaml"], "there is no spec 'folder.yaml'"),
        (["show", "loop.yaml"], "there is no spec 'loop.yaml'"),
        (["plan"], "nothing to build"),
        (["plan", "berd"], "did you mean 'bert'?"),
        (["plan", "empty"], "there are no specs in 'empty'"),
        (["plan", "bert", "--static"], "needs the sizes of: batch, sequence"),
        (["plan", "bert", "--dim", "frob=2"], "'frob' is no dynamic dim"),
        (["explain", "unknown-dimm"], "did you mean 'unknown-dim'?"),
        (["explain", "unknown-dim", "unknown-key"], "unexpected extra argument"),
        (["schema", "model"], "there is no schema 'model'"),
        (["list", "nowhere"], "there is no architecture 'nowhere' here"),
        (["list", "file"], "'file' is a file"),
    ],
)
def test_requests_that_cannot_be_served(command: list[str], said: str, tmp_path: Path, refuse: Callable[..., str]):
    for name in ("empty", "newer", "folder.yaml"):
        (tmp_path / name).mkdir()
    (tmp_path / "file").write_text("x", "utf-8")
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    (tmp_path / "newer" / "manifest.json").write_text('{"manifest_version": 99}', "utf-8")
    assert said in refuse(2, *command)


@pytest.mark.parametrize("command", ["plan", "build"])
def test_a_plan_refuses_what_a_build_refuses(command: str, refuse: Callable[..., str]):
    assert "opset 9 cannot be had" in refuse(2, command, "bert", "--opset", "9")
    assert "two builds would be written to" in refuse(2, command, "bert", "bert")
