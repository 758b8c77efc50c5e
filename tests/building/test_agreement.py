"""What is planned is what is built, and what a build refuses a plan refuses with the same words, at every door.

A build runs here as it always does, up to the load of its model: requests become builds, builds become jobs, a job
crosses to its worker as a line of JSON, and the worker prepares it. Only the process and what comes after are left out.
The last tests leave out nothing.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from commands import SPECS, read_answer

import exporter
from exporter import api
from exporter.artifacts.manifest import read_plan
from exporter.building import job, pool
from exporter.building.events import Built, Job, error_from_data, error_to_data, job_from_line, to_line
from exporter.building.preparing import Prepared
from exporter.cli.main import main
from exporter.errors import ExporterError
from exporter.planning.plan import Plan

Places = Mapping[str, Path]


@dataclass(frozen=True)
class Row:
    """A request: specs, what is given, and part of the reason why it is refused; None for one that is served.

    A text in braces is the name of a place: ``{masked_lm}`` is the directory of a checkpoint.
    ``by_click`` is part of the reason where the command line refuses a word before the engine sees it.
    """

    name: str
    specs: tuple[str, ...]
    given: Mapping[str, Any] = field(default_factory=dict)
    refused: str | None = None
    by_click: str | None = None

    def __str__(self) -> str:
        return self.name


def of_bert(name: str, given: Mapping[str, Any], refused: str | None = None, by_click: str | None = None) -> Row:
    """A request for BERT's fill-mask, or for another task that is given."""
    return Row(name, ("bert",), {"tasks": ("fill-mask",), **given}, refused, by_click)


STATIC = {"batch": 1, "sequence": 8}
ROWS = (
    of_bert("a task", {}),
    of_bert("a retired name", {"tasks": ("masked-lm",)}),
    of_bert("several tasks", {"tasks": ("fill-mask", "default")}),
    of_bert("a task under two names", {"tasks": ("fill-mask", "masked-lm")}),
    of_bert("an unknown task", {"tasks": ("fil-mask",)}, "fil-mask"),
    Row("auto of a reference", ("gpt2",), {"tasks": ("auto",)}),
    Row("no task of a reference", ("gpt2",)),
    Row("auto of a checkpoint", (), {"tasks": ("auto",), "model": "{masked_lm}"}),
    Row("no task of a checkpoint", ("bert",), {"model": "{masked_lm}"}),
    of_bert("a task of a checkpoint", {"tasks": ("feature-extraction",), "model": "{masked_lm}", "opset": 17}),
    Row("a checkpoint of another architecture", ("gpt2",), {"model": "{masked_lm}"}, "bert"),
    Row("a checkpoint without a config", ("bert",), {"model": "{empty}"}, "config.json"),
    Row("a checkpoint whose config is damaged", ("bert",), {"model": "{damaged}"}, "config.json"),
    of_bert("a checkpoint whose config is senseless", {"model": "{senseless}"}, "hidden_act"),
    of_bert("a variant with a checkpoint", {"model": "{masked_lm}", "variant": 1}, "--variant goes with"),
    of_bert("a revision without a model", {"revision": "main"}, "--revision goes with a checkpoint"),
    Row("nothing", (), {}, "nothing to build"),
    Row("a variant", ("gpt2",), {"tasks": ("text-generation",), "variant": 1}),
    Row("a variant that is not there", ("gpt2",), {"tasks": ("text-generation",), "variant": 9}, "variant"),
    of_bert("a dim fixed", {"dims": {"batch": 2}}),
    of_bert("all dims fixed", {"dims": STATIC, "static": True}),
    of_bert("static without sizes", {"dims": {"batch": 1}, "static": True}, "--static fixes every dim"),
    of_bert("an unknown dim", {"dims": {"sequences": 8}}, "'sequences' is no dynamic dim"),
    of_bert("a lower opset", {"opset": 11}),
    of_bert("an opset too low", {"opset": 9}, "opset 9 cannot be had"),
    of_bert("an opset too high", {"opset": 21}, "opset 21 cannot be had"),
    Row("an opset that a dtype needs", ("yolos",), {"dtype": "bfloat16"}, "Conv takes bfloat16 since opset 22"),
    Row(
        "a dtype that a spec refuses",
        ("yolos",),
        {"tasks": ("object-detection",), "dtype": "bfloat16"},
        "cannot be had with bfloat16",
    ),
    Row(
        "a config that a spec refuses",
        ("flaubert",),
        {"tasks": ("fill-mask",), "model": "{pre_norm}"},
        "cannot be had where config.pre_norm",
    ),
    of_bert("a dtype and a seed", {"dtype": "float16", "seed": 3}),
    of_bert("an unknown dtype", {"dtype": "float64"}, "unknown dtype 'float64'", "'float64' is not one of"),
    of_bert("another tracer", {"tracer": "dynamo", "atol": 1e-3, "rtol": 1e-3}),
    of_bert("an unknown tracer", {"tracer": "fx"}, "unknown tracer 'fx'", "'fx' is not one of"),
    of_bert("another target", {"targets": ("torchscript",), "settings": {"freeze": True}}),
    of_bert("two targets", {"targets": ("onnx", "torch-export"), "verify": False}),
    of_bert("an unknown target", {"targets": ("coreml",)}, "unknown target 'coreml'", "'coreml' is not one of"),
    of_bert("a setting of another target", {"settings": {"freeze": True}}, "--freeze does not go with the target onnx"),
    of_bert("an opset for a target without", {"targets": ("torchscript",), "opset": 17}, "--opset does not go with"),
    of_bert("a tracer for a target with its own", {"targets": ("torchscript",), "tracer": "dynamo"}, "always recorded"),
    Row("a single graph", ("bart",), {"tasks": ("text2text-generation",), "monolith": True}),
    Row("one decoder", ("bart",), {"tasks": ("text2text-generation-with-past",), "merged": True}),
    Row("two forms", ("bart",), {"tasks": ("seq2seq-lm",), "monolith": True, "merged": True}, "ask for two forms"),
    Row("a layout", ("bart",), {"tasks": ("text2text-generation-with-past",), "layout": "transformers-js"}),
    of_bert("a layout for another task", {"layout": "genai"}, "the layout genai is for"),
    of_bert("an unknown layout", {"layout": "flatt"}, "unknown layout 'flatt'", "'flatt' is not one of"),
    Row("several specs", ("bert", "gpt2"), {"tasks": ("default",)}),
    Row("an unknown spec", ("bertt",), {}, "bertt"),
    Row("a spec that does not hold", ("{unsound}",), {"tasks": ("fill-mask",)}, "no_such_size"),
    Row("a spec with findings", ("{unfinished}",), {}, "no 'reference'"),
    Row("a build file", ("{builds}",)),
    Row("options over a build file", ("{builds}",), {"opset": 16, "dims": {"sequence": 8}, "tasks": ("default",)}),
    Row("a build file with a bad entry", ("{bad_builds}",), {}, "opset 9 cannot be had"),
    Row("a build file with an empty entry", ("{empty_builds}",), {}, "neither 'spec' nor 'model'"),
    of_bert("an unknown option", {"opsett": 17}, "there is no argument 'opsett'", "No such option"),
)
GOOD = [row for row in ROWS if row.refused is None]
BAD = [row for row in ROWS if row.refused is not None]


@pytest.fixture(scope="session")
def places(masked_lm: Path, tmp_path_factory: pytest.TempPathFactory) -> Places:
    """Specs, build files and checkpoints, by name."""
    base = tmp_path_factory.mktemp("places")
    specs = base / "specs"
    shutil.copytree(SPECS, specs)
    bert = (specs / "bert.yaml").read_text("utf-8")
    (specs / "unsound.yaml").write_text(bert.replace("config.type_vocab_size", "config.no_such_size"), "utf-8")
    (specs / "unfinished.yaml").write_text("spec_version: 1\narchitecture: bert\nextends: encoder\n", "utf-8")
    head = "spec_version: 1\nkind: build\nbuilds:\n"
    entries = "- {spec: bert, tasks: [fill-mask], opset: 17, dims: {batch: 2}}\n- {spec: gpt2, tasks: [default]}\n"
    (base / "builds.yaml").write_text(head + entries, "utf-8")
    (base / "bad_builds.yaml").write_text(f"{head}- {{spec: bert, tasks: [fill-mask], opset: 9}}\n", "utf-8")
    (base / "empty_builds.yaml").write_text(f"{head}- {{opset: 17}}\n", "utf-8")
    configs = {
        "damaged": "{",
        "senseless": json.dumps({"model_type": "bert", "hidden_act": {}, "num_labels": "many"}),
        "pre_norm": json.dumps({"model_type": "flaubert", "pre_norm": True}),
    }
    for name in ("empty", *configs):
        shutil.copytree(masked_lm, base / name)
        (base / name / "config.json").unlink()
    for name, text in configs.items():
        (base / name / "config.json").write_text(text, "utf-8")
    return {
        "masked_lm": masked_lm,
        **{name: specs / f"{name}.yaml" for name in ("unsound", "unfinished")},
        **{name: base / f"{name}.yaml" for name in ("builds", "bad_builds", "empty_builds")},
        **{name: base / name for name in ("empty", *configs)},
    }


@dataclass(frozen=True)
class Asked:
    """A row whose places are known, as each door takes it."""

    specs: tuple[str, ...]
    given: dict[str, Any]
    output: Path

    @classmethod
    def of(cls, row: Row, places: Places, output: Path) -> Asked:
        def place(value: Any) -> Any:
            return value.format_map(places) if isinstance(value, str) else value

        return cls(tuple(map(place, row.specs)), {name: place(value) for name, value in row.given.items()}, output)

    @property
    def keywords(self) -> dict[str, Any]:
        """The keyword arguments of the Python API."""
        names = {"tasks": "task", "targets": "target"}
        return {names.get(name, name): value for name, value in self.given.items()}

    @property
    def words(self) -> list[str]:
        """The words of the command line, after the command."""
        return [*self.specs, *self._flags(), "--output", str(self.output)]

    def _flags(self) -> Iterator[str]:
        for name, value in self.given.items():
            for flag, part in self._parts(name, value):
                yield f"--{flag.replace('_', '-')}"
                if part is not True:
                    yield str(part)

    def _parts(self, name: str, value: Any) -> Iterator[tuple[str, Any]]:
        if name in ("tasks", "targets"):
            yield from ((name.removesuffix("s"), part) for part in value)
        elif name == "dims":
            yield from (("dim", f"{dim}={size}") for dim, size in value.items())
        elif name == "settings":
            yield from value.items()
        else:
            yield ("no-verify", True) if name == "verify" else (name, value)

    @property
    def is_one(self) -> bool:
        """Whether it is one task of one spec for one target, which `exporter.plan` takes."""
        counts = (len(self.specs), len(self.given.get("tasks", ())), len(self.given.get("targets", ("onnx",))))
        return counts == (1, 1, 1) and self.given["tasks"] != ("auto",) and not self.specs[0].endswith("builds.yaml")

    def plan(self) -> list[Plan]:
        """Return what the API plans; what is one plan, as both of its functions plan it."""
        given = {**self.given, "output": self.output}
        if not self.is_one:
            return api.plan_requests(self.specs, given)
        options = self.keywords
        (task,) = options.pop("task")
        (options["target"],) = options.get("target", ("onnx",))
        try:
            plan = exporter.plan(self.specs[0], task, **options)
        except ExporterError as error:
            with pytest.raises(type(error)) as failure:
                api.plan_requests(self.specs, given)
            assert vars(failure.value) == vars(error)
            raise
        assert api.plan_requests(self.specs, given) == [plan]
        return [plan]

    def build(self) -> list[Plan]:
        """Return the plans of what the API builds."""
        return [result.plan for result in exporter.build(*self.specs, output=self.output, **self.keywords)]


class Planned(Exception):
    """A job is prepared: here its model would be loaded."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.plan = plan


@pytest.fixture
def prepared_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run jobs in this process up to the load of their models, with every line between the processes written."""

    def stop(prepared: Prepared, *_: Any) -> None:
        raise Planned(prepared.plan)

    def work(_: Any, asked: Job, on_stage: Callable[[str], None]) -> Built:
        try:
            job.build_artifact(job_from_line(to_line(asked)), on_stage)
        except Planned as end:
            return Built(end.plan, None, {}, "")
        except ExporterError as error:
            raise error_from_data(json.loads(json.dumps(error_to_data(error)))) from error
        raise AssertionError("no job goes further than its plan")

    monkeypatch.setattr(job, "loadable_checkpoint", stop)
    monkeypatch.setattr(pool._Worker, "build", work)


@pytest.mark.parametrize("row", GOOD, ids=str)
def test_what_is_planned_is_what_is_built(row: Row, places: Places, prepared_only: None, tmp_path: Path):
    asked = Asked.of(row, places, tmp_path / "out")
    plans = asked.plan()
    assert plans
    assert [plan.to_data() for plan in asked.build()] == [plan.to_data() for plan in plans]


@pytest.mark.parametrize("row", BAD, ids=str)
def test_what_a_plan_refuses_a_build_refuses_with_the_same_words(
    row: Row, places: Places, prepared_only: None, tmp_path: Path
):
    asked = Asked.of(row, places, tmp_path / "out")
    with pytest.raises((ExporterError, TypeError)) as planned:
        asked.plan()
    with pytest.raises((ExporterError, TypeError)) as built:
        asked.build()
    assert type(built.value) is type(planned.value)
    assert vars(built.value) == vars(planned.value)
    assert str(built.value) == str(planned.value)
    assert str(row.refused) in str(built.value)
    assert not asked.output.exists()


def run_command(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str, str]:
    """Return the exit code of a command, and what it printed."""
    monkeypatch.setattr(sys, "argv", ["exporter", *words])
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main()
    printed = capsys.readouterr()
    return int(ended.value.code or 0), printed.out, printed.err


@pytest.mark.usefixtures("prepared_only")
@pytest.mark.parametrize("row", BAD, ids=str)
def test_the_commands_refuse_with_the_same_words_and_exit_code(
    row: Row, places: Places, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    asked = Asked.of(row, places, tmp_path / "out")
    code, out, err = run_command(["plan", *asked.words], monkeypatch, capsys)
    of_build = run_command(["build", *asked.words], monkeypatch, capsys)
    assert (code, out) == of_build[:2]
    assert code in (1, 2)
    assert "error" in err.lower()
    assert (row.by_click or str(row.refused)) in err
    # A build says what it builds before a job of it is refused, and click shows the usage of the command it refuses.
    refusal = err[max(err.find("Error: "), 0) :]
    assert of_build[2].endswith(refusal)
    assert of_build[2] == refusal or of_build[2].startswith(("Building ", "Usage: "))
    assert not asked.output.exists()


@pytest.mark.usefixtures("prepared_only")
@pytest.mark.parametrize("row", GOOD, ids=str)
def test_the_command_plans_what_the_api_plans(
    row: Row, places: Places, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    asked = Asked.of(row, places, tmp_path / "out")
    code, out, err = run_command(["plan", "--json", *asked.words], monkeypatch, capsys)
    assert (code, err) == (0, "")
    assert read_answer(out)["plans"] == json.loads(json.dumps([plan.to_data() for plan in asked.plan()]))
    code, out, _ = run_command(["build", "--json", *asked.words], monkeypatch, capsys)
    assert code == 0
    assert len(read_answer(out)["builds"]) == len(asked.plan())


# The rest is built whole, in a real worker.
WHOLE = ("a dim fixed", "auto of a checkpoint", "a build file", "another target")
REFUSED = ("a spec that does not hold", "an unknown dim", "a checkpoint whose config is senseless", "an opset too low")


@pytest.mark.usefixtures("shared_worker")
@pytest.mark.parametrize("row", [row for row in ROWS if row.name in WHOLE], ids=str)
def test_the_manifest_has_the_plan(row: Row, places: Places, tmp_path: Path):
    asked = Asked.of(row, places, tmp_path / "out")
    plans = asked.plan()
    results = exporter.build(*asked.specs, output=asked.output, **asked.keywords)
    assert [result.plan for result in results] == plans
    assert [read_plan(result.directory) for result in results] == plans


@pytest.mark.usefixtures("shared_worker")
@pytest.mark.parametrize("row", [row for row in ROWS if row.name in REFUSED], ids=str)
def test_a_worker_refuses_what_the_plan_refuses(row: Row, places: Places, tmp_path: Path):
    asked = Asked.of(row, places, tmp_path / "out")
    with pytest.raises(ExporterError) as planned:
        asked.plan()
    with pytest.raises(ExporterError) as built:
        asked.build()
    assert type(built.value) is type(planned.value)
    assert vars(built.value) == vars(planned.value)
    assert not asked.output.exists()


def test_the_rows_named_above_are_rows():
    names = [row.name for row in ROWS]
    assert len(names) == len(set(names)) >= 30
    assert set(WHOLE) <= {row.name for row in GOOD}
    assert set(REFUSED) <= {row.name for row in BAD}
