"""An artifact is swapped in whole, or the earlier one stays; what somebody put into it is carried over."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from artifact_files import files, leftovers, occupy
from commands import run_among_mounts

from exporter.artifacts.manifest import CARD, CARD_MARK
from exporter.artifacts.staging import check_place, stage, staged_artifact
from exporter.errors import UsageError

MANIFEST_TEXT = '{"manifest_version": 2, "files": {"model.onnx": {}}}'


def build(target: Path, graph: bytes = b"the new graph") -> tuple[str, ...]:
    """Put an artifact of two files at a place, and return what is said of it."""
    with stage(target) as staging:
        (staging.directory / "model.onnx").write_bytes(graph)
        (staging.directory / "manifest.json").write_text(MANIFEST_TEXT, "utf-8")
    return staging.remarks


BUILT = {"model.onnx": b"the new graph", "manifest.json": MANIFEST_TEXT.encode()}


def test_a_failure_inside_leaves_the_earlier_artifact(tmp_path: Path):
    before = occupy(tmp_path / "artifact")

    def fail() -> None:
        with staged_artifact(tmp_path / "artifact") as staging:
            (staging / "model.onnx").write_bytes(b"half a gra")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert files(tmp_path / "artifact") == before
    assert not leftovers(tmp_path)


def test_a_link_is_followed(tmp_path: Path):
    occupy(tmp_path / "real")
    (tmp_path / "link").symlink_to("real")
    with staged_artifact(tmp_path / "link") as staging:
        (staging / "manifest.json").write_text("{}", "utf-8")
    assert (tmp_path / "link").is_symlink()
    assert files(tmp_path / "real") == {"manifest.json": b"{}"}
    assert not leftovers(tmp_path)


def test_what_a_living_build_stages_is_left_alone(tmp_path: Path):
    with staged_artifact(tmp_path / "one") as one:
        (one / "manifest.json").write_text("{}", "utf-8")
        with staged_artifact(tmp_path / "two") as two:
            assert leftovers(tmp_path) == sorted([one.parent, two.parent])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


def test_a_place_that_cannot_be_had_is_refused_before_any_work(tmp_path: Path) -> None:
    check_place(tmp_path / "new" / "deep" / "artifact")
    assert not (tmp_path / "new").exists()
    occupy(tmp_path / "artifact")
    check_place(tmp_path / "artifact")
    (tmp_path / "file").write_text("", "utf-8")
    with pytest.raises(UsageError, match="is a file"):
        check_place(tmp_path / "file")
    with pytest.raises(UsageError, match=r"cannot be written: '.*file' is a file"):
        check_place(tmp_path / "file" / "artifact")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "notes.txt").write_text("", "utf-8")
    with pytest.raises(UsageError, match="is not empty and was not written by exporter"):
        check_place(tmp_path / "foreign")


@pytest.mark.parametrize("ours", [True, False])
def test_a_card_without_our_mark_is_kept(ours: bool, tmp_path: Path) -> None:
    occupy(tmp_path / "artifact")
    (tmp_path / "artifact" / CARD).write_text(f"{CARD_MARK}\nold" if ours else "theirs", "utf-8")
    with staged_artifact(tmp_path / "artifact") as staging:
        (staging / CARD).write_text(f"{CARD_MARK}\nnew", "utf-8")
    assert (tmp_path / "artifact" / CARD).read_text("utf-8") == (f"{CARD_MARK}\nnew" if ours else "theirs")


# Places


def test_what_somebody_put_into_an_artifact_stays(tmp_path: Path) -> None:
    target = tmp_path / "artifact"
    occupy(target)
    (target / "notes").mkdir(mode=0o750)
    (target / "notes" / "mine.txt").write_text("mine", "utf-8")
    (target / "empty").mkdir()
    (target / "link").symlink_to("/nowhere")
    os.mkfifo(target / "pipe")
    os.link(target / "notes" / "mine.txt", target / "twin")
    os.link(target / "model.onnx", target / "backup.onnx")
    (target / os.fsdecode(b"n\xe4me")).write_bytes(b"latin")
    target.chmod(0o2770)
    before = {path: path.lstat() for path in (target, *target.rglob("*"))}
    assert build(target) == ()
    for name in ("notes", "notes/mine.txt", "empty", "link", "pipe", "twin", "backup.onnx", os.fsdecode(b"n\xe4me")):
        after, old = (target / name).lstat(), before[target / name]
        assert (after.st_ino, after.st_mode, after.st_mtime) == (old.st_ino, old.st_mode, old.st_mtime), name
    assert (target / "twin").samefile(target / "notes" / "mine.txt")
    assert (target / "backup.onnx").read_bytes() == b"the earlier graph"
    assert stat.S_IMODE(target.stat().st_mode) == 0o2770
    assert target.stat().st_ino == before[target].st_ino
    assert {name: (target / name).read_bytes() for name in BUILT} == BUILT
    assert leftovers(tmp_path) == leftovers(target) == []


def test_an_artifact_alone_is_exchanged_in_one_step(tmp_path: Path) -> None:
    target = tmp_path / "artifact"
    occupy(target)
    before = target.stat().st_ino
    build(target)
    assert files(target) == BUILT
    assert target.stat().st_ino != before
    assert not leftovers(tmp_path)


def test_a_shell_in_the_artifact_stays_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    occupy(tmp_path / "artifact")
    monkeypatch.chdir(tmp_path / "artifact")
    build(Path())
    assert sorted(path.name for path in Path().iterdir()) == sorted(BUILT)


def test_new_files_have_the_group_that_the_directory_gives(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only the superuser can give a directory to any group")
    target = tmp_path / "artifact"
    occupy(target)
    os.chown(target, 0, 12345)
    target.chmod(0o2770)
    build(target)
    assert [(target / name).stat().st_gid for name in BUILT] == [12345, 12345]


@pytest.mark.parametrize("name", ["a" * 255, os.fsdecode(b"caf\xe9"), "with space 'and' quote", "-o"])
def test_any_name_that_a_directory_can_have_is_a_place(name: str, tmp_path: Path) -> None:
    for graph in (b"one", b"two"):
        check_place(tmp_path / name)
        build(tmp_path / name, graph)
        assert (tmp_path / name / "model.onnx").read_bytes() == graph
    assert not leftovers(tmp_path)


def test_a_name_that_is_too_long_is_refused(tmp_path: Path) -> None:
    for target in (tmp_path / ("a" * 256), tmp_path / "new" / ("a" * 256) / "x", tmp_path.joinpath(*["a" * 200] * 25)):
        with pytest.raises(UsageError, match="cannot be written: File name too long"):
            check_place(target)


def test_links_to_places(tmp_path: Path) -> None:
    (tmp_path / "dangling").symlink_to("there/deep")
    check_place(tmp_path / "dangling")
    build(tmp_path / "dangling")
    assert files(tmp_path / "there" / "deep") == BUILT
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(UsageError, match="cannot be written"):
        check_place(tmp_path / "circle")


def test_a_directory_in_which_nobody_has_put_anything_is_a_place(tmp_path: Path) -> None:
    target = tmp_path / "repository"
    (target / ".git" / "refs").mkdir(parents=True)
    (target / ".gitattributes").write_text("*.onnx filter=lfs", "utf-8")
    (target / "lost+found").mkdir()
    check_place(target)
    build(target)
    assert sorted(path.name for path in target.iterdir()) == sorted([".git", ".gitattributes", "lost+found", *BUILT])
    assert (target / ".git" / "refs").is_dir()


@contextmanager
def user(number: int) -> Iterator[None]:
    """Be another user for a while."""
    if os.geteuid() != 0:
        pytest.skip("only the superuser can be another user")
    os.setegid(number)
    os.seteuid(number)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def test_a_directory_in_one_that_cannot_be_written_is_a_place(tmp_path: Path) -> None:
    for parent in (tmp_path, *tmp_path.parents):
        if Path(tempfile.gettempdir()) in parent.parents:
            parent.chmod(0o755)
    target = tmp_path / "artifact"
    target.mkdir()
    os.chown(target, 12345, 12345)
    for graph in (b"one", b"two"):
        with user(12345):
            check_place(target)
            build(target, graph)
        assert (target / "model.onnx").read_bytes() == graph
        assert leftovers(tmp_path) == leftovers(target) == []
    os.chown(target, 0, 0)
    with user(12345), pytest.raises(UsageError, match="cannot be written: no permission in"):
        check_place(target)


MOUNTED = """
mount -t tmpfs -o size=1m tmpfs "$1" || exit 77
if [ "$2" = bind ]; then mkdir "$1/source" "$1/bound" && mount --bind "$1/source" "$1/bound" || exit 77; fi
shift 2
exec "$@"
"""
BUILD_TWICE = """
import os, sys
from pathlib import Path
from artifacts.test_staging import build, check_place
target = Path(sys.argv[1])
before = target.stat().st_ino
for graph in (b"one", b"two"):
    check_place(target)
    build(target, graph)
    assert (target / "model.onnx").read_bytes() == graph
assert target.stat().st_ino == before
assert sorted(os.listdir(target)) == ["manifest.json", "model.onnx"], os.listdir(target)
assert [name for name in os.listdir(target.parent) if "exporter-" in name] == []
"""


@pytest.mark.parametrize("kind", ["tmpfs", "bind"])
def test_a_mount_point_is_a_place(kind: str, tmp_path: Path) -> None:
    mount = tmp_path / "mount"
    mount.mkdir()
    target = mount / "bound" if kind == "bind" else mount
    command = [sys.executable, "-c", BUILD_TWICE, str(target)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = run_among_mounts(MOUNTED, str(mount), kind, *command, env=env)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("place", "checkpoint", "said"),
    [
        ("model", "model", "is the checkpoint itself"),
        ("model/onnx", "model", "lies in the checkpoint"),
        ("link/onnx/deep", "model", "lies in the checkpoint"),
        ("out", "out/model", "lies in the output"),
        ("out/model/../model", "out/model", "is the checkpoint itself"),
    ],
)
def test_a_place_and_the_checkpoint_lie_apart(place: str, checkpoint: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "link").symlink_to("model")
    occupy(tmp_path / "out")
    (tmp_path / "out" / "model").mkdir()
    with pytest.raises(UsageError, match=said):
        check_place(tmp_path / place, tmp_path / checkpoint)
    check_place(tmp_path / "other", tmp_path / checkpoint)


# Manifests


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\0" * 40,
        "{",
        '{\n "arch',
        '{"manifest_version": 1, "pl',
        '{"architecture": "x", "files": [[[',
        '{"manifest_version": 9, "architecture": "x", "files": 3}',
        '{"manifest_version": 2, "plan": {}}',
    ],
)
def test_a_damaged_manifest_names_nothing_and_all_is_kept(text: str, tmp_path: Path) -> None:
    target = tmp_path / "artifact"
    target.mkdir()
    (target / "manifest.json").write_text(text, "utf-8")
    (target / "model.onnx").write_bytes(b"the earlier graph")
    (target / "same").write_bytes(b"same")
    check_place(target)
    remarks = build(target)
    assert "the earlier manifest.json was damaged" in remarks[0]
    assert "'model.onnx' was in the way of a new file and is kept as 'model.onnx.kept'" in remarks
    kept = {"model.onnx.kept": b"the earlier graph", "same": b"same"}
    if text:
        kept["manifest.json.kept"] = text.encode()
    assert files(target) == {**BUILT, **kept}
    # From now on it is an artifact like any other.
    assert build(target) == ()
    assert files(target) == {**BUILT, **kept}


@pytest.mark.parametrize("version", [1, 2, 99])
def test_artifacts_of_other_versions_are_replaced(version: int, tmp_path: Path) -> None:
    occupy(tmp_path / "artifact")
    text = f'{{"manifest_version": {version}, "files": {{"model.onnx": {{}}, "old.bin": {{}}}}}}'
    (tmp_path / "artifact" / "manifest.json").write_text(text, "utf-8")
    (tmp_path / "artifact" / "old.bin").write_bytes(b"old")
    assert build(tmp_path / "artifact") == ()
    assert files(tmp_path / "artifact") == BUILT


@pytest.mark.parametrize(
    "text",
    [
        '{"manifest_version": 3, "name": "a browser extension"}',
        '{"name": "a web page"}',
        "[]",
        "not json",
        '{"name": ',
        '{"manifest_version": "2", "files": {}}',
    ],
)
def test_another_programs_manifest_is_refused_before_a_build(text: str, tmp_path: Path) -> None:
    target = tmp_path / "other"
    target.mkdir()
    (target / "manifest.json").write_text(text, "utf-8")
    with pytest.raises(UsageError, match=r"was not written by exporter: its manifest\.json is no manifest"):
        check_place(target)
    with pytest.raises(UsageError, match="was not written by exporter"):
        build(target)
    assert files(target) == {"manifest.json": text.encode()}


def test_a_manifest_makes_nothing_outside_ours(tmp_path: Path) -> None:
    """What it names elsewhere, or through a link, is neither removed nor written."""
    target = tmp_path / "artifact"
    target.mkdir()
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "weights").write_bytes(b"weights")
    (target / "link").symlink_to("../elsewhere")
    names = ["../precious", str(tmp_path / "precious"), "link/weights", "link/../../precious", "", ".", "a\\u0000b"]
    text = ", ".join(f'"{name}": {{}}' for name in names)
    (target / "manifest.json").write_text(f'{{"manifest_version": 2, "files": {{{text}}}}}', "utf-8")
    build(target)
    assert (tmp_path / "precious").read_bytes() == b"precious"
    assert (tmp_path / "elsewhere" / "weights").read_bytes() == b"weights"
    assert (target / "link").is_symlink()


# Builds at the same time


def test_a_second_build_of_one_place_is_refused(tmp_path: Path) -> None:
    for there in (False, True):
        with staged_artifact(tmp_path / "artifact") as staging:
            (staging / "manifest.json").write_text(MANIFEST_TEXT, "utf-8")
            with pytest.raises(UsageError, match="another build is writing to the output"):
                build(tmp_path / "artifact")
        assert (tmp_path / "artifact").exists(), there
    assert not leftovers(tmp_path)


STAGE = """
import sys, time
from pathlib import Path
from artifacts.test_staging import staged_artifact, MANIFEST_TEXT
with staged_artifact(Path(sys.argv[1])) as staging:
    print("staged", flush=True)
    time.sleep(600)
"""


def test_only_a_build_that_is_gone_makes_room(tmp_path: Path) -> None:
    occupy(tmp_path / "artifact")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", STAGE, str(tmp_path / "artifact")]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "staged\n"
        with pytest.raises(UsageError, match="another build is writing"):
            build(tmp_path / "artifact")
        build(tmp_path / "another")
        assert len(leftovers(tmp_path)) == 1
        process.kill()
    build(tmp_path / "artifact")
    assert files(tmp_path / "artifact") == BUILT
    assert not leftovers(tmp_path)


def test_directories_above_a_place_go_with_a_build_that_fails(tmp_path: Path) -> None:
    def fail() -> None:
        with staged_artifact(tmp_path / "new" / "deep" / "artifact"):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not (tmp_path / "new").exists()


def test_a_place_that_cannot_be_had_at_the_end_leaves_the_earlier_artifact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = occupy(tmp_path / "artifact")

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("exporter.artifacts.staging.swap", refuse)
    with pytest.raises(UsageError, match=r"cannot be put at '.*': No space left on device; .* of .* are free on the"):
        build(tmp_path / "artifact")
    assert files(tmp_path / "artifact") == before
    assert not leftovers(tmp_path)
