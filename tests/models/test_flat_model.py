"""Flat tensors in and out: caches packed and unpacked, constants built, and submodules found."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from transformers.cache_utils import DynamicCache, EncoderDecoderCache

from exporter.errors import ExportError
from exporter.models.flat_model import (
    FlatModel,
    find_module,
    pack_arguments,
    undeclared_outputs,
    unpack_tensors,
)
from exporter.planning.plan import Axis, FillPlan, GraphPlan, TensorPlan


def tensor(name: str, shape: tuple[Any, ...], path: str | None = None, **more: Any) -> TensorPlan:
    steps = tuple(int(step) if step.isdigit() else step for step in (name if path is None else path).split(".") if step)
    shape = tuple(axis if isinstance(axis, int) else Axis(axis) for axis in shape)
    return TensorPlan(name, more.pop("dtype", "float32"), shape, steps, **more)


def graph(inputs: list[TensorPlan], outputs: list[TensorPlan] | None = None, **more: Any) -> GraphPlan:
    fields: dict[str, Any] = {"module": None, "constants": {}, "built": (), "ignored": (), **more}
    return GraphPlan(
        "model", "model.onnx", ("model.onnx",), inputs=tuple(inputs), outputs=tuple(outputs or ()), **fields
    )


def layer(path: str, length: int | str = "past") -> list[TensorPlan]:
    return [tensor(f"{path}.{part}", ("batch", 2, length, 4), f"cache.{path}.{part}") for part in ("key", "value")]


class Summed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 3)

    def forward(self, x: torch.Tensor, scale: int = 1, return_dict: bool = False) -> Any:
        total = x.sum(-1) * scale
        return {"total": total, "parts": (x, x + 1)} if return_dict else (total,)


def test_outputs_come_in_the_order_they_are_declared() -> None:
    outputs = [tensor("second", ("batch", 3), "parts.1"), tensor("total", ("batch",))]
    flat = FlatModel(Summed(), graph([tensor("x", ("batch", 3))], outputs, constants={"scale": 2})).eval()
    second, total = flat(torch.ones(2, 3))
    assert second.tolist() == [[2, 2, 2]] * 2
    assert total.tolist() == [6, 6]
    assert list(flat.leaves(torch.ones(2, 3))) == ["total", "parts.0", "parts.1"]


def test_an_output_the_model_does_not_return_is_told() -> None:
    flat = FlatModel(Summed(), graph([tensor("x", (1, 3))], [tensor("scores", (1,), "logits")]))
    with pytest.raises(ExportError, match="the model returns no 'logits' for the output 'scores'") as failure:
        flat(torch.ones(1, 3))
    assert failure.value.help == "it returns total, parts.0, parts.1"


def test_an_input_that_the_model_is_not_given_is_left_out() -> None:
    inputs = [tensor("x", (1,)), tensor("unread", (1,), "", unused="nothing reads it")]
    assert pack_arguments(graph(inputs), (torch.ones(1), torch.ones(1))).keys() == {"x"}


def test_a_cache_holds_the_tensors_themselves() -> None:
    inputs = [*layer("0"), *layer("1")]
    values = tuple(torch.rand(3, 2, 5, 4) for _ in inputs)
    cache = pack_arguments(graph(inputs), values)["cache"]
    assert isinstance(cache, DynamicCache)
    assert cache.get_seq_length() == 5
    leaves = unpack_tensors({"cache": cache})
    assert list(leaves) == ["cache.0.key", "cache.0.value", "cache.1.key", "cache.1.value"]
    assert all(leaf is value for leaf, value in zip(leaves.values(), values, strict=True))


def test_a_cache_of_both_sides_is_unpacked_under_their_names() -> None:
    inputs = [*layer("0.decoder"), *layer("0.encoder", "encoder_sequence")]
    values = tuple(torch.rand(1, 2, size, 4) for size in (5, 5, 7, 7))
    cache = pack_arguments(graph(inputs), values)["cache"]
    assert isinstance(cache, EncoderDecoderCache)
    assert cache.is_updated == {0: True}
    leaves = unpack_tensors({"cache": cache})
    assert [tuple(leaf.shape) for leaf in leaves.values()] == [(1, 2, 5, 4)] * 2 + [(1, 2, 7, 4)] * 2
    assert list(leaves)[2] == "cache.0.encoder.key"


@pytest.mark.parametrize(("held", "left"), [(0, 13), (13, 0)])
def test_a_recorded_module_takes_what_the_cache_lacks(held: int, left: int) -> None:
    states = tensor("states", ("batch", "encoder_sequence", 8), "encoder_outputs.last_hidden_state", beyond="held")
    inputs = [states, *layer("0.decoder"), *layer("0.encoder", "held")]
    values = (torch.rand(1, 13, 8), *(torch.rand(1, 2, size, 4) for size in (5, 5, held, held)))
    recorded = pack_arguments(graph(inputs), values, recorded=True)
    assert recorded["encoder_outputs"].last_hidden_state.shape == (1, left, 8)
    assert recorded["cache"].is_updated == {0: False}
    untouched = pack_arguments(graph(inputs), values)
    assert untouched["encoder_outputs"].last_hidden_state.shape == (1, 13, 8)
    assert untouched["cache"].is_updated == {0: held > 0}


def test_a_built_constant_has_the_lengths_of_the_inputs() -> None:
    built = tensor("mask", ("batch", "sequence", 3), dtype="int64", fill=FillPlan("ones", ()))
    arguments = pack_arguments(graph([tensor("x", ("batch", "sequence"))], built=(built,)), (torch.rand(2, 5),))
    assert arguments["mask"].dtype is torch.int64
    assert arguments["mask"].tolist() == torch.ones(2, 5, 3).tolist()


def test_positions_are_counted_from_the_first_token() -> None:
    mask = torch.tensor([[0, 1, 1, 1, 0], [1, 1, 1, 1, 1], [0, 0, 0, 1, 1]])
    positions = tensor("position_ids", ("batch", "sequence"), dtype="int64", fill=FillPlan("positions", ("mask",)))
    inputs = [tensor("mask", ("batch", "past + sequence"), dtype="int64"), tensor("x", ("batch", "sequence"))]
    arguments = pack_arguments(graph(inputs, built=(positions,)), (mask, torch.rand(3, 4)))
    assert arguments["position_ids"].tolist() == [[0, 1, 2, 3], [1, 2, 3, 4], [0, 0, 0, 1]]


def test_a_length_that_no_input_has_is_told() -> None:
    built = tensor("mask", ("batch", "past + sequence"), fill=FillPlan("ones", ()))
    with pytest.raises(ExportError, match=r"'mask' depends on the length of an axis 'past \+ sequence'") as failure:
        pack_arguments(graph([tensor("x", ("batch", "sequence"))], built=(built,)), (torch.rand(2, 5),))
    assert failure.value.help == "declare an input with the dim past and sequence"


def test_an_output_is_known_where_it_is_declared_or_ignored() -> None:
    declared = graph([], [tensor("total", (1,))], ignored=("parts", "cache.0"))
    leaves = dict.fromkeys(["total", "parts.0", "parts.1.key", "cache.0.key", "cache.1.key", "partsy"], torch.ones(1))
    assert undeclared_outputs(declared, leaves) == ["cache.1.key", "partsy"]


def test_a_submodule_is_looked_up_on_the_model_and_then_on_its_base() -> None:
    class Headed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.base_model = Summed()

    model = Headed()
    assert find_module(model, None) is model
    assert find_module(model, "base_model.inner") is find_module(model, "inner") is model.base_model.inner
    with pytest.raises(ExportError, match="Headed has no submodule 'outer'") as failure:
        find_module(model, "outer")
    assert failure.value.help == "its submodules are base_model"
