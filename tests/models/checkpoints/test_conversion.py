"""Checkpoints of TensorFlow and Flax as PyTorch's: real files of both, and every layout written and read back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import foreign_writers as writers
import numpy as np
import pytest
import torch
from commands import REPOSITORY
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

import exporter
from exporter.errors import CheckpointError
from exporter.models.checkpoints import open_directory
from exporter.models.checkpoints.conversion import convert_checkpoint, read_safetensors, read_weights
from exporter.models.checkpoints.foreign import translate_weights
from exporter.models.checkpoints.safetensors_file import safetensors_framework

FIXTURES = REPOSITORY / "tests" / "foreign"
CHECKPOINTS = sorted(path.parent for path in FIXTURES.glob("*/*/config.json"))


def named(directory: Path) -> str:
    return f"{directory.parent.name}/{directory.name}"


@pytest.mark.parametrize("directory", CHECKPOINTS, ids=named)
def test_a_checkpoint_computes_what_its_framework_computed(directory: Path, tmp_path: Path):
    import transformers

    from exporter.models.loading import convert_weights, load_model

    checkpoint = open_directory(directory, directory.name)
    assert checkpoint.framework == directory.parent.name
    (architecture,) = checkpoint.read_config()["architectures"]
    config = transformers.AutoConfig.from_pretrained(directory)
    task = next(
        task
        for task, spec in exporter.load_spec(config.model_type).tasks.items()
        if (spec.model_class or "") == architecture or heads(spec.auto_class, config) == architecture
    )
    plan = exporter.plan(config.model_type, task, model=directory)
    model = load_model(plan, convert_weights(plan, checkpoint, tmp_path)).model
    saved = np.load(directory / "io.npz")
    inputs = {name[3:]: torch.from_numpy(saved[name]) for name in saved if name.startswith("in_")}
    with torch.no_grad():
        outputs = model(**inputs)
    names = [name for name in saved if name.startswith("out_") and isinstance(outputs.get(name[4:]), torch.Tensor)]
    assert names
    for name in names:
        assert np.abs(outputs[name[4:]].numpy() - saved[name]).max() <= 2e-6 * np.abs(saved[name]).max()


def heads(auto_class: str | None, config: Any) -> str:
    import transformers

    mapping = getattr(transformers, auto_class or "AutoModel")._model_mapping
    return (
        mapping[type(config)].__name__
        if type(config) in mapping and not isinstance(mapping[type(config)], tuple)
        else ""
    )


KINDS = {"kernel": (2, 4), "embedding": (2, 2), "scale": (1, 1), "shift": (1, 1), "mean": (1, 1), "var": (1, 1)}
LEAVES = {"shift": "bias", "mean": "running_mean", "var": "running_var"}


@st.composite
def state_dicts(draw: st.DrawFn) -> dict[str, tuple[str, torch.Tensor]]:
    words = st.sampled_from(["encoder", "layer", "dense", "attention", "norm", "self", "out", "h"])
    weights: dict[str, tuple[str, torch.Tensor]] = {}
    for number in range(draw(st.integers(1, 6))):
        kind = draw(st.sampled_from(sorted(KINDS)))
        steps = draw(st.lists(words, min_size=1, max_size=3))
        name = ".".join(["model", *steps, str(number), "x", LEAVES.get(kind, "weight")])
        low, high = KINDS[kind]
        shape = draw(st.lists(st.integers(1, 5), min_size=low, max_size=high))
        seed = draw(st.integers(0, 2**31))
        weights[name] = (kind, torch.randn(shape, generator=torch.Generator().manual_seed(seed)))
    return weights


@pytest.mark.parametrize(
    "write",
    [
        writers.write_hdf5,
        writers.write_hdf5_shards,
        writers.write_tensorflow_safetensors,
        writers.write_savedmodel,
        writers.write_msgpack,
        writers.write_msgpack_shards,
        writers.write_flax_safetensors,
    ],
    ids=lambda write: write.__name__,
)
def test_weights_come_back_bit_for_bit(write: Callable[..., None], tmp_path_factory: pytest.TempPathFactory):
    @given(state_dicts(), st.booleans())
    def check(weights: dict[str, tuple[str, torch.Tensor]], half: bool) -> None:
        if half and write in (
            writers.write_msgpack,
            writers.write_flax_safetensors,
            writers.write_tensorflow_safetensors,
        ):
            weights = {name: (kind, tensor.bfloat16()) for name, (kind, tensor) in weights.items()}
        directory = tmp_path_factory.mktemp("layout")
        (directory / "config.json").write_text("{}", "utf-8")
        write(weights, directory)
        shapes = {name: tensor.shape for name, (_, tensor) in weights.items()}
        translated = dict(translate_weights(read_weights(open_directory(directory, "x")), shapes))
        assert set(translated) == set(weights)
        for name, (_, tensor) in weights.items():
            assert translated[name].dtype is tensor.dtype
            assert torch.equal(translated[name], tensor)
        shutil.rmtree(directory)

    check()


def test_weights_are_written_as_one_file_of_pytorch(tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    saved.mkdir()
    (saved / "config.json").write_text("{}", "utf-8")
    weights = {"dense.weight": ("kernel", torch.arange(6.0).reshape(2, 3))}
    writers.write_msgpack(weights, saved)
    checkpoint = open_directory(saved, "mine")
    converted = convert_checkpoint(checkpoint, {"dense.weight": torch.Size([2, 3])}, tmp_path / "new" / "folder")
    (file,) = converted.pytorch_files()
    assert (converted.path, file) == (saved, tmp_path / "new" / "folder" / "model.safetensors")
    assert list(file.parent.iterdir()) == [file]
    written = load_file(file)
    assert written.keys() == weights.keys()
    assert torch.equal(written["dense.weight"], weights["dense.weight"][1])
    assert safetensors_framework(file) == "pt"


def test_weights_of_pytorch_are_left_where_they_are(tmp_path: Path) -> None:
    from exporter.models.checkpoints import Checkpoint

    checkpoint = Checkpoint(tmp_path, "mine", ("model.safetensors",))
    assert convert_checkpoint(checkpoint, {}, tmp_path / "new") is checkpoint
    assert not (tmp_path / "new").exists()


def test_a_file_that_the_library_refuses_is_no_crash(tmp_path: Path) -> None:
    header = json.dumps({"a": {"dtype": "U8", "shape": [1], "data_offsets": [3, 4]}}).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    with pytest.raises(CheckpointError, match=r"model.safetensors is not a readable safetensors file: "):
        list(read_safetensors(path, "pt"))
