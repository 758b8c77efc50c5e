"""Checkpoints of TensorFlow and Flax: built with the same command, or refused with the reason."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands import REPOSITORY, Run, assert_clean_failure

import exporter

FIXTURES = REPOSITORY / "tests" / "foreign"


@pytest.mark.parametrize(
    "name", ["tf/bert__ForQuestionAnswering.savedmodel", "tf/t5__ForConditionalGeneration", "flax/gpt2__LMHeadModel"]
)
def test_a_checkpoint_builds_with_the_same_command(name: str, tmp_path: Path):
    results = exporter.build(model=FIXTURES / name, output=tmp_path / "artifact")
    assert all(result.report is not None and result.report.passed for result in results)
    assert exporter.verify(tmp_path / "artifact", model=FIXTURES / name).passed


def copy(name: str, target: Path) -> Path:
    shutil.copytree(FIXTURES / name, target)
    return target


def with_file(name: str, content: bytes = b"x") -> Callable[[Path], None]:
    def change(directory: Path) -> None:
        (directory / "tf_model.h5").unlink()
        (directory / name).write_bytes(content)

    return change


def change_config(**values: Any) -> Callable[[Path], None]:
    def change(directory: Path) -> None:
        config = json.loads((directory / "config.json").read_text("utf-8"))
        (directory / "config.json").write_text(json.dumps({**config, **values}, indent=2), "utf-8")

    return change


def cut(directory: Path) -> None:
    path = directory / "tf_model.h5"
    path.write_bytes(path.read_bytes()[:3000])


def use_keras3(directory: Path) -> None:
    shutil.copy(FIXTURES / "tf/bert__ForQuestionAnswering.savedmodel/keras3.weights.h5", directory / "tf_model.h5")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (with_file("notes.txt"), "there are no weights in"),
        (with_file("flax_model.msgpack", b"\x93\x01"), "not a readable Flax file"),
        (cut, "not a readable HDF5 file"),
        (use_keras3, "by position, not by name"),
        (change_config(vocab_size=77), "'vocab_size' is 77, and the weights have 99"),
        (change_config(intermediate_size=40), "'intermediate_size' is 40, and the weights have 37"),
        (change_config(id2label={str(n): str(n) for n in range(5)}), "names 5 labels, and the weights have 2"),
        (change_config(pad_token_id=500), "'pad_token_id' is 500, and the vocabulary ends at 98"),
        (change_config(num_hidden_layers=1), "has no place for"),
        (change_config(num_hidden_layers=3), "weights that BertForQuestionAnswering needs"),
    ],
)
def test_what_cannot_be_used_is_told(change: Callable[[Path], None], said: str, tmp_path: Path):
    directory = copy("tf/bert__ForQuestionAnswering", tmp_path / "checkpoint")
    change(directory)
    with pytest.raises(exporter.ExporterError) as failure:
        exporter.build(model=directory, output=tmp_path / "artifact", verify=False)
    assert said in f"{failure.value.message} {failure.value.help}"
    assert not (tmp_path / "artifact").exists()


@pytest.mark.parametrize(
    ("package", "name"), [("h5py", "tf/bert__ForQuestionAnswering"), ("msgpack", "flax/bert__ForQuestionAnswering")]
)
def test_a_missing_reader_says_what_to_install(package: str, name: str, run: Run, tmp_path: Path):
    (tmp_path / f"{package}.py").write_text("raise ImportError('not here')\n", "utf-8")
    path = f"{tmp_path}:{REPOSITORY / 'tests' / 'offline'}"
    result = run("build", "--model", FIXTURES / name, "-o", tmp_path / "out", PYTHONPATH=path)
    extra = {"h5py": "tf", "msgpack": "flax"}[package]
    assert f"pip install 'checkpoint-exporter[{extra}]'" in assert_clean_failure(result, 1)
