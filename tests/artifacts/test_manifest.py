"""A manifest: written without time or place, read back as the same plan, and refused where it is none of ours."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

import exporter
from exporter.artifacts.manifest import (
    CARD,
    MANIFEST,
    MANIFEST_LIMIT,
    MANIFEST_VERSION,
    changed_files,
    check_files,
    read_manifest,
    read_plan,
    unknown_keys,
    unnamed_files,
    write_manifest,
)
from exporter.errors import UsageError
from exporter.models.checkpoints import Checkpoint

PLAN = exporter.plan("bert", "fill-mask")


def make_artifact(folder: Path) -> Checkpoint:
    """Make the files of an artifact but for its manifest, and return the checkpoint it is from."""
    source = folder.parent / "my model"
    for directory in (source, folder / "onnx"):
        directory.mkdir(parents=True)
    for path in (source / "config.json", source / "model.safetensors", folder / "onnx" / "model.onnx", folder / CARD):
        path.write_text(path.name, "utf-8")
    return Checkpoint(source, str(source), ("model.safetensors",), remarks=("2 weights are left out",))


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    folder = tmp_path / "artifact"
    write_manifest(folder, PLAN, make_artifact(folder), {"passed": True})
    return folder


def test_it_says_what_the_artifact_is_and_nothing_of_the_machine(artifact: Path) -> None:
    manifest = read_manifest(artifact)
    assert manifest["source"] == {
        "kind": "reference",
        "name": None,
        "commit": None,
        "files": manifest["source"]["files"],
        "remarks": ["2 weights are left out"],
        "adapter": None,
        "left_behind": {},
    }
    assert manifest["source"]["files"].keys() == {"config.json", "model.safetensors"}
    assert manifest["files"].keys() == {"onnx/model.onnx"}
    assert manifest["versions"]["torch"] == version("torch")
    assert manifest["report"] == {"passed": True}
    assert str(artifact.parent) not in (artifact / MANIFEST).read_text("utf-8")


def test_a_manifest_has_the_keys_that_are_known_and_names_its_files(artifact: Path) -> None:
    manifest = read_manifest(artifact)
    assert unknown_keys(manifest) == []
    assert unnamed_files(artifact, manifest) == []
    (artifact / "more").write_text("", "utf-8")
    (artifact / "link").symlink_to("nowhere")
    assert unnamed_files(artifact, manifest) == ["link", "more"]
    assert unknown_keys({**manifest, "later": 1}) == ["later"]


def test_a_manifest_of_absurd_size_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / MANIFEST).open("wb") as file:
        file.truncate(MANIFEST_LIMIT + 1)
    with pytest.raises(UsageError, match=f"it has {MANIFEST_LIMIT + 1} bytes"):
        read_manifest(tmp_path)


def test_a_graph_that_is_no_file_of_the_artifact_is_told(artifact: Path) -> None:
    with pytest.raises(UsageError, match=r"the graph 'model\.onnx' is not among its files"):
        check_files(artifact, read_manifest(artifact), PLAN)


def test_its_plan_comes_back(artifact: Path) -> None:
    assert read_plan(artifact) == PLAN


def test_a_checkpoint_is_named_without_its_place(tmp_path: Path) -> None:
    folder = tmp_path / "artifact"
    checkpoint = make_artifact(folder)
    plan = replace(PLAN, model=replace(PLAN.model, is_reference=False))
    write_manifest(folder, plan, checkpoint, None)
    manifest = read_manifest(folder)
    assert manifest["source"]["name"] == "my model"
    assert manifest["report"] is None
    write_manifest(folder, plan, replace(checkpoint, name="somebody/model", commit="0" * 40), None)
    assert read_manifest(folder)["source"]["name"] == "somebody/model"


def test_settings_that_say_where_it_was_made_are_left_out(tmp_path: Path) -> None:
    plan = exporter.plan("bert", "fill-mask", target="neuron", static=True, dims={"batch": 1, "sequence": 8})
    settings = {**plan.recording.settings, "compiler_workdir": "/somewhere"}
    folder = tmp_path / "artifact"
    checkpoint = make_artifact(folder)
    write_manifest(folder, replace(plan, recording=replace(plan.recording, settings=settings)), checkpoint, None)
    assert "/somewhere" not in (folder / MANIFEST).read_text("utf-8")
    assert read_plan(folder) == plan


def test_a_file_that_was_changed_or_lost_is_named(artifact: Path) -> None:
    manifest = read_manifest(artifact)
    assert list(changed_files(artifact, manifest)) == []
    (artifact / CARD).write_text("edited", "utf-8")
    assert list(changed_files(artifact, manifest)) == []
    path = artifact / "onnx" / "model.onnx"
    for content in ("Model.onnx", "model.onnx and more"):
        path.write_text(content, "utf-8")
        assert list(changed_files(artifact, manifest)) == ["onnx/model.onnx has changed since it was built"]
    path.unlink()
    assert list(changed_files(artifact, manifest)) == ["onnx/model.onnx is missing"]


def test_a_directory_that_is_no_artifact_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"is not an artifact: it has no manifest.json"):
        read_manifest(tmp_path)
    with pytest.raises(UsageError, match="is not an artifact: it does not exist"):
        read_manifest(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "[" * 99_999,
        '{"a":' * 99_999,
        "\x00",
        "null",
        '"text"',
        '\ufeff{"manifest_version": 2}',
        '{"manifest_version": 2, "manifest_version": 2}',
        '{"manifest_version": 2, "plan": {"a": 1, "a": 2}}',
        '{"manifest_version": 2, "a": NaN}',
        '{"manifest_version": 2, "a": -Infinity}',
        '{"manifest_version": 2, "a": ' + "9" * 5000 + "}",
    ],
)
def test_a_file_that_is_no_manifest_is_told(text: str, tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text(text, "utf-8")
    with pytest.raises(UsageError, match="is not a manifest of exporter"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("other", [MANIFEST_VERSION - 1, MANIFEST_VERSION + 1, None])
def test_another_version_is_told(other: int | None, tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text(json.dumps({"manifest_version": other}), "utf-8")
    with pytest.raises(UsageError, match=f"has manifest version {other}; this exporter reads {MANIFEST_VERSION}"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest.pop("plan"),
        lambda manifest: manifest.pop("files"),
        lambda manifest: manifest["plan"].pop("graphs"),
        lambda manifest: manifest["plan"].update(unheard_of=1),
        lambda manifest: manifest["plan"]["bound"].update(atol="small"),
        lambda manifest: manifest["files"].update({"more": {"bytes": 0}}),
        lambda manifest: manifest["source"].update(files=[]),
        lambda manifest: manifest["source"]["files"].update(a=1),
        lambda manifest: manifest.update(source=None),
        lambda manifest: manifest.update(files=[]),
        lambda manifest: manifest["files"].update({"../x": manifest["files"]["onnx/model.onnx"]}),
        lambda manifest: manifest["files"].update({"/x": manifest["files"]["onnx/model.onnx"]}),
        lambda manifest: manifest["files"]["onnx/model.onnx"].update(sha256="0"),
        lambda manifest: manifest["files"]["onnx/model.onnx"].update(bytes=-1),
        lambda manifest: manifest["files"]["onnx/model.onnx"].update(bytes="1"),
        lambda manifest: manifest["plan"].update(points=[]),
        lambda manifest: manifest["plan"]["sizes"].update(points=[]),
        lambda manifest: manifest["plan"]["bound"].update(atol=-1.0),
        lambda manifest: manifest["plan"]["graphs"][0].update(file="../model.onnx", files=["../model.onnx"]),
        lambda manifest: manifest["plan"]["graphs"][0].update(files=["model.onnx", "more.onnx"]),
        lambda manifest: manifest["plan"]["graphs"][0].update(file="model.pt2", files=["model.pt2"]),
        lambda manifest: manifest["plan"]["recording"].update(target="unheard-of"),
        lambda manifest: manifest["plan"]["recording"].update(target="torch-export"),
        lambda manifest: manifest["plan"]["recording"].update(settings={"aoti": True}),
        lambda manifest: manifest["plan"]["recording"].update(opset=None),
        lambda manifest: manifest["plan"]["sizes"].update(seed="0"),
        lambda manifest: manifest["plan"]["sizes"]["points"][0]["sizes"].update(batch="2"),
        lambda manifest: manifest["plan"]["sizes"]["points"][0]["sizes"].update(batch=2.5),
        lambda manifest: manifest["plan"]["sizes"]["points"][0]["sizes"].update(batch=True),
    ],
)
def test_a_manifest_that_was_changed_is_told(change: Callable[[dict[str, Any]], object], artifact: Path) -> None:
    manifest = read_manifest(artifact)
    change(manifest)
    (artifact / MANIFEST).write_text(json.dumps(manifest), "utf-8")
    with pytest.raises(UsageError, match="is not a manifest of exporter"):
        read_plan(artifact)


def test_a_checkpoint_is_no_artifact_and_is_built_first(tmp_path: Path):
    (tmp_path / "config.json").write_text("{}", "utf-8")
    with pytest.raises(UsageError) as failure:
        read_manifest(tmp_path)
    assert failure.value.help == (
        f"give a directory that 'exporter build' wrote; this is a checkpoint: exporter build --model {tmp_path}"
    )
