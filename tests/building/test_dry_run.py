"""What a build would do, without doing it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import TINY_BERT

from exporter.building import foreseeing
from exporter.building.dry_run import dry_run, look_at_place
from exporter.building.durations import keep_duration
from exporter.building.foreseeing import free_bytes


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXPORTER_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def masked_lm(make_checkpoint: Callable[..., Path]) -> Path:
    return make_checkpoint("BertForMaskedLM", "bert", **TINY_BERT)


def test_a_checkpoint_is_told_with_files_sizes_and_place(masked_lm: Path, tmp_path: Path):
    (foreseen,) = dry_run([], {"model": str(masked_lm), "output": tmp_path / "out", "dims": {"batch": 3}})
    assert foreseen.title == "bert fill-mask"
    assert foreseen.refusals == ()
    assert foreseen.plan is not None
    assert foreseen.plan.sizes.fixed == {"batch": 3}
    weights = (masked_lm / "model.safetensors").stat().st_size
    assert foreseen.files["model.safetensors"] == foreseen.weights == weights
    assert foreseen.size == pytest.approx(weights, rel=0.2)
    assert foreseen.place is not None
    assert (foreseen.place.holds, foreseen.last) == ("nothing", None)
    assert not (tmp_path / "out").exists()


def test_how_it_went_last_time_is_told(tmp_path: Path):
    given = {"tasks": ("fill-mask",), "output": tmp_path / "out"}
    (before,) = dry_run(["bert"], given)
    assert before.build is not None
    keep_duration(before.build.request, 31.0, 5_000)
    (after,) = dry_run(["bert"], given)
    assert after.last is not None
    assert (after.last.seconds, after.size) == (31.0, 5_000)


def test_every_row_of_a_build_file_is_told_with_every_refusal(tmp_path: Path):
    rows = [
        {"spec": "bert", "tasks": ["fill-mask"], "output": "one"},
        {"spec": "bert", "tasks": ["fill-mask"], "dims": {"seq": 3}, "output": "two"},
        {"spec": "bert", "tasks": ["never"], "output": "three"},
        {"spec": "never-heard-of", "output": "four"},
        {"model": "no/where/at/all", "output": "five"},
        {"spec": "gpt2", "tasks": ["text-generation"], "opset": 9, "output": "six"},
        {"spec": "gpt2", "tasks": ["text-generation"], "output": "one"},
    ]
    path = tmp_path / "models.json"
    path.write_text(json.dumps({"spec_version": 1, "kind": "build", "builds": rows}))
    looked_at = dry_run([str(path)], {})
    titles = [foreseen.title for foreseen in looked_at]
    assert len(looked_at) == len(rows) + 1
    messages = [error.message for foreseen in looked_at for error in foreseen.refusals]
    for part in (
        "'seq' is no dynamic dim",
        "unknown task 'never'",
        "never-heard-of",
        "the checkpoint 'no/where/at/all' does not exist",
        "opset 9 cannot be had",
        "two builds would be written to",
    ):
        assert sum(part in message for message in messages) == 1, (part, messages)
    assert "build 4 of" in " ".join(titles)


def test_a_place_is_told_by_what_it_holds(tmp_path: Path):
    assert look_at_place(tmp_path / "none").holds == "nothing"
    (tmp_path / "file").write_text("abc")
    place = look_at_place(tmp_path / "file")
    assert (place.holds, place.bytes) == ("a file", 3)
    (tmp_path / "files").mkdir()
    assert look_at_place(tmp_path / "files").holds == "nothing"
    (tmp_path / "files" / "mine.txt").write_text("abcd")
    assert (look_at_place(tmp_path / "files").holds, look_at_place(tmp_path / "files").bytes) == ("files", 4)
    manifest = {
        "manifest_version": 2,
        "architecture": "bert",
        "task": "fill-mask",
        "plan": {"recording": {"opset": 17}, "model": {"dtype": "float16"}},
    }
    (tmp_path / "files" / "manifest.json").write_text(json.dumps(manifest))
    place = look_at_place(tmp_path / "files")
    assert place.holds == "an artifact"
    assert place.artifact == {"architecture": "bert", "task": "fill-mask", "opset": 17, "dtype": "float16"}
    assert place.free == pytest.approx(free_bytes(tmp_path), rel=0.1)


def test_a_place_without_room_is_refused(masked_lm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(foreseeing, "free_bytes", lambda place: 10_000)
    (foreseen,) = dry_run([], {"model": str(masked_lm), "output": tmp_path / "out"})
    (refusal,) = foreseen.refusals
    assert "there is no room for the artifact" in refusal.message
    assert "-o" in str(refusal.help)
