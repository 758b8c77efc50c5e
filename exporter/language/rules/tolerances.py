"""EXP5: tolerances, and the reference that has to tell dims apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

from exporter.language.diagnostics import Diagnostic
from exporter.language.document import Scalar
from exporter.language.expressions import ExpressionError, evaluate_expression
from exporter.language.rules.references import child_mapping
from exporter.language.rules.registry import Subject, finding, rule
from exporter.language.spec import (
    LAYER_DIM,
    LAYER_SLOT,
    DerivedDim,
    DynamicDim,
    Expression,
    Spec,
    StaticDim,
    TaskSpec,
    overlay_config,
)

# A bound above these needs its reason: float32 as the earlier system had it, the others a few units of their precision.
CEILINGS = {"float32": (1e-4, 1e-3), "float16": (2e-2, 2e-2), "bfloat16": (1e-1, 1e-1)}


@rule("EXP501", "loose-tolerance")
def loose_tolerance(subject: Subject, _: tuple[Subject, ...]) -> Iterator[Diagnostic]:
    """A tolerance is above the ceiling of its dtype and gives no reason. The ceilings (atol, rtol) are 1e-4 and 1e-3 for float32, 2e-2 and
    2e-2 for float16, 1e-1 and 1e-1 for bfloat16.

    **Why it is bad:** a loose bound passes wrong graphs. Whoever meets it needs to know what was measured.

    **Example:** `float32: {atol: 1.0e-2, rtol: 1.0e-3}`

    **Use instead:** a measured bound, or `because: the logits are sums of 30000 terms and differ by 4e-3`
    """
    spec = subject.spec
    seen: set[tuple[str, int]] = set()
    for task in spec.tasks.values() if spec is not None else ():
        for dtype, tolerance in task.tolerances.items():
            atol, rtol = CEILINGS[dtype]
            place = (tolerance.span.source.name, tolerance.span.start)
            if tolerance.because is None and (tolerance.atol > atol or tolerance.rtol > rtol) and place not in seen:
                seen.add(place)
                yield finding(
                    f"the tolerance of {dtype} (atol {tolerance.atol:g}, rtol {tolerance.rtol:g}) is above its ceiling (atol {atol:g}, rtol {rtol:g}) and gives no reason",
                    tolerance.span, "tighten it to what verification measures, or add 'because:' with the measurement",
                )  # fmt: skip


@rule("EXP502", "ambiguous-reference")
def ambiguous_reference(subject: Subject, _: tuple[Subject, ...]) -> Iterator[Diagnostic]:
    """Two dims that mean different things have the same size in the reference.

    **Why it is bad:** swapped, either would pass every check. This holds for static dims among themselves and for a static dim beside the
    trace size of a dynamic one.

    **Example:** `{num_attention_heads: 4, num_hidden_layers: 4, hidden_size: 16}`: heads, layers and head size are all 4.

    **Use instead:** `{num_attention_heads: 4, num_hidden_layers: 3, hidden_size: 40}`
    """
    spec = subject.spec
    seen: set[tuple[str, str]] = set()
    if spec is None:
        return
    # Most tasks have one config between them.
    known: dict[str, dict[str, int]] = {}
    for task in spec.tasks.values():
        key = repr((task.reference_config, task.config))
        if key not in known:
            known[key] = _known_sizes(spec, task)
        sizes = known[key]
        for first, second in _pairs(spec, task):
            if first in sizes and sizes.get(first) == sizes.get(second) and (first, second) not in seen:
                seen.add((first, second))
                yield finding(
                    f"'{first}' and '{second}' are both {sizes[first]} in the reference, so the spec could swap them unnoticed",
                    _place(spec, second, subject), "change one of the sizes under 'reference:'",
                )  # fmt: skip


@rule("EXP503", "untested-override")
def untested_override(subject: Subject, _: tuple[Subject, ...]) -> Iterator[Diagnostic]:
    """A dim of the spec overrides its family's, and has the same value in the reference.

    **Why it is bad:** nothing shows that the override is right or needed: without it the reference builds just the same.

    **Example:** `head_dim: config.d_kv` over `config.hidden_size // config.num_attention_heads` in a reference with `{d_kv: 8, d_model: 32, num_heads: 4}`.

    **Use instead:** a reference in which they differ, such as `d_kv: 11`.
    """
    spec = subject.spec
    family = (
        subject.composition.family.root
        if subject.composition is not None and subject.composition.family is not None
        else None
    )
    inherited, own = child_mapping(family, "dims"), child_mapping(subject.document.root, "dims")
    if spec is None or inherited is None or own is None:
        return
    config = _stand_in(spec, None)
    for key, node in own.entries:
        name = str(key.value)
        base, dim = inherited.get(name), spec.dims.get(name)
        if not isinstance(base, Scalar) or not isinstance(node, Scalar) or not isinstance(dim, StaticDim):
            continue
        mine, theirs = (_value(item, config, spec, {}) for item in (node.value, base.value))
        if mine is not None and mine == theirs and node.value != base.value:
            yield finding(
                f"'{name}' is {mine} in the reference by the family's '{base.value}' as well, so the override is not tested",
                key.span, "choose reference sizes in which the two differ, or drop the override",
            )  # fmt: skip


def _known_sizes(spec: Spec, task: TaskSpec) -> dict[str, int]:
    """Return the sizes that the reference alone decides; what needs the config's defaults is left out."""
    config = _stand_in(spec, task)
    sizes: dict[str, int] = {}
    traced = {name: dim.trace for name, dim in spec.dims.items() if isinstance(dim, DynamicDim)}
    for name, dim in spec.dims.items():
        known = traced if isinstance(dim, DerivedDim) else {}
        value = dim.trace if isinstance(dim, DynamicDim) else _value(dim.value, config, spec, known)
        if value is not None:
            sizes[name] = value
    return sizes


def _value(value: Any, config: Any, spec: Spec, traced: Mapping[str, int], depth: int = 0) -> int | None:
    text = value.text if isinstance(value, Expression) else value
    if isinstance(text, int):
        return text
    try:
        sizes = {
            name: _value(dim.value, config, spec, {}, depth + 1)
            for name, dim in spec.dims.items()
            if isinstance(dim, StaticDim) and depth < 3 and name in str(text)
        }
        # A name whose size only the config's defaults tell makes the expression unknown too.
        names = {name: size for name, size in sizes.items() if size is not None}
        found = evaluate_expression(str(text), config, {**names, **traced})
    except ExpressionError:
        return None
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def _stand_in(spec: Spec, task: TaskSpec | None) -> Any:
    """Return an object with the keys of the reference's config as attributes: what is known without transformers."""
    values = overlay_config(spec.reference, *((task.reference_config, task.config) if task else ()))
    return _namespace(values)


def _namespace(value: Any) -> Any:
    if isinstance(value, dict):
        return SimpleNamespace(**{key: _namespace(item) for key, item in value.items()})
    return value


def _pairs(spec: Spec, task: TaskSpec) -> Iterator[tuple[str, str]]:
    """Yield pairs of dims that occur in one graph's shapes (or repeat its names) and are bound differently."""
    for graph in task.all_graphs:
        tensors = (*graph.inputs, *graph.outputs)
        shaped = {name for tensor in tensors for dim in tensor.type.dims for name in dim.names() if name in spec.dims}
        if any(LAYER_SLOT in tensor.name for tensor in tensors) and LAYER_DIM in spec.dims:
            shaped.add(LAYER_DIM)
        ordered = [name for name in spec.dims if name in shaped]
        for index, second in enumerate(ordered):
            for first in ordered[:index]:
                one, other = spec.dims[first], spec.dims[second]
                if isinstance(one, DynamicDim) and isinstance(other, DynamicDim):
                    continue  # trace-sizes-collide
                # How often a name repeats is not the length of an axis that could be mistaken for a traced one.
                if LAYER_DIM in (first, second) and not (isinstance(one, StaticDim) and isinstance(other, StaticDim)):
                    continue
                if isinstance(one, StaticDim) and isinstance(other, StaticDim) and one.value == other.value:
                    continue
                yield first, second


def _place(spec: Spec, name: str, subject: Subject) -> Any:
    """Return the reference key that a dim reads, else the reference itself."""
    dim = spec.dims[name]
    text = dim.value.text if isinstance(dim, StaticDim) and isinstance(dim.value, Expression) else ""
    for key, span in spec.reference_spans.items():
        if f"config.{key}" in text:
            return span
    root = subject.document.root
    reference = root.key("reference") if root is not None else None
    return reference.span if reference is not None else spec.span
