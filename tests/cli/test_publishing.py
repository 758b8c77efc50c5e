"""`exporter push` as people run it, against a hub on this machine that fails as hubs do."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from commands import assert_clean_failure, online_environment, read_answer
from fakes.hub import TOKEN, Hub, running_hub
from published import make_artifact

Push = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def hub() -> Iterator[Hub]:
    with running_hub() as hub:
        yield hub


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_artifact(tmp_path_factory.mktemp("published") / "artifact")


@pytest.fixture
def push(hub: Hub, whole: Path, tmp_path: Path) -> Push:
    """Push the artifact to the hub; nothing else of a network is asked for."""

    def push(*arguments: str, directory: Path = whole, **extra: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "HF_ENDPOINT": hub.endpoint,
            "HF_TOKEN": TOKEN,
            "HF_HOME": str(tmp_path / "hf"),
            "HF_HUB_DISABLE_XET": "1",
            "NO_COLOR": "1",
            "no_proxy": "127.0.0.1",
            **extra,
        }
        return subprocess.run(
            [sys.executable, "-m", "exporter.cli", "push", str(directory), *arguments],
            cwd=tmp_path,
            env=online_environment(**environment),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return push


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_artifact_arrives_as_it_is(push: Push, hub: Hub, whole: Path) -> None:
    done = push("me/model")
    assert done.returncode == 0, done.stderr
    assert hub.files("me/model") == content(whole)
    assert hub.stored, "the graph went to the store for large files"
    assert not hub.repositories["me/model"]["private"]
    assert hub.messages == ["Publish a graph made with exporter"]
    assert f"{hub.endpoint}/me/model" in done.stdout
    assert "5 files" in done.stdout
    assert TOKEN not in done.stdout + done.stderr
    again = push("model")
    assert again.returncode == 0, again.stderr
    assert hub.files("me/model") == content(whole)


def test_options_are_those_of_the_commit(push: Push, hub: Hub, whole: Path) -> None:
    options = ("--private", "--revision", "onnx", "--message", "First", "--token", TOKEN, "--json")
    done = push("model", *options, HF_TOKEN="hf_wrong")
    assert done.returncode == 0, done.stderr
    assert hub.repositories["me/model"]["private"]
    assert hub.files("me/model") == {}
    assert hub.files("me/model", "onnx") == content(whole)
    assert hub.messages == ["First"]
    answer = read_answer(done.stdout)
    assert answer == {
        "command": "push",
        "ok": True,
        "exit_code": 0,
        "error": None,
        "repository": "me/model",
        "revision": "onnx",
        "files": {name: len(data) for name, data in sorted(content(whole).items())},
        "left": [],
        "url": f"{hub.endpoint}/me/model",
        "commit": "a" * 40,
        "dry_run": False,
    }
    assert TOKEN not in done.stdout + done.stderr


def test_a_dry_run_lists_files_and_asks_nobody(push: Push, hub: Hub) -> None:
    done = push("me/model", "--dry-run", HF_TOKEN="")
    assert done.returncode == 0, done.stderr
    assert "model.onnx" in done.stdout
    assert "5,000 bytes" in done.stdout
    assert "5 files" in done.stdout
    assert hub.asked == []


def test_private_weights_do_not_go_where_everybody_sees_them(push: Push, hub: Hub) -> None:
    hub.add("me/model", private=False)
    assert "everybody can see it" in assert_clean_failure(push("me/model", "--private"), 2)
    assert hub.files("me/model") == {}


@pytest.mark.parametrize(
    ("name", "token", "said"),
    [
        ("me/model", "hf_wrong", "does not take the token"),
        ("me/model", "", "needs a token"),
        ("others/model", TOKEN, "no right to write to 'others/model'"),
        ("me/mo del", TOKEN, "no name of a repository"),
    ],
)
def test_a_refusal_says_what_to_do(name: str, token: str, said: str, push: Push, hub: Hub) -> None:
    printed = assert_clean_failure(push(name, HF_TOKEN=token), 2)
    assert said in printed
    assert "help" in printed
    assert not token or token not in printed
    assert hub.repositories == {}


@pytest.mark.parametrize(
    ("part", "answer"),
    [
        ("/api/repos/create", (500, 1)),
        ("/preupload/", (403, 2)),
        ("/objects/batch", (413, 1)),
        ("/store/", (400, 1)),
        ("/store/", (403, 2)),
        ("/commit/", (412, 1)),
        ("/commit/", (0, 1)),
    ],
)
def test_an_upload_that_breaks_off_leaves_the_repository_as_it_was(
    part: str, answer: tuple[int, int], push: Push, hub: Hub, whole: Path
) -> None:
    status, code = answer
    hub.add("me/model")
    hub.repositories["me/model"]["branches"]["main"]["model.onnx"] = b"the earlier graph"
    hub.fail[part] = (status, "the disk is full")
    printed = assert_clean_failure(push("me/model"), code)
    assert TOKEN not in printed
    assert hub.files("me/model") == {"model.onnx": b"the earlier graph"}
    hub.fail.clear()
    assert push("me/model").returncode == 0
    assert hub.files("me/model") == content(whole)


def test_a_hub_that_is_away_is_told(push: Push) -> None:
    printed = assert_clean_failure(push("me/model", HF_ENDPOINT="http://127.0.0.1:9"), 1)
    assert "cannot be reached" in printed


def test_what_is_no_artifact_is_not_sent(push: Push, hub: Hub, tmp_path: Path) -> None:
    assert "is not an artifact" in assert_clean_failure(push("me/model", directory=tmp_path), 2)
    assert "does not exist" in assert_clean_failure(push("me/model", directory=tmp_path / "none"), 2)
    assert hub.asked == []


def test_publishing_needs_no_torch(whole: Path, tmp_path: Path) -> None:
    program = (
        "import sys; sys.argv = ['exporter', 'push', sys.argv[1], 'me/model', '--dry-run']\n"
        "from exporter.cli import main\n"
        "try: main()\n"
        "except SystemExit as left: assert not left.code, left.code\n"
        "heavy = {'torch', 'transformers', 'onnx', 'onnxruntime'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", program, str(whole)], check=True, cwd=tmp_path, timeout=120)
