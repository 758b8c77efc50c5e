"""The values for the program in a model card: the kind of its loop, and an expression for every input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from exporter.planning.plan import GraphPlan, Plan, TensorPlan

_PAST, _PRESENT = "past_key_values.", "present."
# The dim that counts the rows of a batch, under the name each layout has for it.
_BATCH_DIMS = ("batch", "batch_size")
# The inputs that a loop over tokens can give beside the cache: that of a decoder alone, and that behind an encoder.
_STEP = {"input_ids", "attention_mask"}
_CROSS = {"input_ids", "encoder_attention_mask", "encoder_hidden_states", "use_cache_branch"}
# numpy has no bfloat16: a program makes such an input in float32 and converts it.
_NUMPY = {"bool": "np.bool_", "bfloat16": "np.float32"}


@dataclass(frozen=True, slots=True)
class Given:
    """One input in a program: its name, the expression it is made with, and the id it must end with, if any."""

    name: str
    expression: str
    ending: int | None


def describe_programs(plan: Plan, start: int) -> dict[str, Any]:
    """Return what a template needs to write the program.

    ``kind`` is ``decoder`` for a loop over tokens with a cache, ``encoder-decoder`` for one behind an encoder, and
    ``plain`` for graphs that are run once each; ``runs`` are the graphs that the program makes inputs for.

    Args:
        plan: the plan of the artifact.
        start: the token a decoder starts a text with.
    """
    kind = _kind(plan)
    traced = plan.sizes.trace.sizes
    batches = [dim for dim in traced if dim in _BATCH_DIMS]
    sizes = {**traced, **dict.fromkeys(batches, 1)} if kind != "plain" else traced
    runs = plan.graphs[:1] if kind == "encoder-decoder" else plan.graphs
    return {
        "kind": kind,
        "start": start if start < _vocabulary(plan) else 0,
        "dtype": f"np.{plan.model.dtype}",
        "graphs": {graph.component: graph.file for graph in plan.graphs},
        "runs": [{"file": graph.file, "inputs": _inputs(graph, sizes)} for graph in runs],
        "has_past": any(_is_past(tensor) for graph in plan.graphs for tensor in graph.inputs),
        "batch": next(iter(batches), "batch"),
        "mask": any(tensor.name == "attention_mask" for tensor in plan.graphs[-1].inputs),
    }


def _vocabulary(plan: Plan) -> int:
    """Return how many tokens a decoder knows, or 0 where no graph says it.

    A reference knows fewer tokens than the special tokens among its config's defaults presume.
    """
    sizes = [tensor.shape[-1] for tensor in plan.graphs[-1].outputs if tensor.name == "logits"]
    return next((size for size in sizes if isinstance(size, int)), 0)


def _kind(plan: Plan) -> str:
    """Return which loop fits the graphs.

    Graphs for which our loops have no value for an input, or which give no scores, or whose cache has another shape,
    are run once each: how to generate with them is left to their user.
    """
    first, *others = plan.graphs
    if plan.sizes.fixed or any(
        output.name == "logits" and len(output.shape) != 3 for output in plan.graphs[-1].outputs
    ):
        return "plain"
    if not others and any(map(_is_past, first.inputs)):
        return "decoder" if _fits(first, _STEP) else "plain"
    names = [graph.component for graph in plan.graphs]
    known = (["encoder", "decoder"], ["encoder", "decoder", "decoder_with_past"], ["encoder", "decoder_model_merged"])
    if names in known and all(_fits(graph, _CROSS) for graph in others):
        return "encoder-decoder"
    return "plain"


def _fits(graph: GraphPlan, offered: set[str]) -> bool:
    """Tell whether a loop can give a graph all it takes: offered inputs, and a cache whose first axis is the batch."""
    past = [tensor for tensor in graph.inputs if _is_past(tensor)]
    plain = all(
        isinstance(axis, int) or (axis in _BATCH_DIMS) == (at == 0)
        for tensor in past
        for at, axis in enumerate(tensor.shape)
    )
    known = all(tensor.name in offered for tensor in graph.inputs if tensor not in past)
    return plain and known and graph.outputs[0].name == "logits"


def _is_past(tensor: TensorPlan) -> bool:
    return tensor.name.startswith(_PAST)


def _inputs(graph: GraphPlan, sizes: Mapping[str, int]) -> list[Given]:
    return [
        Given(tensor.name, _expression(tensor, tensor.sizes_at(sizes)), tensor.fill.ending if tensor.fill else None)
        for tensor in graph.inputs
    ]


def _expression(tensor: TensorPlan, shape: tuple[int, ...]) -> str:
    """Return the numpy expression for an input that is like those a client sends."""
    dtype = _NUMPY.get(tensor.dtype, f"np.{tensor.dtype}")
    name, args = (tensor.fill.name, tensor.fill.args) if tensor.fill is not None else ("zeros", ())
    if name == "randint":
        low, high = (0, args[0]) if len(args) == 1 else args
        return f"rng.integers({low}, {high}, {shape})"
    if name == "arange":
        start = args[0] if args else 0
        return f"np.arange({start}, {int(start) + shape[-1]}) + np.zeros({shape}, np.int64)"
    if name == "boxes":
        return f"np.sort(rng.integers(0, {args[0]}, {(*shape[:-1], 2, 2)}), axis=-2).reshape({shape})"
    if name == "bernoulli":
        chosen = f"rng.random({shape}) < {args[0]}"
        return chosen if tensor.dtype == "bool" else f"({chosen}).astype({dtype})"
    if name in ("randn", "rand"):
        return f"rng.{'standard_normal' if name == 'randn' else 'random'}({shape}).astype({dtype})"
    return f"np.{'zeros' if name == 'zeros' else 'ones'}({shape}, {dtype})"
