"""Parts of a plan in words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from exporter.planning.plan import Bound, Recording, TensorPlan

_LAYER = re.compile(r"\.\d+(?=\.)")


def recording_text(recording: Recording) -> str:
    """Return how graphs are recorded: ``opset 18, torchscript tracer``, or the target of files that have no opset."""
    return recording.target if recording.opset is None else f"opset {recording.opset}, {recording.tracer} tracer"


def group_layers(tensors: Iterable[TensorPlan]) -> dict[str, list[TensorPlan]]:
    """Group tensors whose names differ by their layer alone, so that a cache is shown in a line for each part.

    ``present.0.key`` and ``present.1.key`` are the group ``present.0…1.key``; a tensor without others like it keeps its
    name.
    """
    groups: dict[str, list[TensorPlan]] = {}
    for tensor in tensors:
        groups.setdefault(_LAYER.sub(".{layer}", tensor.name, count=1), []).append(tensor)
    named: dict[str, list[TensorPlan]] = {}
    for name, group in groups.items():
        if len(group) > 1:
            named[name.replace("{layer}", f"0…{len(group) - 1}")] = group
        else:
            named[group[0].name] = group
    return named


def split_layer(name: str) -> tuple[str, int]:
    """Return a name with ``{layer}`` for its layer, and the layer: -1 for a name without one.

    ``present.3.key`` is ``("present.{layer}.key", 3)``.
    """
    found = _LAYER.search(name)
    if found is None:
        return name, -1
    return _LAYER.sub(".{layer}", name, count=1), int(found.group()[1:])


def tensor_text(tensor: TensorPlan) -> str:
    """Return a planned tensor in the notation of specs: ``int64[batch, sequence]``."""
    return f"{tensor.dtype}[{', '.join(map(str, tensor.shape))}]"


def bound_text(bound: Bound) -> str:
    """Return a bound as a formula: ``1.0e-05 + 1.0e-04·|x|``."""
    return f"{bound.atol:.1e} + {bound.rtol:.1e}·{'|x|' if bound.rtol_of == 'element' else 'max|x|'}"


def sizes_text(sizes: Mapping[str, int], otherwise: str = "fixed sizes") -> str:
    """Return the sizes of the dims at a point: ``batch 2, sequence 6``."""
    return ", ".join(f"{dim} {size}" for dim, size in sizes.items()) or otherwise
