"""What the installed library calls the arguments and outputs that specs name."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from transformers import GPT2LMHeadModel, T5ForConditionalGeneration
from transformers.modeling_outputs import CausalLMOutputWithPast

from exporter.models.flat_model import FlatModel, undeclared_outputs, unpack_tensors
from exporter.models.library_names import ARGUMENTS, OUTPUTS, argument_names, own_names, told_by_spec_names
from exporter.planning.plan import Axis, GraphPlan, TensorPlan

CACHES = ("past_key_values", "cache_params", "cache")


def tensor(name: str, path: tuple[str | int, ...]) -> TensorPlan:
    return TensorPlan(name, "float32", (Axis("batch"), 1, Axis("past"), 2), path)


def graph(*outputs: TensorPlan, ignored: tuple[str, ...] = ()) -> GraphPlan:
    inputs = tuple(tensor(f"past.0.{part}", ("past_key_values", 0, part)) for part in ("key", "value"))
    return GraphPlan("model", "model.onnx", ("model.onnx",), None, {}, (), inputs, outputs, ignored)


class Renamed(nn.Module):
    """A model whose cache goes by another name, in and out."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        # Only the signature says what an argument is called.
        self.forward = {
            "past_key_values": lambda past_key_values=None: self.give(past_key_values),
            "cache_params": lambda cache_params=None: self.give(cache_params),
            "cache": lambda cache=None: self.give(cache),
        }[name]

    def give(self, cache: Any) -> dict[str, Any]:
        return {"logits": cache.layers[0].keys * 2, self.name: cache}


@pytest.mark.parametrize("name", CACHES)
def test_a_graph_is_the_same_whatever_the_model_calls_its_cache(name: str):
    outputs = (tensor("present.0.key", ("past_key_values", 0, "key")), tensor("logits", ("logits",)))
    flat = FlatModel(Renamed(name), graph(*outputs))
    key, value = torch.rand(1, 1, 3, 2), torch.rand(1, 1, 3, 2)
    leaves = flat.leaves(key, value)
    assert sorted(leaves) == ["logits", "past_key_values.0.key", "past_key_values.0.value"]
    present, logits = flat(key, value)
    assert torch.equal(present, key)
    assert torch.equal(logits, key * 2)


@pytest.mark.parametrize("name", CACHES)
def test_an_output_is_ignored_under_any_of_its_names(name: str):
    ignoring = graph(tensor("logits", ("logits",)), ignored=("past_key_values",))
    leaves = FlatModel(Renamed(name), ignoring).leaves(torch.rand(1, 1, 3, 2), torch.rand(1, 1, 3, 2))
    assert undeclared_outputs(ignoring, leaves) == []


def test_an_output_that_nobody_names_keeps_the_librarys_name():
    leaves = {"logits": torch.ones(1), "cache.0.key": torch.ones(1)}
    assert told_by_spec_names(leaves, ["logits"]) == leaves


def test_a_step_further_down_is_renamed_too():
    leaves = {"decoder.cache.0.key": torch.ones(1)}
    assert list(told_by_spec_names(leaves, ["decoder.past_key_values.0.key"])) == ["decoder.past_key_values.0.key"]


def test_a_name_that_the_library_knows_is_its_own():
    assert own_names(["cache", "past_key_values"], ["cache", "past_key_values"], ARGUMENTS) == {}
    assert own_names(["past_key_values"], ["input_ids"], ARGUMENTS) == {}
    assert own_names(["input_ids"], ["cache"], ARGUMENTS) == {}


@pytest.mark.parametrize("model_class", [GPT2LMHeadModel, T5ForConditionalGeneration])
def test_the_installed_models_take_one_name_of_the_cache(model_class: Any):
    """The table is held against the library: a rename that it lacks fails here and not in every build."""
    model = model_class(model_class.config_class(n_layer=1, n_embd=8, n_head=2, vocab_size=9, num_layers=1, d_model=8))
    (row,) = [row for row in ARGUMENTS if "past_key_values" in row]
    assert len(row & set(argument_names(model))) == 1


def test_the_installed_outputs_have_one_name_of_the_cache():
    given = unpack_tensors(CausalLMOutputWithPast(logits=torch.ones(1), past_key_values=(torch.ones(1),)))
    (row,) = [row for row in OUTPUTS if "past_key_values" in row]
    assert len(row & {path.partition(".")[0] for path in given}) == 1


def test_no_name_is_in_two_rows():
    for rows in (ARGUMENTS, OUTPUTS):
        names = [name for row in rows for name in row]
        assert len(names) == len(set(names))
