"""What of an artifact is sent, and what is refused before a hub is asked."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub import errors
from published import make_artifact

from exporter.artifacts.publishing import Place, _explaining, find_files, push_artifact
from exporter.errors import PublishError, UsageError

TransportError: type[Exception] = errors.HfHubHTTPError.__mro__[1]


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    return make_artifact(tmp_path / "artifact")


def test_what_the_manifest_names_is_sent_and_nothing_else(artifact: Path) -> None:
    (artifact / "notes.txt").write_text("mine", "utf-8")
    (artifact / ".env").write_text("secret", "utf-8")
    (artifact / "README.md").write_text("edited", "utf-8")
    files, left = find_files(artifact)
    assert list(files) == ["README.md", "config.json", "manifest.json", "model.onnx", "sub/vocab.txt"]
    assert files["model.onnx"] == 5000
    assert left == (".env", "notes.txt")
    (artifact / "README.md").unlink()
    assert "README.md" not in find_files(artifact)[0]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "model.onnx").write_bytes(b"other" * 1000), "model.onnx has changed"),
        (lambda folder: (folder / "sub" / "vocab.txt").unlink(), "sub/vocab.txt is missing"),
        (lambda folder: (folder / "manifest.json").write_text("{}"), "not a manifest"),
        (lambda folder: (folder / "manifest.json").unlink(), "is not an artifact"),
    ],
)
def test_an_artifact_that_is_not_whole_is_not_sent(damage, said: str, artifact: Path) -> None:
    damage(artifact)
    with pytest.raises(UsageError, match=said):
        push_artifact(artifact, Place("me/model"), dry_run=True)


@pytest.mark.parametrize("name", ["README.md", "sub/vocab.txt", "manifest.json"])
def test_a_link_out_of_the_artifact_is_not_followed(name: str, artifact: Path, tmp_path: Path) -> None:
    outside = tmp_path / "secret"
    outside.write_bytes((artifact / name).read_bytes())
    (artifact / name).unlink()
    (artifact / name).symlink_to(outside)
    with pytest.raises(UsageError, match="is a link that leaves the artifact"):
        push_artifact(artifact, Place("me/model"), dry_run=True)


@pytest.mark.parametrize("name", ["", "a/b/c", "me/", "me/mo del", "-x", "me/model..x", "me/" + "m" * 100, "../x"])
def test_a_name_that_is_none_is_refused(name: str, artifact: Path) -> None:
    with pytest.raises(UsageError, match="is no name of a repository"):
        push_artifact(artifact, Place(name), dry_run=True)


@pytest.mark.parametrize("branch", ["", "-x", "a b", "a..b", "a~1", "refs/pr/1", "/x", "x.lock", "a\nb", "a:b"])
def test_a_branch_that_is_none_is_refused(branch: str, artifact: Path) -> None:
    with pytest.raises(UsageError, match="is no name of a branch"):
        push_artifact(artifact, Place("me/model", revision=branch), dry_run=True)


def test_a_dry_run_asks_nobody(artifact: Path) -> None:
    publication = push_artifact(artifact, Place("model", revision="onnx"), dry_run=True)
    assert (publication.repository, publication.revision) == ("model", "onnx")
    assert (publication.url, publication.commit) == (None, None)


def test_without_a_token_nothing_is_asked(artifact: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    with pytest.raises(UsageError, match="needs a token") as raised:
        push_artifact(artifact, Place("me/model"))
    assert "hf auth login" in str(raised.value.help)
    with pytest.raises(UsageError, match="characters that no token has") as raised:
        push_artifact(artifact, Place("me/model", token="hf_a\nX-Header: b"))
    assert "X-Header" not in raised.value.message


def test_a_place_does_not_show_its_token() -> None:
    assert "secret" not in repr(Place("me/model", token="hf_secret"))


def refusal(kind: type[errors.HfHubHTTPError], status: int, said: str) -> Exception:
    response = SimpleNamespace(status_code=status, request=None, headers={})
    return kind(said, response=response, server_message=said)


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (refusal(errors.HfHubHTTPError, 401, "no"), UsageError, "does not take the token"),
        (refusal(errors.HfHubHTTPError, 403, "not yours"), UsageError, "no right to write to 'me/model': not yours"),
        (refusal(errors.RepositoryNotFoundError, 404, "gone"), UsageError, "no repository 'me/model'"),
        (refusal(errors.RevisionNotFoundError, 404, "gone"), UsageError, "no branch 'x'"),
        (
            refusal(errors.HfHubHTTPError, 500, "broken hf_secret"),
            PublishError,
            r"refused the artifact \(500\): broken \*\*\*",
        ),
        (TransportError("no route"), PublishError, "cannot be reached, or broke off: no route"),
        (ConnectionResetError("slow"), PublishError, "cannot be reached"),
        (errors.OfflineModeIsEnabled("offline"), PublishError, "HF_HUB_OFFLINE is set"),
        (RuntimeError("hf_secret in it"), PublishError, r"refused the artifact: \*\*\* in it"),
    ],
)
def test_what_a_hub_answers_is_told_without_the_token(error: Exception, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said) as raised, _explaining(Place("me/model", revision="x"), "hf_secret"):
        raise error
    assert raised.value.__cause__ is None
    assert "hf_secret" not in str(raised.value)


def test_what_led_to_an_error_is_looked_at() -> None:
    error = RuntimeError("Error while uploading 'model.onnx' to the Hub.")
    error.__cause__ = TransportError("no route")
    with pytest.raises(PublishError, match="cannot be reached"), _explaining(Place("me/model"), "hf_secret"):
        raise error


def test_a_cache_of_a_hub_may_be_sent_again(artifact: Path, tmp_path: Path) -> None:
    snapshot = tmp_path / "models--me--model" / "snapshots" / ("0" * 40)
    blobs = snapshot.parent.parent / "blobs"
    blobs.mkdir(parents=True)
    for path in [path for path in artifact.rglob("*") if path.is_file()]:
        blob = blobs / path.name
        blob.write_bytes(path.read_bytes())
        link = snapshot / path.relative_to(artifact)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))
    assert find_files(snapshot) == find_files(artifact)
