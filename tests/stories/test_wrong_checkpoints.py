"""Checkpoints that are wrong inside: each is refused with the names of what is wrong, and writes nothing.

All of them are builds of one file, so that one worker meets them all and one command shows that a failure does not keep
the others from being built.
"""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import TINY_BERT, offline_environment, read_answer
from safetensors.torch import load_file, save_file

import exporter


def change_weights(checkpoint: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    path = checkpoint / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, {"format": "pt"})


def change_config(checkpoint: Path, **changes: Any) -> None:
    path = checkpoint / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **changes}), "utf-8")


class Payload:
    """Pickled, it makes a file when it is unpickled carelessly."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.marker,))


def plant_pickle(checkpoint: Path) -> None:
    tensors = load_file(checkpoint / "model.safetensors")
    (checkpoint / "model.safetensors").unlink()
    torch.save({**tensors, "payload": Payload(checkpoint / "owned")}, checkpoint / "pytorch_model.bin")


def plant_old_pickle(checkpoint: Path) -> None:
    (checkpoint / "model.safetensors").unlink()
    (checkpoint / "pytorch_model.bin").write_bytes(pickle.dumps(Payload(checkpoint / "owned"), protocol=2))


def save_as_bin(checkpoint: Path) -> None:
    torch.save(load_file(checkpoint / "model.safetensors"), checkpoint / "pytorch_model.bin")
    (checkpoint / "model.safetensors").unlink()


def cut_bin(checkpoint: Path) -> None:
    save_as_bin(checkpoint)
    path = checkpoint / "pytorch_model.bin"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def only(checkpoint: Path, prefix: str) -> None:
    change_weights(
        checkpoint, lambda tensors: [tensors.pop(name) for name in [*tensors] if not name.startswith(prefix)]
    )


# What is done to a good checkpoint, the task asked of it, and the words the message must have.
WRONG: dict[str, tuple[Callable[[Path], Any], str, tuple[str, ...]]] = {
    "wrong-shape": (
        lambda path: change_weights(
            path, lambda tensors: tensors.update({"bert.encoder.layer.1.output.dense.weight": torch.zeros(7, 5)})
        ),
        "fill-mask",
        ("bert.encoder.layer.1.output.dense.weight is [7, 5] in the file and [24, 20] in the model",),
    ),
    "another-width": (
        lambda path: change_config(path, intermediate_size=21),
        "fill-mask",
        ("weights of the wrong shape", "[20, 24]", "[21, 24]"),
    ),
    "too-shallow-config": (
        lambda path: change_config(path, num_hidden_layers=1),
        "fill-mask",
        ("has no place for", "bert.encoder.layer.1."),
    ),
    "too-deep-config": (
        lambda path: change_config(path, num_hidden_layers=3),
        "fill-mask",
        ("lacks", "bert.encoder.layer.2."),
    ),
    "a-weight-is-missing": (
        lambda path: change_weights(path, lambda tensors: tensors.pop("bert.embeddings.LayerNorm.bias")),
        "fill-mask",
        ("lacks 1 weights", "bert.embeddings.LayerNorm.bias"),
    ),
    "no-weights-at-all": (lambda path: only(path, "nothing"), "fill-mask", ("there are no weights in",)),
    "renamed-weights": (
        lambda path: change_weights(
            path, lambda tensors: [tensors.update({f"{name}.data": tensors.pop(name)}) for name in [*tensors]]
        ),
        "fill-mask",
        ("has no place for", "bert.embeddings.LayerNorm.bias.data"),
    ),
    "more-than-the-head-has": (
        lambda path: change_weights(path, lambda tensors: tensors.update({"cls.predictions.scale": torch.ones(3)})),
        "fill-mask",
        ("has no place for: cls.predictions.scale", "another variant"),
    ),
    "of-no-class": (
        lambda path: change_weights(path, lambda tensors: tensors.update({"scorer.weight": torch.ones(3)})),
        "fill-mask",
        ("has no place for: scorer.weight", "no model of this architecture"),
    ),
    "no-prefix-and-deeper": (
        lambda path: change_weights(
            path,
            lambda tensors: [
                *(tensors.update({name.removeprefix("bert."): tensors.pop(name)}) for name in [*tensors]),
                tensors.update({"encoder.layer.2.output.dense.bias": torch.zeros(24)}),
            ],
        ),
        "fill-mask",
        ("has no place for: encoder.layer.2.output.dense.bias", "'num_hidden_layers' is 2, and the weights have 3"),
    ),
    "twice": (
        lambda path: change_weights(
            path, lambda tensors: tensors.update({"embeddings.LayerNorm.bias": torch.zeros(24)})
        ),
        "fill-mask",
        ("1 weights twice", "embeddings.LayerNorm.bias"),
    ),
    "wrapped": (
        lambda path: change_weights(
            path,
            lambda tensors: [tensors.update({f"model._orig_mod.{name}": tensors.pop(name)}) for name in [*tensors]],
        ),
        "fill-mask",
        (),
    ),
    "no-head": (lambda path: only(path, "bert."), "fill-mask", ("lacks", "cls.predictions.")),
    "another-head": (
        lambda path: None,
        "text-classification",
        ("lacks", "classifier.weight", "choose a task the checkpoint was trained for"),
    ),
    "not-a-number": (
        lambda path: change_weights(
            path, lambda tensors: tensors["bert.encoder.layer.0.output.dense.bias"].fill_(float("nan"))
        ),
        "fill-mask",
        ("values that are not finite",),
    ),
    "impossible-config": (lambda path: change_config(path, num_attention_heads=5), "fill-mask", ("24", "5")),
    "nonsense-config": (lambda path: change_config(path, hidden_size="wide"), "fill-mask", ("hidden_size",)),
    "unknown-activation": (lambda path: change_config(path, hidden_act="swoosh"), "fill-mask", ("swoosh",)),
    "malicious-pickle": (plant_pickle, "fill-mask", ("pytorch_model.bin", "holds more than tensors")),
    "malicious-old-pickle": (plant_old_pickle, "fill-mask", ("pytorch_model.bin", "holds more than tensors")),
    "truncated-pickle": (cut_bin, "fill-mask", ("pytorch_model.bin",)),
    "not-tensorflow": (
        lambda path: (path / "model.safetensors").rename(path / "tf_model.h5"),
        "fill-mask",
        ("tf_model.h5",),
    ),
    "says-tensorflow": (
        lambda path: save_file({"a": torch.zeros(2)}, path / "model.safetensors", {"format": "tf"}),
        "fill-mask",
        ("has no place for: a",),
    ),
    "good-pickle": (save_as_bin, "fill-mask", ()),
    # The pooler of a masked language model's checkpoint was never saved, and hidden states do not need it.
    "no-pooler": (lambda path: None, "feature-extraction", ()),
}


@pytest.fixture(scope="module")
def outcome(
    make_checkpoint: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Any, dict[str, Any]]:
    """Build all of them with one command; return the directory, what the command said, and its outcomes by name."""
    folder = tmp_path_factory.mktemp("wrong")
    rows = []
    for name, (spoil, task, _) in WRONG.items():
        shutil.copytree(make_checkpoint("BertForMaskedLM", "bert", **TINY_BERT), folder / name)
        spoil(folder / name)
        rows.append(f"- {{model: {name}, tasks: [{task}]}}\n")
        earlier = folder / "artifacts" / name / task
        earlier.mkdir(parents=True)
        (earlier / "manifest.json").write_text('{"manifest_version": 2, "files": {}}', "utf-8")
    (folder / "builds.yaml").write_text("spec_version: 1\nkind: build\nbuilds:\n" + "".join(rows), "utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "exporter.cli", "build", "builds.yaml", "--json"],
        cwd=folder,
        env=offline_environment(),
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    return folder, done, {Path(entry["model"]).name: entry for entry in read_answer(done.stdout, ok=False)["builds"]}


@pytest.mark.parametrize("name", WRONG, ids=lambda name: f"wrong-checkpoints/{name}")
def test_a_wrong_checkpoint(name: str, outcome: tuple[Path, Any, dict[str, Any]]):
    folder, _, entries = outcome
    _, task, words = WRONG[name]
    entry = entries[name]
    place = folder / "artifacts" / name / task
    assert not list(place.parent.glob(".*")), "something was left behind"
    assert not (folder / name / "owned").exists(), "the checkpoint ran code"
    if not words:
        assert entry["ok"], entry["error"]
        assert exporter.verify(place).passed
        return
    assert entry["error"]["kind"] != "EngineError", entry["error"]
    for word in words:
        assert word in entry["error"]["message"] + (entry["error"]["help"] or "")
    assert len(entry["error"]["message"]) < 1500
    assert "\x1b" not in entry["error"]["message"]
    assert [path.name for path in place.iterdir()] == ["manifest.json"]


@pytest.mark.parametrize("good", [3], ids=["wrong-checkpoints/all"])
def test_the_command_says_each_once_and_goes_on(good: int, outcome: tuple[Path, Any, dict[str, Any]]):
    _, done, entries = outcome
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    # What shows before any work is said first.
    assert sorted(entries) == sorted(WRONG)
    assert not entries[next(iter(entries))]["ok"]
    failed = [entry for entry in entries.values() if not entry["ok"]]
    assert done.stderr.count("\nerror: ") == len(failed) == len(WRONG) - good
    assert f"{good} built, {len(failed)} failed" in done.stderr
