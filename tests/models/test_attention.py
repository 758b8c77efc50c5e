"""Attention is recorded as transformers computes it by default, in plain operators."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch.nn import functional
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS, AttentionInterface

import exporter
from exporter.models.attention import plain_attention
from exporter.models.flat_model import FlatModel
from exporter.models.oracle import make_oracle
from exporter.models.references import make_reference
from exporter.planning.dummies import make_dummies
from exporter.targets.onnx.exporter import export_graph
from exporter.targets.onnx.session import open_session

pytestmark = pytest.mark.filterwarnings("ignore")
BATCH, HEADS, QUERIES, KEYS, SIZE = 2, 4, 3, 5, 8


def states(kv_heads: int = HEADS) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = (HEADS, QUERIES), (kv_heads, KEYS), (kv_heads, KEYS)
    query, key, value = (torch.randn(BATCH, heads, length, SIZE, generator=generator) for heads, length in shapes)
    return query, key, value


def mask_of(heads: int = 1) -> torch.Tensor:
    """Return a mask in which one query of the first row, and every query of the second, looks at no key."""
    mask = torch.ones(BATCH, heads, QUERIES, KEYS, dtype=torch.bool)
    mask[0, :, 1] = False
    mask[0, :, 2, 3:] = False
    mask[1] = False
    return mask


@pytest.mark.parametrize(
    ("arguments", "kv_heads"),
    [
        ({}, HEADS),
        ({"attn_mask": mask_of()}, HEADS),
        ({"attn_mask": mask_of(HEADS), "scale": 0.3}, HEADS),
        ({"attn_mask": torch.where(mask_of(), 0.5, -3.0)}, HEADS),
        ({"is_causal": True}, HEADS),
        ({"enable_gqa": True}, 2),
    ],
    ids=["no mask", "a mask for all heads", "a mask for each head", "a mask of numbers", "causal", "grouped heads"],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_the_plain_function_is_the_fused_one(arguments: dict[str, Any], kv_heads: int, dtype: torch.dtype):
    query, key, value = (state.to(dtype) for state in states(kv_heads))
    mask = arguments.get("attn_mask")
    given = {**arguments, "attn_mask": mask.to(dtype)} if mask is not None and mask.is_floating_point() else arguments
    expected = functional.scaled_dot_product_attention(query, key, value, **given)
    with plain_attention():
        assert functional.scaled_dot_product_attention is not torch._C._nn.scaled_dot_product_attention
        plain = functional.scaled_dot_product_attention(query, key, value, **given)
    torch.testing.assert_close(plain, expected, atol=1e-6 if dtype == torch.float32 else 2e-2, rtol=1e-5)


def eager(module: torch.nn.Module, query: Any, key: Any, value: Any, mask: Any, **_: Any) -> tuple[Any, None]:
    scores = query @ key.transpose(-1, -2) / SIZE**0.5
    return ((scores if mask is None else scores + mask).softmax(-1) @ value).transpose(1, 2), None


@pytest.mark.parametrize("mask", [None, mask_of(), mask_of(HEADS)], ids=["causal", "for all heads", "for each head"])
def test_a_models_eager_attention_stands_in_for_the_fused_one(mask: torch.Tensor | None):
    query, key, value = states()
    module = torch.nn.Module()
    fused = ALL_ATTENTION_FUNCTIONS.get_interface("sdpa", eager)
    expected, _ = fused(module, query, key, value, mask)
    with plain_attention():
        plain = ALL_ATTENTION_FUNCTIONS.get_interface("sdpa", eager)
        assert ALL_ATTENTION_FUNCTIONS.get_interface("eager", eager) is eager
        torch.testing.assert_close(plain(module, query, key, value, mask)[0], expected)


def test_all_is_as_it_was_afterwards():
    before = AttentionInterface.get_interface, functional.scaled_dot_product_attention
    with pytest.raises(ZeroDivisionError), plain_attention():
        _ = 1 / 0
    assert (AttentionInterface.get_interface, functional.scaled_dot_product_attention) == before


@pytest.mark.parametrize(
    ("architecture", "task", "tracer"),
    [
        ("bert", "fill-mask", "torchscript"),
        ("bert", "fill-mask", "dynamo"),
        ("gpt2", "text-classification", "torchscript"),
        ("gpt2", "text-generation-with-past", "dynamo"),
        ("falcon", "text-generation", "torchscript"),
        ("bart", "feature-extraction", "torchscript"),
        ("t5", "feature-extraction", "torchscript"),
        ("clip", "feature-extraction", "torchscript"),
    ],
)
def test_a_row_of_padding_is_what_pytorch_makes_of_it(architecture: str, task: str, tracer: str, tmp_path: Path):
    plan = exporter.plan(architecture, task, tracer=tracer)
    (graph,) = plan.graphs
    model = make_reference(plan)
    export_graph(model, graph, plan, tmp_path)
    inputs = make_dummies(graph, plan.sizes.trace, 5)
    mask = next(tensor.name for tensor in graph.inputs if tensor.fill is not None and tensor.fill.name == "padding")
    inputs[mask][-1] = 0
    expected = make_oracle(FlatModel(make_reference(plan), graph))(inputs)
    actual = open_session(tmp_path / graph.file, plan.model.dtype).run(inputs)
    for left, right in zip(actual, expected, strict=True):
        np.testing.assert_allclose(left, right, atol=3e-5, rtol=1e-4)


def test_a_mask_is_prepared_once_for_all_layers(tmp_path: Path):
    plan = exporter.plan("bert", "fill-mask")
    export_graph(make_reference(plan), plan.graphs[0], plan, tmp_path)
    operators = [node.op_type for node in onnx.load(tmp_path / "model.onnx").graph.node]
    assert (operators.count("Softmax"), operators.count("ReduceSum")) == (5, 1)
