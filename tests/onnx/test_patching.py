"""Functions that stand in for others while a graph is recorded."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
import transformers

from exporter.onnx import OnnxConfig, PatchingSpec, export
from exporter.onnx.patching import PatchingSpec as Defined


class Tool:
    @staticmethod
    def double(number: int) -> int:
        return 2 * number


def test_a_patch_is_put_in_place_and_back():
    original = Tool.double
    spec = PatchingSpec(Tool, "double", lambda number: 3 * number, op_wrapper=staticmethod).with_original()
    assert Defined is PatchingSpec
    assert spec.orig_op is original
    spec.apply()
    assert Tool.double(2) == 6
    spec.restore()
    assert Tool.double is original
    with pytest.raises(AttributeError):
        PatchingSpec(Tool, "triple", len).with_original()


class Text(OnnxConfig):
    @property
    def inputs(self) -> Any:
        return OrderedDict([("input_ids", {0: "batch", 1: "sequence"})])


def test_a_graph_is_recorded_with_the_patch_and_the_module_is_as_before(tmp_path: Path):
    module = transformers.models.ernie.modeling_ernie
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 37}
    model = transformers.ErnieModel(transformers.ErnieConfig(**sizes, vocab_size=99))
    before = module.ErnieLayer.forward
    spec = PatchingSpec(module.ErnieLayer, "forward", lambda self, states, *args, **kwargs: torch.erf(states))
    export(None, model, Text(model.config, patching_specs=[spec]), 14, tmp_path / "patched.onnx")
    assert module.ErnieLayer.forward is before
    operators = [node.op_type for node in onnx.load(tmp_path / "patched.onnx").graph.node]
    assert operators.count("Erf") == 1
    assert "Softmax" not in operators
