"""A hub id is downloaded, one framework's weights and no more; what the hub refuses is told in its words."""

from __future__ import annotations

import json
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
import torch
from huggingface_hub import errors
from safetensors.torch import save_file

from exporter.errors import CheckpointError, ExporterError, UsageError
from exporter.models.checkpoints import Source, find_companions, open_checkpoint

COMMIT = "0123456789abcdef0123456789abcdef01234567"
Download = Callable[..., str]


class Hub:
    """A hub with one model, whose files are downloaded into the folder of a commit, and what was asked of it."""

    def __init__(self, folder: Path, files: dict[str, bytes]) -> None:
        self.snapshot = folder / COMMIT
        self.files = files
        self.calls: list[dict[str, Any]] = []

    def download(self, name: str, **options: Any) -> str:
        self.calls.append({"name": name, **options})
        self.snapshot.mkdir(exist_ok=True)
        for file, content in self.files.items():
            allowed, ignored = options.get("allow_patterns"), options.get("ignore_patterns") or ()
            if allowed is not None and not any(fnmatch(file, pattern) for pattern in allowed):
                continue
            if not any(fnmatch(file, pattern) for pattern in ignored):
                (self.snapshot / file).parent.mkdir(parents=True, exist_ok=True)
                (self.snapshot / file).write_bytes(content)
        return str(self.snapshot)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    save_file({"a": torch.zeros(2)}, tmp_path / "weights", {"format": "pt"})
    files = {
        "config.json": json.dumps({"model_type": "bert"}).encode(),
        "vocab.txt": b"a",
        "modeling_own.py": b"",
        "flax_model.msgpack": b"x",
        "model.safetensors": (tmp_path / "weights").read_bytes(),
        "pytorch_model.bin": b"x",
    }
    hub = Hub(tmp_path, files)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub.download)
    monkeypatch.chdir(tmp_path)
    return hub


def test_one_set_of_weights_is_downloaded_and_the_commit_is_known(hub: Hub) -> None:
    checkpoint = open_checkpoint(Source("somebody/model", revision="main", cache_dir="cache"))
    assert (checkpoint.name, checkpoint.commit, checkpoint.path) == ("somebody/model", COMMIT, hub.snapshot)
    assert sorted(path.name for path in hub.snapshot.iterdir()) == ["config.json", "model.safetensors", "vocab.txt"]
    for call, revision in zip(hub.calls, ("main", COMMIT, COMMIT), strict=True):
        # What comes later is of the commit that the branch was at first.
        assert (call["name"], call["revision"], call["cache_dir"]) == ("somebody/model", revision, "cache")


def test_everything_is_downloaded_but_what_stays_behind(hub: Hub) -> None:
    kept = (
        *("sentencepiece.model", "dict.txt", "LICENSE", "README.md", "additional_chat_templates/tool_use.jinja"),
        *("language_model/5gram.bin", "language_model/model.bin", "language_model/attrs.json"),
        *("modules.json", "1_Pooling/config.json", "2_Dense/config.json", "2_Dense/model.safetensors"),
    )
    lost = (
        *("onnx/model.onnx", "onnx/config.json", "optimizer.pt", "runs/a/events.out.tfevents.1", ".gitattributes"),
        *("model.gguf", "consolidated.safetensors", "openvino/openvino_model.bin", "2_Dense/own.py", "tf_model.h5"),
        *("checkpoint-5/model.safetensors", "3_Other/model.safetensors"),
    )
    hub.files.update(dict.fromkeys((*kept, *lost), b"x"))
    hub.files["language_model/model.bin"] = b"mmap lm http://kheafield.com/code format version 5"
    hub.files["modules.json"] = json.dumps(
        [{"type": "T", "path": ""}, {"type": "P", "path": "1_Pooling"}, {"type": "D", "path": "2_Dense"}]
    ).encode()
    checkpoint = open_checkpoint(Source("somebody/model"))
    names = {path.relative_to(hub.snapshot).as_posix() for path in hub.snapshot.rglob("*") if path.is_file()}
    assert names == {"config.json", "vocab.txt", "model.safetensors", *kept}
    assert set(find_companions(checkpoint).files) == {"config.json", "vocab.txt", *kept}
    assert find_companions(checkpoint).left == ()


def test_modules_that_lead_out_are_refused(hub: Hub) -> None:
    hub.files["modules.json"] = json.dumps([{"type": "T", "path": ""}, {"type": "P", "path": "../.."}]).encode()
    with pytest.raises(CheckpointError, match="which is outside the checkpoint"):
        open_checkpoint(Source("somebody/model"))


def test_the_next_kind_of_weights_is_asked_for_where_one_is_not_there(hub: Hub) -> None:
    del hub.files["model.safetensors"]
    assert open_checkpoint(Source("model")).container == "bin"
    assert len(hub.calls) == 4


def test_a_framework_is_downloaded_alone(hub: Hub) -> None:
    checkpoint = open_checkpoint(Source("model", framework="flax"))
    assert (checkpoint.framework, checkpoint.container) == ("flax", "msgpack")
    assert not (hub.snapshot / "pytorch_model.bin").exists()


def test_a_subfolder_is_the_checkpoint(hub: Hub) -> None:
    hub.files.update({f"inner/final/{name}": data for name, data in list(hub.files.items())})
    checkpoint = open_checkpoint(Source("somebody/model", subfolder="inner/final"))
    assert checkpoint.path == hub.snapshot / "inner" / "final"
    assert (checkpoint.path / "model.safetensors").is_file()
    # Weights of the other folder are not downloaded.
    assert not (hub.snapshot / "model.safetensors").exists()


def test_a_subfolder_of_a_directory_is_the_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "config.json").write_text('{"model_type": "bert"}', "utf-8")
    with pytest.raises(CheckpointError, match="no weights"):
        open_checkpoint(Source(str(tmp_path), subfolder="inner"))
    with pytest.raises(UsageError, match="has no folder 'other'") as failure:
        open_checkpoint(Source(str(tmp_path), subfolder="other"))
    assert failure.value.help == "these have a config.json: inner"


@pytest.mark.parametrize("folder", ["../other", "/etc", "inner/../.."])
def test_a_subfolder_that_leads_out_is_refused(folder: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="leads out of"):
        open_checkpoint(Source(str(tmp_path), subfolder=folder))


def test_a_subfolder_that_is_a_link_out_is_refused(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    (tmp_path / "here" / "inner").symlink_to(tmp_path / "there")
    with pytest.raises(CheckpointError, match="link"):
        open_checkpoint(Source(str(tmp_path / "here"), subfolder="inner"))


@pytest.mark.parametrize("trusted", [False, True])
def test_code_is_downloaded_only_where_it_is_trusted(trusted: bool, hub: Hub) -> None:
    checkpoint = open_checkpoint(Source("model", trust_remote_code=trusted))
    assert (hub.snapshot / "modeling_own.py").exists() is trusted
    assert checkpoint.trust_remote_code is trusted


def http_error(kind: Any) -> Exception:
    """Return an error as the hub's client raises it, over the part of a response that it reads."""
    error: Exception = kind("no", response=SimpleNamespace(headers={}, request=None))
    return error


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (http_error(errors.RepositoryNotFoundError), CheckpointError, "the hub has no model 'model'"),
        (http_error(errors.RevisionNotFoundError), CheckpointError, "'model' has no revision 'v2'"),
        (http_error(errors.GatedRepoError), CheckpointError, "'model' is gated"),
        (errors.LocalEntryNotFoundError("no"), CheckpointError, "the hub cannot be reached"),
        (errors.OfflineModeIsEnabled("no"), CheckpointError, "the hub cannot be reached"),
        (ConnectionError(), CheckpointError, "the hub cannot be reached"),
        (
            errors.HFValidationError("no '..' in a name"),
            UsageError,
            "neither a directory nor a hub id: no '..' in a name",
        ),
        (AssertionError(), CheckpointError, "'model' cannot be downloaded: AssertionError"),
        (RuntimeError("\n\n"), CheckpointError, "'model' cannot be downloaded: RuntimeError"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_what_the_hub_refuses_is_told(
    error: Exception, kind: type[ExporterError], message: str, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> str:
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(kind) as refusal:
        open_checkpoint(Source("model", revision="v2"))
    assert message in refusal.value.message


@pytest.mark.parametrize(
    ("answer", "is_away"),
    [
        (None, False),
        (http_error(errors.GatedRepoError), False),
        (ConnectionError("no route"), True),
        (errors.OfflineModeIsEnabled("offline"), True),
    ],
    ids=["answers", "refuses", "no-network", "offline"],
)
def test_a_hub_that_is_away_is_asked_once(
    answer: Exception | None, is_away: bool, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def model_info(self: object, name: str, **_: object) -> None:
        asked.append(name)
        if answer is not None:
            raise answer

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", model_info)
    open_checkpoint(Source("somebody/model"))
    assert asked == ["somebody/model"]
    assert {call["local_files_only"] for call in hub.calls} == {is_away}


def test_a_directory_is_opened_without_the_hub(hub: Hub) -> None:
    hub.download("model", allow_patterns=["config.json", "model.safetensors"])
    hub.calls.clear()
    assert open_checkpoint(Source(str(hub.snapshot))).commit is None
    assert hub.calls == []
    with pytest.raises(UsageError, match="--revision goes with a hub id"):
        open_checkpoint(Source(str(hub.snapshot), revision="main"))
    for name in ("./nowhere", "a/b/c"):
        with pytest.raises(UsageError, match="does not exist"):
            open_checkpoint(Source(name))
    with pytest.raises(UsageError, match="has no name"):
        open_checkpoint(Source(""))
    assert hub.calls == []


def test_a_model_in_a_folder_of_its_own_is_found(hub: Hub, tmp_path: Path) -> None:
    names = ("config.json", "vocab.txt", "model.safetensors", "pytorch_model.bin", "flax_model.msgpack")
    hub.files = {f"0_Transformer/{name}": hub.files[name] for name in names}
    modules = [{"type": "T", "path": "0_Transformer"}, {"type": "P", "path": "1_Pooling"}]
    hub.files |= {"modules.json": json.dumps(modules).encode(), "1_Pooling/config.json": b"{}"}
    for checkpoint in (open_checkpoint(Source("somebody/model")), open_checkpoint(Source(str(hub.snapshot)))):
        assert checkpoint.path == hub.snapshot / "0_Transformer"
        assert checkpoint.whole == hub.snapshot
        assert checkpoint.weight_files == ("model.safetensors",)
    assert not (hub.snapshot / "0_Transformer" / "pytorch_model.bin").exists()
    # A folder that is a link out of the checkpoint is somebody else's model.
    (hub.snapshot / "0_Transformer").rename(tmp_path / "private")
    (hub.snapshot / "0_Transformer").symlink_to(tmp_path / "private")
    with pytest.raises(CheckpointError, match=r"0_Transformer of '.*' is a link that leaves the checkpoint"):
        open_checkpoint(Source(str(hub.snapshot)))
