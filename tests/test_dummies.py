"""The name that programs around the package make inputs with."""

from __future__ import annotations

import exporter
from exporter import models
from exporter.dummies import make_dummies
from exporter.models.references import make_reference


def test_dummies_have_the_sizes_of_their_point():
    plan = exporter.plan("bert", task="fill-mask")
    inputs = make_dummies(plan.graphs[0], plan.trace, plan.sizes.seed)
    declared = {tensor.name: tensor.sizes_at(plan.trace.sizes) for tensor in plan.graphs[0].inputs}
    assert {name: array.shape for name, array in inputs.items()} == declared


def test_the_reference_is_made_under_the_name_of_the_package():
    assert models.make_reference is make_reference
