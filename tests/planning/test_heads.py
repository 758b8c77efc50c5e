"""A plan with a head gives an embedding as long as the head makes it."""

from __future__ import annotations

from dataclasses import replace

import pytest

import exporter
from exporter.errors import UsageError
from exporter.planning.heads import head_text, hidden_size, pool_hidden_states
from exporter.planning.plan import HeadStep

MEAN = HeadStep("pooling", 4, ("mean", "max"))
DENSE = HeadStep("dense", 12, activation="Tanh", residual=True, folder="2_Dense")


def test_a_pooled_task_has_a_mean_unless_it_has_modules() -> None:
    plan = exporter.plan("bert", "sentence-similarity")
    size = hidden_size(plan)
    assert plan.model.head == (HeadStep("pooling", size, ("mean",)),)
    shapes = {tensor.name: tensor.shape for tensor in plan.graphs[0].outputs}
    assert shapes == {"last_hidden_state": ("batch", "sequence", size), "sentence_embedding": ("batch", size)}
    pooled = pool_hidden_states(plan, (MEAN, DENSE))
    assert pooled.model.head == (MEAN, DENSE)
    shapes = {tensor.name: tensor.shape for tensor in pooled.graphs[0].outputs}
    assert shapes == {"last_hidden_state": ("batch", "sequence", size), "sentence_embedding": ("batch", 12)}


def test_other_tasks_have_no_head() -> None:
    assert exporter.plan("bert", "feature-extraction").model.head == ()


def test_what_cannot_be_pooled_is_refused() -> None:
    plan = exporter.plan("bert", "sentence-similarity")
    (graph,) = plan.graphs
    for broken in (replace(graph, inputs=graph.inputs[:1]), replace(graph, outputs=graph.outputs[:1])):
        with pytest.raises(UsageError, match="bert sentence-similarity cannot be pooled"):
            pool_hidden_states(replace(plan, graphs=(broken,)))
    with pytest.raises(UsageError, match="has no output 'last_hidden_state' of one length"):
        hidden_size(replace(plan, graphs=(replace(graph, outputs=graph.outputs[1:]),)))


def test_a_head_in_words() -> None:
    plain = HeadStep("dense", 3, activation="Identity")
    steps = (MEAN, DENSE, plain, HeadStep("layer-norm", 3), HeadStep("normalize", 3))
    assert head_text(steps) == (
        "mean + max pooling, dense to 12 (Tanh) with its input added, dense to 3, layer-norm, normalize"
    )
