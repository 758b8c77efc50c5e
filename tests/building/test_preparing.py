"""What a build starts from: the plan of a reference, of a config or of a checkpoint, and weights that PyTorch loads."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from commands import SPECS
from safetensors import safe_open

from exporter.building import preparing
from exporter.building.preparing import Prepared, loadable_checkpoint, prepare
from exporter.building.request import Request, make_request
from exporter.errors import CheckpointError, UsageError
from exporter.language.loading import load_spec
from exporter.models.checkpoints import Checkpoint, open_directory


def request(**given: object) -> Request:
    return make_request({"spec": "bert", "tasks": ("fill-mask",), **given})


def vocabulary(prepared: Prepared) -> object:
    return prepared.plan.graphs[0].outputs[0].shape[-1]


def test_without_a_checkpoint_the_plan_is_of_the_reference():
    said: list[str] = []
    prepared = prepare(request(), said.append)
    assert prepared.checkpoint is None
    assert prepared.plan.model.is_reference
    assert (prepared.plan.title, vocabulary(prepared)) == ("bert fill-mask", 99)
    assert said == []


def test_a_mapping_is_laid_over_the_reference_and_a_config_is_taken_as_it_is():
    from transformers import BertConfig

    assert vocabulary(prepare(request(), config={"vocab_size": 31})) == 31
    assert vocabulary(prepare(request(), config=BertConfig(vocab_size=77))) == 77
    layers = prepare(make_request({"spec": "gpt2", "tasks": ("causal-lm-with-past",)}), config={"n_layer": 1})
    assert {tensor.name for tensor in layers.plan.graphs[0].inputs if ".key" in tensor.name} == {
        "past_key_values.0.key"
    }


def test_a_task_is_found_by_its_retired_name_and_a_variant_by_its_number():
    assert prepare(request(tasks=("masked-lm",))).plan.task == "fill-mask"
    gpt2 = {"spec": "gpt2", "tasks": ("text-generation",)}
    plain, variant = (prepare(make_request({**gpt2, **more})).plan for more in ({}, {"variant": 1}))
    assert plain.model.reference_config != variant.model.reference_config
    assert variant.model.reference_config["n_inner"] == 37


def test_a_spec_at_hand_is_not_loaded_again(monkeypatch: pytest.MonkeyPatch):
    spec = load_spec(SPECS / "bert.yaml")
    expected = prepare(request()).plan
    monkeypatch.setattr(preparing, "load_spec", lambda name: pytest.fail(f"{name} is loaded"))
    assert prepare(request(spec="nowhere.yaml"), spec=spec).plan == expected


def test_with_a_checkpoint_the_plan_is_of_its_config(masked_lm: Path):
    said: list[str] = []
    prepared = prepare(request(model=str(masked_lm)), said.append)
    assert prepared.checkpoint is not None
    assert prepared.checkpoint.path == masked_lm
    assert not prepared.plan.model.is_reference
    assert vocabulary(prepared) == 50
    assert said == ["opening the checkpoint"]
    # How far a trained model's outputs reach is not known, so its bound is not the reference's.
    assert prepared.plan.bound.rtol_of != prepare(request()).plan.bound.rtol_of


def test_what_cannot_be_prepared_is_refused(masked_lm: Path, tmp_path: Path):
    with pytest.raises(UsageError, match="a config and a checkpoint are given") as failure:
        prepare(request(model=str(masked_lm)), config={"vocab_size": 31})
    assert failure.value.help == "leave one of them out"
    with pytest.raises(UsageError, match="does not exist"):
        prepare(request(model=str(tmp_path / "nowhere")))
    with pytest.raises((UsageError, CheckpointError), match="bert"):
        prepare(make_request({"spec": "gpt2", "tasks": ("text-generation",), "model": str(masked_lm)}))
    with pytest.raises(UsageError, match="fil-mask"):
        prepare(request(tasks=("fil-mask",)))
    with pytest.raises(UsageError, match="opset 9"):
        prepare(request(opset=9))


def test_a_reference_is_made_where_there_is_no_checkpoint(tmp_path: Path):
    said: list[str] = []
    checkpoint = loadable_checkpoint(prepare(request()), tmp_path, said.append)
    assert said == ["making the reference"]
    assert (checkpoint.path, checkpoint.name, checkpoint.framework) == (tmp_path, "the reference", "pt")
    with safe_open(tmp_path / "model.safetensors", "pt") as weights:
        shape = weights.get_slice("bert.embeddings.word_embeddings.weight").get_shape()
    assert shape == [99, 32]


def test_weights_of_pytorch_are_loaded_from_where_they_are(masked_lm: Path, tmp_path: Path):
    said: list[str] = []
    checkpoint = loadable_checkpoint(prepare(request(model=str(masked_lm))), tmp_path, said.append)
    assert checkpoint.pytorch_files() == [masked_lm / "model.safetensors"]
    assert said == []
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("framework", "name"), [("tf", "TensorFlow"), ("flax", "Flax")])
def test_weights_of_another_framework_are_converted_into_the_scratch_directory(
    framework: str, name: str, masked_lm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def convert(plan: object, checkpoint: Checkpoint, directory: Path) -> Checkpoint:
        assert plan is prepared.plan
        return dataclasses.replace(checkpoint, converted=directory)

    monkeypatch.setattr("exporter.models.merging.make_loadable", convert)
    foreign = dataclasses.replace(open_directory(masked_lm, "m"), framework=framework)
    prepared = Prepared(prepare(request()).plan, foreign)
    said: list[str] = []
    assert loadable_checkpoint(prepared, tmp_path, said.append).pytorch_files() == [tmp_path / "model.safetensors"]
    assert said == [f"converting {name} weights"]
