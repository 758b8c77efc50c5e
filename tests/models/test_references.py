"""The weights of references: what reaches the outputs still depends on the inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import nn

import exporter
from exporter.errors import ExportError
from exporter.models.arrays import to_torch
from exporter.models.flat_model import FlatModel
from exporter.models.references import initialize_weights, make_reference, measure_norm, save_reference
from exporter.planning.dummies import make_dummies


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("architecture", ["mobilenet_v1", "mobilenet_v2", "mobilevit"])
def test_a_deep_stack_of_batch_norms_lets_the_image_through(architecture, dtype):
    model = make_reference(exporter.plan(architecture, "image-classification", dtype=dtype))
    plan = exporter.plan(architecture, "image-classification")
    flat = FlatModel(model, plan.graphs[0]).eval()
    with torch.no_grad():
        (first,), (second,) = (
            flat(*map(to_torch, make_dummies(plan.graphs[0], plan.sizes.trace, seed).values())) for seed in (0, 1)
        )
    assert np.abs(first.numpy() - second.numpy()).max() > 1000 * plan.bound.atol


def test_a_faint_signal_gives_a_batch_norm_its_statistics_and_a_strong_one_does_not():
    norm = torch.nn.BatchNorm2d(4)
    norm.running_mean.fill_(0.5)
    norm.running_var.fill_(2)
    measure_norm(norm, (torch.randn(8, 4, 5, 5),))
    assert norm.running_var.eq(2).all()
    faint = 3 + 0.01 * torch.randn(8, 4, 5, 5)
    measure_norm(norm, (faint,))
    torch.testing.assert_close(norm.running_var, torch.full((4,), 2e-4), rtol=0.2, atol=0)
    torch.testing.assert_close(norm.running_mean, torch.full((4,), 3.005), rtol=1e-3, atol=0)
    assert norm.eval()(faint).std() > 0.5


def test_weights_are_drawn_alike_and_none_is_zero():
    def draw(seed: int) -> nn.Module:
        model = nn.Sequential(nn.Embedding(5, 400), nn.Linear(400, 300), nn.BatchNorm1d(300))
        initialize_weights(model, seed, gain=2)
        return model

    first, second, third = draw(0).state_dict(), draw(0).state_dict(), draw(1).state_dict()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name])
        if tensor.is_floating_point():
            assert not torch.equal(tensor, third[name])
            assert tensor.ne(0).all()
    assert first["1.weight"].std() == pytest.approx(2 / 400**0.5, rel=0.05)
    assert first["0.weight"].std() == pytest.approx(0.5, rel=0.1)
    assert first["2.running_var"].min() >= 1


def test_a_saved_reference_is_a_checkpoint(tmp_path: Path):
    save_reference(exporter.plan("bert", "fill-mask"), tmp_path)
    assert (tmp_path / "model.safetensors").is_file()
    assert transformers.AutoConfig.from_pretrained(tmp_path, local_files_only=True).model_type == "bert"


@pytest.mark.parametrize("error", [AssertionError(), RuntimeError("\n\n")], ids=repr)
def test_an_error_without_text_is_told_by_its_kind(error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: Any, **__: Any) -> Any:
        raise error

    plan = exporter.plan("bert", "fill-mask")
    monkeypatch.setattr(transformers.BertForMaskedLM, "save_pretrained", refuse)
    with pytest.raises(ExportError, match=f"the reference of 'bert' cannot be saved: {type(error).__name__}$"):
        save_reference(plan, tmp_path)
    monkeypatch.setattr(transformers.BertForMaskedLM, "__init__", refuse)
    with pytest.raises(ExportError, match=f"the reference of 'bert' does not build: {type(error).__name__}$"):
        make_reference(plan)
