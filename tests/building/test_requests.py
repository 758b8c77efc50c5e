"""From what is asked for to builds: which specs, tasks, targets and places, and what is refused before any work."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands import SPECS

from exporter.building.requests import check_places, plan_builds
from exporter.errors import CheckpointError, ExporterError, UsageError
from exporter.language.diagnostics import SpecError
from exporter.language.loading import load_spec


def places_of(names: tuple[str, ...], given: dict[str, Any]) -> list[str]:
    return [build.output.as_posix() for build in plan_builds(names, given)]


def test_two_words_for_one_task_are_one_build():
    builds = plan_builds(("bert",), {"tasks": ("masked-lm", "fill-mask", "question-answering")})
    assert [build.task for build in builds] == ["fill-mask", "question-answering"]


def test_auto_is_the_checkpoints_own_task(masked_lm: Path, tmp_path: Path):
    own = {"model": str(masked_lm), "tasks": ("auto",), "output": tmp_path / "out"}
    (build,) = plan_builds((), own)
    assert (build.task, build.task_reason) == ("fill-mask", "from its architectures: BertForMaskedLM")
    assert (build.architecture, build.model, build.output) == ("bert", str(masked_lm), tmp_path / "out")
    every = {"tasks": ("auto",), "output": tmp_path / "all"}
    builds = plan_builds(("bert",), every)
    assert [build.task for build in builds] == list(load_spec("bert").tasks)
    assert {(build.task_reason, build.model) for build in builds} == {("every task of the spec", None)}


def test_a_task_the_checkpoint_was_not_saved_for_is_said_so(masked_lm: Path, tmp_path: Path):
    given = {"model": str(masked_lm), "tasks": ("token-classification", "default", "masked-lm"), "output": tmp_path}
    reasons = {build.task: build.task_reason for build in plan_builds((), given)}
    assert reasons == {
        "token-classification": "asked for; the checkpoint was saved as BertForMaskedLM",
        "feature-extraction": "asked for",
        "fill-mask": "asked for",
    }


@pytest.mark.parametrize(
    ("names", "given", "places"),
    [
        # One task of one spec is written to the place itself, anything else below it.
        (("bert",), {"tasks": ("masked-lm",), "output": Path("out")}, ["out"]),
        (
            ("bert",),
            {"tasks": ("fill-mask", "default"), "output": Path("out")},
            ["out/fill-mask", "out/feature-extraction"],
        ),
        (
            ("bert", "gpt2"),
            {"tasks": ("default",), "output": Path("out")},
            ["out/bert/feature-extraction", "out/gpt2/feature-extraction"],
        ),
        (
            ("bert",),
            {"tasks": ("fill-mask",), "targets": ("onnx", "torchscript"), "output": Path("out")},
            ["out/onnx", "out/torchscript"],
        ),
        # Without a place it is below the default one, under what makes it another than its neighbours.
        (("bert",), {"tasks": ("fill-mask",)}, ["artifacts/bert/fill-mask"]),
        (("bert",), {"tasks": ("fill-mask",), "targets": ("torchscript",)}, ["artifacts/bert-torchscript/fill-mask"]),
        (("gpt2",), {"tasks": ("text-generation",), "variant": 1}, ["artifacts/gpt2-variant-1/text-generation"]),
        (
            ("bert",),
            {"tasks": ("fill-mask",), "targets": ("onnx", "torchscript")},
            ["artifacts/bert/fill-mask", "artifacts/bert-torchscript/fill-mask"],
        ),
        # A task that is asked for twice is built once.
        (("bert",), {"tasks": ("fill-mask", "fill-mask")}, ["artifacts/bert/fill-mask"]),
    ],
)
def test_every_build_has_its_place(names: tuple[str, ...], given: dict[str, Any], places: list[str]):
    assert places_of(names, given) == places


def test_a_checkpoint_is_built_under_the_name_of_its_directory(masked_lm: Path, tmp_path: Path):
    shutil.copytree(masked_lm, tmp_path / "My model (final)")
    assert places_of((), {"model": str(tmp_path / "My model (final)")}) == ["artifacts/My-model-final-/fill-mask"]


def test_a_directory_is_all_specs_in_it(tmp_path: Path):
    shutil.copytree(SPECS / "families", tmp_path / "specs" / "families")
    for name in ("bert", "gpt2"):
        shutil.copy(SPECS / f"{name}.yaml", tmp_path / "specs")
    builds = plan_builds([str(tmp_path / "specs")], {"tasks": ("default",)})
    assert [build.architecture for build in builds] == ["bert", "gpt2"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="there are no specs in"):
        plan_builds([str(tmp_path / "empty")], {})


def test_a_composed_spec_stands_for_its_file():
    spec = load_spec(SPECS / "bert.yaml")
    (build,) = plan_builds([spec], {"tasks": ("fill-mask",), "output": Path("out")})
    assert (build.architecture, build.output) == ("bert", Path("out"))
    assert Path(str(build.request.spec)).samefile(SPECS / "bert.yaml")


@pytest.fixture
def write_builds(tmp_path: Path) -> Callable[..., str]:
    """Return a function that writes a build file and returns its path."""

    def write(*entries: dict[str, Any], **more: Any) -> str:
        path = tmp_path / "builds.yaml"
        path.write_text(json.dumps({"spec_version": 1, "kind": "build", **more, "builds": entries}), "utf-8")
        return str(path)

    return write


def test_a_build_file_is_a_request_for_each_of_its_entries(write_builds: Callable[..., str], tmp_path: Path):
    path = write_builds(
        {"spec": "bert", "tasks": ["fill-mask"], "opset": 17, "dims": {"batch": 2}, "output": "mine"},
        {"spec": "gpt2", "tasks": ["default"]},
    )
    first, second = plan_builds([path], {})
    assert (first.request.options.opset, first.request.options.dims) == (17, {"batch": 2})
    assert first.output == tmp_path / "artifacts" / "mine"
    assert second.output == tmp_path / "artifacts" / "gpt2" / "feature-extraction"
    # What the command gives holds for each of them.
    given = {"opset": 16, "dims": {"sequence": 8}, "output": tmp_path / "out"}
    first, second = plan_builds([path], given)
    assert (first.request.options.opset, second.request.options.opset) == (16, 16)
    assert first.request.options.dims == {"batch": 2, "sequence": 8}
    assert (first.output, second.output) == (
        tmp_path / "out" / "mine",
        tmp_path / "out" / "gpt2" / "feature-extraction",
    )


def test_paths_of_a_build_file_are_relative_to_it(
    write_builds: Callable[..., str], masked_lm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    shutil.copytree(masked_lm, tmp_path / "model")
    shutil.copytree(SPECS / "families", tmp_path / "families")
    shutil.copy(SPECS / "bert.yaml", tmp_path / "mine.yaml")
    path = write_builds({"spec": "mine.yaml", "model": "model"}, output="made")
    monkeypatch.chdir(tmp_path.parent)
    (build,) = plan_builds([path], {})
    assert (build.request.spec, build.model) == (str(tmp_path / "mine.yaml"), str(tmp_path / "model"))
    assert build.output == tmp_path / "made" / "model" / "fill-mask"


@pytest.mark.parametrize(
    ("entry", "more"),
    [
        ({"spec": "bert", "output": "../out"}, {}),
        ({"spec": "bert", "output": "/out"}, {}),
        ({"spec": "bert"}, {"output": "../out"}),
        ({"model": ".."}, {}),
    ],
)
def test_paths_of_a_build_file_stay_below_it(
    entry: dict[str, Any], more: dict[str, Any], write_builds: Callable[..., str]
):
    with pytest.raises(UsageError, match="leads out of"):
        plan_builds([write_builds(entry, **more)], {})


def test_a_build_file_with_findings_is_refused_with_their_places(write_builds: Callable[..., str]):
    path = write_builds({"spec": "bert", "opsett": 17})
    with pytest.raises(SpecError, match="opsett") as failure:
        plan_builds([path], {})
    assert failure.value.diagnostics[0].span.source.name == path


def test_two_builds_for_one_place_are_refused(write_builds: Callable[..., str]):
    path = write_builds({"spec": "bert", "tasks": ["fill-mask"]}, {"spec": "bert", "tasks": ["fill-mask"], "opset": 17})
    with pytest.raises(UsageError, match="two builds would be written to") as failure:
        plan_builds([path], {})
    assert failure.value.help == "give them different outputs"


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, CheckpointError("has no 'model_type'", help='add "model_type"')),
        (
            {"model_type": "nonesuch"},
            UsageError("no spec for the architecture 'nonesuch'", help="nonesuch.yaml --model"),
        ),
        ({"model_type": "bert"}, UsageError("from its config.json (architectures: none)", help="give --task")),
        (
            {"model_type": "bert", "architectures": ["BertForPreTraining"]},
            UsageError(
                "(architectures: BertForPreTraining)",
                help="give --task: feature-extraction, sentence-similarity, fill-mask",
            ),
        ),
    ],
)
def test_a_checkpoint_that_does_not_say_what_it_is_is_refused(
    config: dict[str, Any], expected: ExporterError, masked_lm: Path, tmp_path: Path
):
    shutil.copytree(masked_lm, tmp_path / "model")
    (tmp_path / "model" / "config.json").write_text(json.dumps(config), "utf-8")
    with pytest.raises(type(expected)) as failure:
        plan_builds([], {"model": str(tmp_path / "model")})
    assert expected.message in failure.value.message
    assert str(expected.help) in str(failure.value.help)


def test_places_are_checked_before_any_work(tmp_path: Path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.txt").write_text("years of work", "utf-8")
    good, bad = (
        plan_builds(["bert"], {"tasks": ("fill-mask",), "output": tmp_path / name}) for name in ("new", "taken")
    )
    check_places(good)
    with pytest.raises(UsageError, match="is not empty and was not written by exporter"):
        check_places([*good, *bad])


@pytest.mark.parametrize("entry", ["{model: %s}", "{spec: %s}", "{spec: bert, model: %s}"])
def test_a_name_too_long_for_a_file_system_is_a_mistake_of_the_request(entry: str, tmp_path: Path):
    text = f"spec_version: 1\nkind: build\nbuilds: [{entry % ('x' * 300)}]\n"
    (tmp_path / "build.yaml").write_text(text, "utf-8")
    with pytest.raises(UsageError):
        plan_builds([str(tmp_path / "build.yaml")], {})


def test_of_a_build_file_with_very_many_mistakes_the_first_are_told(tmp_path: Path):
    keys = "".join(f"k{number}: 1\n" for number in range(500))
    (tmp_path / "build.yaml").write_text(f"spec_version: 1\nkind: build\nbuilds: [{{spec: bert}}]\n{keys}", "utf-8")
    with pytest.raises(SpecError) as failure:
        plan_builds([str(tmp_path / "build.yaml")], {})
    assert len(failure.value.diagnostics) == 101
    assert failure.value.diagnostics[-1].message == "400 more findings in this file are not listed"


def test_no_artifact_is_put_into_its_checkpoint(masked_lm: Path, tmp_path: Path):
    shutil.copytree(masked_lm, tmp_path / "model")
    builds = plan_builds([], {"model": str(tmp_path / "model"), "output": tmp_path / "model" / "onnx"})
    with pytest.raises(UsageError, match="lies in the checkpoint"):
        check_places(builds)


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("checkpoint", "'checkpoint' is a checkpoint", "--model checkpoint"),
        ("checkpoint/config.json", "'checkpoint/config.json' is a checkpoint", "--model checkpoint"),
        ("checkpoint/model.safetensors", "is a checkpoint", "--model checkpoint"),
        ("artifact", "'artifact' is an artifact that was built", "exporter verify artifact"),
        (
            "google-bert/bert-base",
            "written like the id of a checkpoint",
            "--model google-bert/bert-base",
        ),
    ],
)
def test_what_is_no_spec_is_told_by_what_it_is(
    name: str, message: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    for folder, file in (("checkpoint", "model.safetensors"), ("artifact", "manifest.json")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "config.json").write_text("{}", "utf-8")
        (tmp_path / folder / file).write_text("{}", "utf-8")
    with pytest.raises(UsageError) as failure:
        plan_builds((name,), {})
    assert message in failure.value.message
    assert hint in (failure.value.help or "")


@pytest.mark.parametrize("name", ["specs/bert.yaml", "nowhere/my.yml"])
def test_a_path_of_a_spec_that_is_not_there_is_no_hub_id(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="there is no spec"):
        plan_builds((name,), {})
