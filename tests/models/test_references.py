"""The weights of references: what reaches the outputs still depends on the inputs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import exporter
from exporter.models.arrays import to_torch
from exporter.models.flat_model import FlatModel
from exporter.models.references import make_reference, measure_norm
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
