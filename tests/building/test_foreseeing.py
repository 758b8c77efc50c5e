"""What is said of builds before torch and transformers are imported: every reason why one cannot be made."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.building import foreseeing
from exporter.building.foreseeing import find_refusals, foresee_build, refuse_early
from exporter.building.preparing import prepare
from exporter.building.requests import Build, plan_builds
from exporter.errors import ExportError, UsageError
from exporter.targets import registry


def builds(*names: str, output: Path, **given: object) -> list[Build]:
    return plan_builds(names, {"output": output, **given})


def messages(build: Build) -> list[str]:
    return [error.message for error in find_refusals(build)]


def test_a_plan_in_a_moment_is_that_of_the_build(tmp_path: Path):
    for build in builds("bert", output=tmp_path):
        foreseen = foresee_build(build)
        assert foreseen == prepare(build.request)
        assert messages(build) == []
    assert refuse_early(builds("bert", output=tmp_path)) == []


def test_a_plan_that_hangs_on_code_is_left_to_the_build(tmp_path: Path):
    (build,) = builds("phi3", output=tmp_path, tasks=("text-generation",), variant=3)
    assert foresee_build(build) is None
    refuse_early([build])


def test_every_reason_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # Tests of that target leave its stand-in in their process.
    monkeypatch.setattr(registry, "is_installed", lambda name: not name.startswith("torch_neuron"))
    (tmp_path / "taken").write_text("a file")
    (build,) = builds(
        "bert", output=tmp_path / "taken", tasks=("fill-mask",), dims={"seq": 8}, targets=("neuron",), verify=False
    )
    package, dim, place = messages(build)
    assert "the target neuron needs the package" in package
    assert dim == "'seq' is no dynamic dim of fill-mask"
    assert "is a file" in place
    with pytest.raises(ExportError, match="needs the package"):
        refuse_early([build])


def test_what_a_config_refuses_is_said_at_once(tmp_path: Path):
    (build,) = builds("wav2vec2", output=tmp_path, tasks=("audio-classification",), variant=2)
    with pytest.raises(UsageError, match=r"cannot be had where config\.add_adapter"):
        refuse_early([build])


def test_one_of_several_does_not_stop_the_others(tmp_path: Path):
    every = builds("wav2vec2", output=tmp_path, variant=2)
    ((build, reason),) = refuse_early(every)
    assert build.task == "audio-classification"
    assert "config.add_adapter" in reason.message
    assert len(every) > 1


def test_what_no_task_can_be_had_with_is_refused(tmp_path: Path):
    with pytest.raises(UsageError, match="'seq' is no dynamic dim of feature-extraction"):
        refuse_early(builds("bert", output=tmp_path, dims={"seq": 8}))


def test_without_torch_nothing_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(foreseeing, "is_installed", lambda name: name != "torch")
    with pytest.raises(UsageError, match="nothing can be built without torch, which is not installed") as refusal:
        refuse_early(builds("bert", output=tmp_path))
    assert "pip install" in str(refusal.value.help)
