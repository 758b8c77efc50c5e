"""Checkpoints of TensorFlow and Flax: real files of both, and every layout written and read back."""

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
from conftest import REPOSITORY, assert_clean_failure
from hypothesis import given
from hypothesis import strategies as st

import exporter
from exporter.errors import CheckpointError
from exporter.models.checkpoints import open_directory
from exporter.models.checkpoints.conversion import read_weights
from exporter.models.checkpoints.foreign import ForeignTensor, convert_weights

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
    model, _ = load_model(plan, convert_weights(plan, checkpoint, tmp_path))
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


@pytest.mark.parametrize(
    "name", ["tf/bert__ForQuestionAnswering.savedmodel", "tf/t5__ForConditionalGeneration", "flax/gpt2__LMHeadModel"]
)
def test_a_checkpoint_builds_with_the_same_command(name: str, tmp_path: Path):
    results = exporter.build(model=FIXTURES / name, output=tmp_path / "artifact")
    assert all(result.report is not None and result.report.passed for result in results)
    assert exporter.verify(tmp_path / "artifact", model=FIXTURES / name).passed


# Every layout, written and read back

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
        found = dict(convert_weights(read_weights(open_directory(directory, "x")), shapes))
        assert set(found) == set(weights)
        for name, (_, tensor) in weights.items():
            assert found[name].dtype is tensor.dtype
            assert torch.equal(found[name], tensor)
        shutil.rmtree(directory)

    check()


def test_a_name_may_have_a_step_more_or_less_than_the_models():
    shapes = {"scale": torch.Size([]), "model.layer.bias": torch.Size([3, 1])}
    tensors = [ForeignTensor("tf", "m/scale:0", torch.ones(1)), ForeignTensor("tf", "layer/bias:0", torch.ones(3))]
    found = dict(convert_weights(tensors, shapes))
    assert found["m.scale"].shape == ()
    assert found["layer.bias"].shape == (3, 1)


# Choosing, and what is refused


def copy(name: str, target: Path) -> Path:
    shutil.copytree(FIXTURES / name, target)
    return target


def test_framework_chooses_among_several(tmp_path: Path):
    both = copy("tf/bert__ForQuestionAnswering", tmp_path / "both")
    shutil.copy(FIXTURES / "flax/bert__ForQuestionAnswering/flax_model.msgpack", both)
    assert open_directory(both, "both").framework == "tf"
    assert open_directory(both, "both", framework="flax").container == "msgpack"
    with pytest.raises(CheckpointError, match=r"has no PyTorch weights; it has TensorFlow \(tf_model.h5\), Flax"):
        open_directory(both, "both", framework="pt")


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
        (with_file("model.weights.h5"), "positions instead of names"),
        (with_file("model.keras"), "positions instead of names"),
        (with_file("model.Q4.gguf"), "quantised"),
        (with_file("bert_model.ckpt.index"), "TensorFlow 1 checkpoint"),
        (with_file("notes.txt"), "there are no weights in"),
        (with_file("flax_model.msgpack", b"\x93\x01"), "not a readable Flax file"),
        (with_file("flax_model.msgpack", b"\x81\xa1a\x01"), "'a' is int, not an array"),
        (cut, "not a readable HDF5 file"),
        (use_keras3, "by position, not by name"),
        (change_config(quantization_config={"quant_method": "gptq"}), "is quantised (gptq)"),
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
def test_a_missing_reader_says_what_to_install(package: str, name: str, run, tmp_path: Path):
    (tmp_path / f"{package}.py").write_text("raise ImportError('not here')\n", "utf-8")
    path = f"{tmp_path}:{REPOSITORY / 'tests' / 'offline'}"
    result = run("build", "--model", FIXTURES / name, "-o", tmp_path / "out", PYTHONPATH=path)
    extra = {"h5py": "tf", "msgpack": "flax"}[package]
    assert f"pip install 'exporter[{extra}]'" in assert_clean_failure(result, 1)
