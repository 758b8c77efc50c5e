"""A graph-shaped ``nn.Module``: flat tensors in and out, caches packed and unpacked.

Every target and both tracers record this module, and verification runs the same one around an untouched model, so
all agree on what a tensor's name means.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer, EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

from exporter.errors import ExportError
from exporter.models.library_names import ARGUMENTS, argument_names, own_names, told_by_spec_names
from exporter.planning.plan import Axis, GraphPlan, TensorPlan

TORCH_DTYPES = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float64": torch.float64,
    "int8": torch.int8,
    "uint8": torch.uint8,
    "int32": torch.int32,
    "int64": torch.int64,
    "bool": torch.bool,
}


class FlatModel(nn.Module):
    """Takes the declared inputs by position and returns the declared outputs as a tuple.

    Call ``.eval()`` on this module, not on the model inside it: torch restores the training mode of the module it
    traced.
    """

    def __init__(self, model: nn.Module, graph: GraphPlan, *, recorded: bool = False) -> None:
        """
        Args:
            model: the whole model; the graph may compute a submodule of it.
            graph: its tensors.
            recorded: a graph is recorded of the module. A graph cannot choose at run time between filling a cache from
                an input and reading the cache, as the model does, so it always does both. For that it cuts off the
                input what the cache holds already (`TensorPlan.beyond`): of 13 encoder states, 13 are left at the first
                step and none at later ones, where the cache holds 13.
        """
        super().__init__()
        self.recorded = recorded
        self.model = find_module(model, graph.module)
        self.graph = graph
        parameters = inspect.signature(self.model.forward).parameters
        takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
        taken = {*(str(tensor.path[0]) for tensor in (*graph.inputs, *graph.built) if tensor.path), *graph.constants}
        self.own = own_names(taken, argument_names(self.model), ARGUMENTS)
        self.keywords = {"return_dict": True} if takes_any or "return_dict" in parameters else {}

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the declared outputs, in order, for the declared inputs, in order."""
        leaves = self.leaves(*tensors)
        return tuple(self._pick(leaves, tensor) for tensor in self.graph.outputs)

    def leaves(self, *tensors: torch.Tensor) -> dict[str, torch.Tensor]:
        """Run the model and return every tensor it gives, by dotted path, declared or not."""
        arguments = pack_arguments(self.graph, tensors, recorded=self.recorded)
        called = {self.own.get(name, name): value for name, value in {**arguments, **self.graph.constants}.items()}
        leaves = unpack_tensors(self.model(**called, **self.keywords))
        return told_by_spec_names(leaves, (*map(_dotted, self.graph.outputs), *self.graph.ignored))

    def _pick(self, leaves: Mapping[str, torch.Tensor], tensor: TensorPlan) -> torch.Tensor:
        path = _dotted(tensor)
        if path not in leaves:
            raise ExportError(
                f"the model returns no '{path}' for the output '{tensor.name}'", help=f"it returns {', '.join(leaves)}"
            )
        return leaves[path]


def pack_arguments(graph: GraphPlan, values: tuple[torch.Tensor, ...], *, recorded: bool = False) -> dict[str, Any]:
    """Return the arguments of ``forward()`` for the declared inputs: tensors, caches, and outputs of other modules.

    Args:
        graph: declares the inputs, and what is built inside the graph.
        values: the inputs, in order.
        recorded: see `FlatModel`.
    """
    fills = recorded and any(tensor.beyond is not None for tensor in graph.inputs)
    tree: dict[str | int, Any] = {}
    for tensor, value in zip(graph.inputs, values, strict=True):
        if tensor.path:
            _place(tree, tensor.path, _beyond_cache(tensor, value, graph, values) if fills else value)
    for tensor in graph.built:
        _place(tree, tensor.path, _build(tensor, graph.inputs, values))
    return {str(name): _pack(value, fills=fills) for name, value in tree.items()}


def _beyond_cache(
    tensor: TensorPlan, value: torch.Tensor, graph: GraphPlan, values: tuple[torch.Tensor, ...]
) -> torch.Tensor:
    """Return the part of an input that the cache lacks: of 13 encoder states none where the cache holds 13."""
    if tensor.beyond is None:
        return value
    index, at = _find_axis(tensor, Axis(tensor.beyond), graph.inputs)
    return value[:, values[index].shape[at] :]


def unpack_tensors(values: Any) -> dict[str, torch.Tensor]:
    """Return every tensor among arguments or outputs of a model, by dotted path."""
    return dict(_unpack("", values))


def undeclared_outputs(graph: GraphPlan, leaves: Mapping[str, torch.Tensor]) -> list[str]:
    """Return the paths the model returns that the graph neither declares nor ignores with a reason."""
    declared = set(map(_dotted, graph.outputs))
    ignored = set(graph.ignored)

    def is_known(path: str) -> bool:
        steps = path.split(".")
        prefixes = {".".join(steps[: index + 1]) for index in range(len(steps))}
        return path in declared or bool(prefixes & ignored)

    return [path for path in leaves if not is_known(path)]


def find_module(model: nn.Module, path: str | None) -> nn.Module:
    """Return the submodule at a dotted path, looked up on the model and then on its base model.

    Raises:
        ExportError: neither has it.
    """
    if path is None:
        return model
    for root in (model, getattr(model, "base_model", model)):
        try:
            return root.get_submodule(path)
        except AttributeError:
            continue
    children = ", ".join(name for name, _ in model.named_children())
    raise ExportError(f"{type(model).__name__} has no submodule '{path}'", help=f"its submodules are {children}")


def _dotted(tensor: TensorPlan) -> str:
    return ".".join(map(str, tensor.path))


def _place(tree: dict[str | int, Any], path: tuple[str | int, ...], tensor: torch.Tensor) -> None:
    for step in path[:-1]:
        tree = tree.setdefault(step, {})
    tree[path[-1]] = tensor


def _build(tensor: TensorPlan, inputs: tuple[TensorPlan, ...], values: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """Make a constant tensor whose dynamic axes have the lengths of the same dims among the inputs."""
    shape: list[Any] = []
    for axis in tensor.shape:
        if isinstance(axis, int):
            shape.append(axis)
            continue
        index, at = _find_axis(tensor, axis, inputs)
        shape.append(values[index].shape[at])
    fill = tensor.fill
    if fill is not None and fill.name == "positions":
        names = [other.name for other in inputs]
        return _positions(values[names.index(str(fill.args[0]))], shape[-1])
    make = torch.ones if fill is not None and fill.name == "ones" else torch.zeros
    return make(shape, dtype=TORCH_DTYPES[tensor.dtype], device=values[0].device)


def _find_axis(tensor: TensorPlan, axis: Axis, inputs: tuple[TensorPlan, ...]) -> tuple[int, int]:
    """Return the position of the first input with an axis of the symbolic dim, and which axis of it that is."""
    for index, other in enumerate(inputs):
        if axis in other.shape:
            return index, other.shape.index(axis)
    raise ExportError(
        f"'{tensor.name}' depends on the length of an axis '{axis}', which no input has",
        help=f"declare an input with the dim {' and '.join(axis.dims)}",
    )


def _positions(mask: torch.Tensor, length: Any) -> torch.Tensor:
    """Return the positions of the last ``length`` tokens of a mask, counted from the first token that is not padding.

    The last 4 tokens of the mask ``0 1 1 1 0`` are at 0, 1, 2 and 3: padding in front is not counted, padding at the
    end is. Without padding in front they are the consecutive numbers that a model takes by itself.

    Args:
        mask: int64[batch, past + length], 0 where there is padding.
        length: how many tokens, counted from the end.
    """
    leading = (mask.cumsum(-1) == 0).sum(-1, keepdim=True)
    counted = torch.arange(mask.shape[-1], device=mask.device).unsqueeze(0) - leading
    return counted.clamp(min=0)[:, mask.shape[-1] - length :]


def _pack(value: Any, *, fills: bool) -> Any:
    """Turn a tree of tensors into what ``forward()`` takes: a tensor, a cache, or an output of another module.

    Args:
        value: the tree.
        fills: a cache of cross-attention is filled further, whatever it holds; else the model reads one that holds
            anything.
    """
    if not isinstance(value, dict):
        return value
    if all(isinstance(key, int) for key in value):
        layers = [value[index] for index in sorted(value)]
        if all("key" in layer for layer in layers):
            return _cache(layers)
        cache = EncoderDecoderCache(
            _cache([layer["decoder"] for layer in layers]), _cache([layer["encoder"] for layer in layers])
        )
        if fills:
            cache.is_updated = dict.fromkeys(cache.is_updated, False)
        return cache
    return BaseModelOutput(**{name: _pack(part, fills=fills) for name, part in value.items()})


def _cache(layers: list[dict[str, torch.Tensor]]) -> DynamicCache:
    """Return a cache whose layers hold the tensors themselves: filling one by ``update`` would record a copy."""
    cache = DynamicCache()
    for part in layers:
        layer = DynamicLayer()
        layer.keys, layer.values = part["key"], part["value"]
        layer.dtype, layer.device, layer.is_initialized = layer.keys.dtype, layer.keys.device, True
        cache.layers.append(layer)
    return cache


def _unpack(prefix: str, value: Any) -> Iterator[tuple[str, torch.Tensor]]:
    dot = f"{prefix}." if prefix else ""
    if isinstance(value, torch.Tensor):
        yield prefix, value
    elif isinstance(value, EncoderDecoderCache):
        for side, cache in (("decoder", value.self_attention_cache), ("encoder", value.cross_attention_cache)):
            for index, layer in enumerate(cache.layers):
                yield from _unpack_layer(f"{dot}{index}.{side}", layer)
    elif isinstance(value, Cache):
        for index, layer in enumerate(value.layers):
            yield from _unpack_layer(f"{dot}{index}", layer)
    elif isinstance(value, Mapping):
        for name, part in value.items():
            yield from _unpack(f"{dot}{name}", part)
    elif isinstance(value, tuple | list):
        for index, part in enumerate(value):
            yield from _unpack(f"{dot}{index}", part)


def _unpack_layer(prefix: str, layer: Any) -> Iterator[tuple[str, torch.Tensor]]:
    if getattr(layer, "keys", None) is not None:
        yield f"{prefix}.key", layer.keys
        yield f"{prefix}.value", layer.values
