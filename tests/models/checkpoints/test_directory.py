"""What a checkpoint directory holds, and what is refused before anything is loaded."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch
from commands import REPOSITORY
from safetensors.torch import save_file

from exporter.errors import CheckpointError, UsageError
from exporter.models.checkpoints import check_architecture, digest_file, open_directory, pytorch_class
from exporter.models.checkpoints.json_file import read_json

FIXTURES = REPOSITORY / "tests" / "foreign"


def make_directory(folder: Path, config: dict[str, object] | None = None, *weights: str) -> Path:
    """Make a checkpoint with a config and safetensors files of the given names."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config or {"model_type": "bert"}), "utf-8")
    for name in weights:
        save_file({"a": torch.zeros(2)}, folder / name, {"format": "pt"})
    return folder


def test_a_directory_is_opened_with_its_files_and_their_digests(tmp_path: Path) -> None:
    make_directory(tmp_path, None, "model.safetensors")
    checkpoint = open_directory(tmp_path, "mine", "0" * 40)
    assert (checkpoint.name, checkpoint.commit, checkpoint.framework) == ("mine", "0" * 40, "pt")
    assert checkpoint.digests() == {
        name: hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
        for name in ("config.json", "model.safetensors")
    }
    assert checkpoint.pytorch_files() == [tmp_path / "model.safetensors"]


def test_shards_are_those_the_index_names(tmp_path: Path) -> None:
    make_directory(tmp_path, None, "one.safetensors", "two.safetensors", "stray.safetensors")
    save_file({"b": torch.zeros(3)}, tmp_path / "two.safetensors", {"format": "pt"})
    index = {"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index), "utf-8")
    checkpoint = open_directory(tmp_path, "sharded")
    assert [path.name for path in checkpoint.weight_paths()] == ["one.safetensors", "two.safetensors"]
    assert "model.safetensors.index.json" in checkpoint.digests()
    (tmp_path / "two.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"the shard two.safetensors named by model.safetensors.index.json"):
        open_directory(tmp_path, "sharded")


@pytest.mark.parametrize(
    "name", ["config.json", "model.safetensors", "model.safetensors.index.json", "one.safetensors"]
)
def test_a_config_or_weights_that_are_links_out_of_the_checkpoint_are_refused(name: str, tmp_path: Path) -> None:
    folder = make_directory(tmp_path / "checkpoint", None, "one.safetensors")
    if name == "model.safetensors":
        (folder / "one.safetensors").rename(folder / name)
    else:
        index = {"weight_map": {"a": "one.safetensors"}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index), "utf-8")
    open_directory(folder, "mine")
    (folder / name).rename(tmp_path / "elsewhere")
    (folder / name).symlink_to("../elsewhere")
    with pytest.raises(CheckpointError, match=f"{name} of 'mine' is a link that leaves the checkpoint"):
        open_directory(folder, "mine")
    (folder / name).unlink()
    (tmp_path / "elsewhere").rename(folder / "inside")
    (folder / name).symlink_to("inside")
    open_directory(folder, "mine")


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ({"weight_map": {"a": "../model.safetensors"}}, "outside the checkpoint's directory"),
        ({"weight_map": {"a": "model\0.safetensors"}}, "which is no name of a file"),
        ({"weight_map": {"a": "model\ud800.safetensors"}}, "which is no name of a file"),
        ({"weight_map": {"a": "m" * 5000}}, "which is no name of a file"),
        ({"weight_map": {}}, "has no weight_map"),
        ({"weight_map": ["model.safetensors"]}, "has no weight_map"),
    ],
)
def test_an_index_that_cannot_be_followed_is_refused(index: object, message: str, tmp_path: Path) -> None:
    make_directory(tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index), "utf-8")
    with pytest.raises(CheckpointError, match=message):
        open_directory(tmp_path, "sharded")


def test_framework_chooses_among_several(tmp_path: Path) -> None:
    both = tmp_path / "both"
    shutil.copytree(FIXTURES / "tf/bert__ForQuestionAnswering", both)
    shutil.copy(FIXTURES / "flax/bert__ForQuestionAnswering/flax_model.msgpack", both)
    assert open_directory(both, "both").framework == "tf"
    assert open_directory(both, "both", framework="flax").container == "msgpack"
    with pytest.raises(CheckpointError, match=r"has no PyTorch weights; it has TensorFlow \(tf_model.h5\), Flax"):
        open_directory(both, "both", framework="pt")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("model.weights.h5", "positions instead of names"),
        ("model.keras", "positions instead of names"),
        ("model.Q4.gguf", "quantised"),
        ("bert_model.ckpt.index", "TensorFlow 1 checkpoint"),
        ("notes.txt", "there are no weights in 'mine'"),
    ],
)
def test_what_only_looks_like_weights_is_refused_with_the_reason(name: str, message: str, tmp_path: Path) -> None:
    (make_directory(tmp_path) / name).write_bytes(b"x")
    with pytest.raises(CheckpointError, match=message) as refusal:
        open_directory(tmp_path, "mine")
    assert refusal.value.help


def test_quantised_weights_are_refused(tmp_path: Path) -> None:
    make_directory(tmp_path, {"quantization_config": {"quant_method": "gptq"}}, "model.safetensors")
    with pytest.raises(CheckpointError, match=r"'mine' is quantised \(gptq\)"):
        open_directory(tmp_path, "mine")


def test_a_place_without_a_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", "utf-8")
    with pytest.raises(UsageError, match="is a file"):
        open_directory(tmp_path / "file", "mine")
    with pytest.raises(UsageError, match="does not exist"):
        open_directory(tmp_path / "nowhere", "mine")
    with pytest.raises(CheckpointError, match=r"no config.json"):
        open_directory(tmp_path, "mine")
    make_directory(tmp_path)
    (tmp_path / "tf_model.h5").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"tf_model.h5 in 'mine' is empty"):
        open_directory(tmp_path, "mine")


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    checkpoint = open_directory(make_directory(tmp_path, {"model_type": "bert"}, "model.safetensors"), "mine")
    check_architecture(checkpoint, "bert")
    with pytest.raises(UsageError, match="of the architecture 'bert', and the spec is of 'gpt2'"):
        check_architecture(checkpoint, "gpt2")


@pytest.mark.parametrize(
    ("text", "message"), [("{", "not valid JSON"), ("[]", "JSON object"), ("[" * 9999, "not valid")]
)
def test_what_is_no_json_mapping_is_told(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text, "utf-8")
    with pytest.raises(CheckpointError, match=message):
        read_json(tmp_path / "config.json")


def test_a_system_error_without_a_reason_is_told_by_its_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> bytes:
        raise PermissionError

    (tmp_path / "config.json").touch()
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(CheckpointError, match=r"config.json cannot be read: PermissionError"):
        read_json(tmp_path / "config.json")


def test_the_class_of_another_framework_is_that_of_pytorch() -> None:
    names = ("TFBertModel", "FlaxBertModel", "BertModel", "TFT5Model", "Flaxen")
    assert [*map(pytorch_class, names)] == ["BertModel", "BertModel", "BertModel", "T5Model", "Flaxen"]


def test_a_digest_is_of_the_whole_file(tmp_path: Path) -> None:
    content = bytes(range(256)) * 20_000  # more than one block
    (tmp_path / "file").write_bytes(content)
    assert digest_file(tmp_path / "file") == hashlib.sha256(content).hexdigest()


def test_a_file_that_changes_after_it_was_checked_is_told(tmp_path: Path) -> None:
    checkpoint = open_directory(make_directory(tmp_path, None, "model.safetensors"), "mine")
    save_file({"a": torch.ones(3)}, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match=r"model.safetensors of 'mine' changed while it was read"):
        checkpoint.digests()
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"model.safetensors of 'mine' changed while it was read"):
        checkpoint.digests()


def test_an_index_that_names_other_weights_than_its_shards_hold_is_refused(tmp_path: Path) -> None:
    make_directory(tmp_path, None, "one.safetensors")
    save_file({"b": torch.zeros(3)}, tmp_path / "two.safetensors", {"format": "pt"})
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(json.dumps({"weight_map": {"a": "two.safetensors", "b": "one.safetensors"}}), "utf-8")
    with pytest.raises(CheckpointError, match="names 2 weights that are not in the shard it says: a, b"):
        open_directory(tmp_path, "sharded")
    save_file({"a": torch.zeros(3)}, tmp_path / "two.safetensors", {"format": "pt"})
    with pytest.raises(
        CheckpointError, match=r"'a' of 'sharded' is in two shards: one.safetensors and two.safetensors"
    ):
        open_directory(tmp_path, "sharded")


def test_a_config_beyond_its_weights_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    make_directory(tmp_path, {"model_type": "bert", "num_hidden_layers": 10**9}, "model.safetensors")
    with pytest.raises(CheckpointError, match=r"'num_hidden_layers' is 1,000,000,000, and there are 1 weights at most"):
        open_directory(tmp_path, "mine")
