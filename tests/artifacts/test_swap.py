"""A swap that ends anywhere leaves the earlier artifact, or what the next build makes into one of the two."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from artifact_files import files, leftovers, occupy

from exporter import records
from exporter.artifacts import swap as swapping
from exporter.artifacts.claims import claim, release
from exporter.artifacts.staging import staged_artifact
from exporter.artifacts.swap import JOURNAL, NEW, Journal, claimable, is_interrupted, read_journal, repair, swap

OLD_MANIFEST = '{"manifest_version": 2, "files": {"model.onnx": {}, "golden/0.npz": {}, "onnx": {}}}'
NEW_MANIFEST = '{"manifest_version": 2, "files": {"model.onnx": {}, "onnx/model.onnx": {}, "vocab.txt": {}}}'
NEW_FILES = {
    "model.onnx": b"new",
    "onnx/model.onnx": b"new below",
    "vocab.txt": b"new words",
    "manifest.json": NEW_MANIFEST.encode(),
}


class KilledError(BaseException):
    """Stands for the end of a process."""


def prepare(target: Path) -> dict[str, bytes]:
    """Make an earlier artifact with files of somebody's in and beside its directories, one in the way of a new one."""
    for name, content in {
        "manifest.json": OLD_MANIFEST,
        "model.onnx": "old",
        "golden/0.npz": "old vectors",
        "onnx": "a file where the new artifact has a directory",
        "golden/mine": "mine",
        "vocab.txt": "my words",
    }.items():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_text(content, "utf-8")
    return files(target)


def fill(claimed: Path) -> None:
    for name, content in NEW_FILES.items():
        (claimed / NEW / name).parent.mkdir(parents=True, exist_ok=True)
        (claimed / NEW / name).write_bytes(content)


AFTER = {**NEW_FILES, "golden/mine": b"mine", "vocab.txt.kept": b"my words"}


@pytest.mark.parametrize("inside", [False, True], ids=["beside", "inside"])
def test_a_swap_that_is_killed_at_any_step_is_finished_or_undone(
    inside: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    move = swapping._move
    results = []
    for step in range(30):
        target = tmp_path / str(step) / "artifact"
        before = prepare(target)
        claimed, place = claimable(target)[inside]
        claimed.mkdir()
        fill(claimed)
        calls = 0

        def move_or_die(path: Path, other: Path, last: int = step) -> None:
            nonlocal calls
            calls += 1
            if calls > last:
                raise KilledError
            move(path, other)

        with monkeypatch.context() as patch:
            patch.setattr(swapping, "_move", move_or_die)
            patch.setattr(swapping, "_undo", lambda *_: None)
            try:
                swap(claimed, target, place)
            except KilledError:
                assert is_interrupted(target)
        repair(claimed)
        repair(claimed)
        after = {name: content for name, content in files(target).items() if ".exporter-" not in name}
        assert after in (before, AFTER), step
        results.append(after == AFTER)
    # It is undone up to the last step, and stays from there on.
    assert results == sorted(results)
    assert results.count(False) == 1 + 4 + 4  # what is put aside, what leaves and what enters


@pytest.mark.parametrize("number", [1, 4, 7])
def test_a_swap_that_cannot_go_on_is_undone(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = prepare(tmp_path / "artifact")
    move = swapping._move
    calls = 0

    def refuse(path: Path, other: Path) -> None:
        nonlocal calls
        calls += 1
        if calls == number:
            raise OSError(28, "No space left on device")
        move(path, other)

    monkeypatch.setattr(swapping, "_move", refuse)

    def build() -> None:
        with staged_artifact(tmp_path / "artifact") as staging:
            fill(staging.parent)

    with pytest.raises(Exception, match="No space left"):
        build()
    assert files(tmp_path / "artifact") == before
    assert not leftovers(tmp_path)
    build()
    assert files(tmp_path / "artifact") == AFTER


def test_what_comes_while_directories_are_exchanged_is_moved_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "artifact"
    occupy(target)
    alike = swapping._is_alike

    def add_late(place: Path, new: Path) -> bool:
        answer = alike(place, new)
        (place / "late").mkdir()
        (place / "late" / "note").write_text("late", "utf-8")
        return answer

    monkeypatch.setattr(swapping, "_is_alike", add_late)
    with staged_artifact(target) as staging:
        fill(staging.parent)
    assert files(target) == {**NEW_FILES, "late/note": b"late"}
    assert not leftovers(tmp_path)


@pytest.mark.parametrize("exchanged", [True, False])
def test_a_kill_around_an_exchange_loses_nothing(
    exchanged: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "artifact"
    before = occupy(target)
    claimed, place = claimable(target)[0]
    claimed.mkdir()
    fill(claimed)
    rename = swapping._rename

    def die(path: Path, other: Path, how: int) -> bool:
        if exchanged:
            rename(path, other, how)
            (path / "late").write_text("late", "utf-8")
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(swapping, "_rename", die)
        with pytest.raises(KilledError):
            swap(claimed, target, place)
    assert not is_interrupted(target)
    repair(claimed)
    assert files(target) == ({**NEW_FILES, "late": b"late"} if exchanged else before)


def test_without_an_exchange_files_move_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on systems that have neither an exchange nor a rename that replaces nothing."""
    monkeypatch.setattr(swapping, "_rename", lambda path, other, how: False)
    occupy(tmp_path / "artifact")
    with staged_artifact(tmp_path / "artifact") as staging:
        fill(staging.parent)
    assert files(tmp_path / "artifact") == NEW_FILES
    (tmp_path / "a").write_text("a", "utf-8")
    (tmp_path / "b").write_text("b", "utf-8")
    with pytest.raises(FileExistsError):
        swapping._move(tmp_path / "a", tmp_path / "b")


@pytest.mark.parametrize(
    "journal",
    [
        Journal("artifact", incoming=("../../precious",)),
        Journal("artifact", outgoing=("/etc/passwd",)),
        Journal("../elsewhere", incoming=("a",)),
        Journal("artifact", aside={"a": "../b"}),
    ],
)
def test_a_journal_that_leads_out_of_its_directory_is_none(journal: Journal, tmp_path: Path) -> None:
    (tmp_path / JOURNAL).write_text(json.dumps(records.to_data(journal)), "utf-8")
    assert read_journal(tmp_path) is None
    (tmp_path / JOURNAL).write_text(json.dumps(records.to_data(Journal("artifact", incoming=("a",)))), "utf-8")
    assert read_journal(tmp_path) == Journal("artifact", incoming=("a",))
    (tmp_path / JOURNAL).write_text('{"place": ', "utf-8")
    assert read_journal(tmp_path) is None


def test_a_journal_moves_nothing_through_a_link(tmp_path: Path) -> None:
    """Somebody could hand on a directory with a journal in it."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    occupy(tmp_path / "artifact")
    (tmp_path / "artifact" / "keys").write_text("theirs", "utf-8")
    claimed, _ = claimable(tmp_path / "artifact")[1]
    claim(claimed)
    (claimed / NEW).symlink_to(elsewhere)
    journal = Journal(None, incoming=("keys", "manifest.json"))
    (claimed / JOURNAL).write_text(json.dumps(records.to_data(journal)), "utf-8")
    with pytest.raises(OSError, match="a link lies in the way"):
        repair(claimed)
    assert not list(elsewhere.iterdir())
    release(claimed)


def test_names_that_are_taken_are_counted(tmp_path: Path) -> None:
    for kept in ("a.kept", "a.kept2", "a.kept3"):
        free = swapping._free_name(tmp_path / "a")
        assert free.name == kept
        free.touch()
    long = swapping._free_name(tmp_path / ("é" * 127))
    long.touch()
    assert len(os.fsencode(long.name)) < 255
