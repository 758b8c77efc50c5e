"""Plans whose hidden states become one embedding of each text."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from exporter.errors import UsageError
from exporter.planning.plan import HeadStep, Plan, TensorPlan

HIDDEN_STATES, EMBEDDING, MASK = "last_hidden_state", "sentence_embedding", "attention_mask"
DEFAULT_MODE = "mean"


def pool_hidden_states(plan: Plan, head: Sequence[HeadStep] = ()) -> Plan:
    """Return a plan whose model is followed by a head, and whose embedding is as long as the head makes it.

    Args:
        plan: the plan of a pooled task.
        head: the steps; without any, hidden states are pooled by their mean.

    Raises:
        UsageError: the task has no embedding among its outputs, or no mask of tokens.
    """
    (graph, *others) = plan.graphs
    if others or not _has(graph.outputs, EMBEDDING) or not _has(graph.inputs, MASK):
        raise UsageError(
            f"{plan.title} cannot be pooled: that takes one graph with the input '{MASK}' and the output '{EMBEDDING}'",
            help="declare them in the spec",
        )
    steps = tuple(head) or (HeadStep("pooling", hidden_size(plan), (DEFAULT_MODE,)),)
    outputs = tuple(
        dataclasses.replace(tensor, shape=(*tensor.shape[:-1], steps[-1].size)) if tensor.name == EMBEDDING else tensor
        for tensor in graph.outputs
    )
    return dataclasses.replace(
        plan,
        graphs=(dataclasses.replace(graph, outputs=outputs),),
        model=dataclasses.replace(plan.model, head=steps),
    )


def hidden_size(plan: Plan) -> int:
    """Return the length of a hidden state of a pooled task.

    Raises:
        UsageError: the plan has no hidden states of one length.
    """
    size = next((tensor.shape[-1] for tensor in plan.graphs[0].outputs if tensor.name == HIDDEN_STATES), None)
    if not isinstance(size, int):
        raise UsageError(f"{plan.title} has no output '{HIDDEN_STATES}' of one length", help="declare it in the spec")
    return size


def head_text(head: Sequence[HeadStep]) -> str:
    """Return a head in a few words: ``mean pooling, dense to 12 (Tanh), normalize``."""
    return ", ".join(_step_text(step) for step in head)


def _step_text(step: HeadStep) -> str:
    if step.kind == "pooling":
        return f"{' + '.join(step.modes)} pooling"
    if step.kind == "dense":
        activation = f" ({step.activation})" if step.activation not in (None, "Identity") else ""
        return f"dense to {step.size}{activation}" + (" with its input added" if step.residual else "")
    return step.kind


def _has(tensors: Sequence[TensorPlan], name: str) -> bool:
    return any(tensor.name == name for tensor in tensors)
