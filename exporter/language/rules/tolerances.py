"""EXP5: tolerances, and the reference that has to tell dims apart."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

from exporter.language.diagnostics import Diagnostic
from exporter.language.document import Scalar
from exporter.language.effort import spend
from exporter.language.expressions import ROOTS, ExpressionError, evaluate_expression, expression_names
from exporter.language.findings import AMBIGUOUS_REFERENCE, LOOSE_TOLERANCE, UNTESTED_OVERRIDE
from exporter.language.rules.references import child_mapping
from exporter.language.rules.registry import Subject, check
from exporter.language.spec import (
    LAYER_DIM,
    LAYER_SLOT,
    DynamicDim,
    Expression,
    Spec,
    StaticDim,
    TaskSpec,
    overlay_config,
)

# A bound above these needs its reason: float32 as the earlier system had it, the others a few units of their precision.
CEILINGS = {"float32": (1e-4, 1e-3), "float16": (2e-2, 2e-2), "bfloat16": (1e-1, 1e-1)}


@check(LOOSE_TOLERANCE)
def _loose_tolerance(subject: Subject, _: tuple[Subject, ...]) -> Iterator[Diagnostic]:
    spec = subject.spec
    seen: set[tuple[str, int]] = set()
    for task in spec.tasks.values() if spec is not None else ():
        for dtype, tolerance in task.tolerances.items():
            if dtype not in CEILINGS:
                continue  # unknown-key has said so
            atol, rtol = CEILINGS[dtype]
            place = (tolerance.span.source.name, tolerance.span.start)
            if tolerance.because is None and (tolerance.atol > atol or tolerance.rtol > rtol) and place not in seen:
                seen.add(place)
                yield LOOSE_TOLERANCE.at(
                    f"the tolerance of {dtype} (atol {tolerance.atol:g}, rtol {tolerance.rtol:g}) is above its ceiling "
                    f"(atol {atol:g}, rtol {rtol:g}) and gives no reason",
                    tolerance.span,
                    "tighten it to what verification measures, or add 'because:' with the measurement",
                )


@check(AMBIGUOUS_REFERENCE)
def _ambiguous_reference(subject: Subject, _: tuple[Subject, ...]) -> Iterator[Diagnostic]:
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
        for first, second in _pairs(spec, task, sizes):
            if (first, second) not in seen:
                seen.add((first, second))
                yield AMBIGUOUS_REFERENCE.at(
                    f"'{first}' and '{second}' are both {sizes[first]} in the reference, "
                    "so the spec could swap them unnoticed",
                    _place(spec, second, subject),
                    "change one of the sizes under 'reference:'",
                )


@check(UNTESTED_OVERRIDE)
def _untested_override(subject: Subject, _: tuple[Subject, ...]) -> Iterator[Diagnostic]:
    spec = subject.spec
    family = (
        subject.composition.family.root
        if subject.composition is not None and subject.composition.family is not None
        else None
    )
    inherited, own = child_mapping(family, "dims"), child_mapping(subject.document.root, "dims")
    if spec is None or inherited is None or own is None:
        return
    static = _StaticSizes(spec, _stand_in(spec, None))
    for key, node in own.entries:
        name = str(key.value)
        base, dim = inherited.get(name), spec.dims.get(name)
        if not isinstance(base, Scalar) or not isinstance(node, Scalar) or not isinstance(dim, StaticDim):
            continue
        mine, theirs = (static.evaluate(item) for item in (node.value, base.value))
        if mine is not None and mine == theirs and node.value != base.value:
            yield UNTESTED_OVERRIDE.at(
                f"'{name}' is {mine} in the reference by the family's '{base.value}' as well, "
                "so the override is not tested",
                key.span,
                "choose reference sizes in which the two differ, or drop the override",
            )


def _known_sizes(spec: Spec, task: TaskSpec) -> dict[str, int]:
    """Return the sizes that the reference alone decides, without those of dims that read a default of the config."""
    static = _StaticSizes(spec, _stand_in(spec, task))
    traced = {name: dim.trace for name, dim in spec.dims.items() if isinstance(dim, DynamicDim)}
    sizes: dict[str, int] = {}
    for name, dim in spec.dims.items():
        if isinstance(dim, DynamicDim):
            value: int | None = dim.trace
        else:
            value = static.size(name) if isinstance(dim, StaticDim) else static.evaluate(dim.value.text, traced)
        if value is not None:
            sizes[name] = value
    return sizes


class _StaticSizes:
    """The static dims of a spec on what is known of a config, each evaluated once."""

    def __init__(self, spec: Spec, config: Any) -> None:
        self.spec, self.config = spec, config
        # None while a dim is evaluated too, so that one which asks for itself has no size.
        self.known: dict[str, int | None] = {}

    def size(self, name: str) -> int | None:
        """Return the size of a dim, or None where only the config's defaults tell it, or nothing does."""
        if name not in self.known:
            self.known[name] = None
            dim = self.spec.dims.get(name)
            if isinstance(dim, StaticDim):
                self.known[name] = self.evaluate(dim.value.text if isinstance(dim.value, Expression) else dim.value)
        return self.known[name]

    def evaluate(self, value: Any, traced: Mapping[str, int] | None = None) -> int | None:
        """Return what a value of ``dims:`` gives, which may name dims that are ``traced`` at a size."""
        if isinstance(value, int):
            return value
        try:
            # A name whose size only the config's defaults tell makes the expression unknown too.
            names = {name: self.size(name) for name in expression_names(str(value)) if name not in ROOTS}
            sizes = {name: size for name, size in names.items() if size is not None}
            size = evaluate_expression(str(value), self.config, {**sizes, **(traced or {})})
        except (ExpressionError, RecursionError):
            return None
        return size if isinstance(size, int) and not isinstance(size, bool) else None


def _stand_in(spec: Spec, task: TaskSpec | None) -> Any:
    """Return an object with the keys of the reference's config as attributes: what is known without transformers."""
    values = overlay_config(spec.reference, *((task.reference_config, task.config) if task else ()))
    return _namespace(values)


def _namespace(value: Any) -> Any:
    if isinstance(value, dict):
        spend(len(value))
        return SimpleNamespace(**{key: _namespace(item) for key, item in value.items()})
    return value


def _pairs(spec: Spec, task: TaskSpec, sizes: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """Yield pairs of dims that occur in one graph's shapes (or repeat its names), are bound differently and alike."""
    for graph in task.all_graphs:
        tensors = (*graph.inputs, *graph.outputs)
        spend(len(spec.dims) + sum(1 + len(tensor.type.dims) for tensor in tensors))
        shaped = {name for tensor in tensors for dim in tensor.type.dims for name in dim.names() if name in spec.dims}
        if any(LAYER_SLOT in tensor.name for tensor in tensors) and LAYER_DIM in spec.dims:
            shaped.add(LAYER_DIM)
        alike: dict[int, list[str]] = {}
        for second in (name for name in spec.dims if name in shaped and name in sizes):
            others = alike.setdefault(sizes[second], [])
            spend(len(others))
            yield from ((first, second) for first in others if _are_bound_differently(spec, first, second))
            others.append(second)


def _are_bound_differently(spec: Spec, first: str, second: str) -> bool:
    """Tell whether two dims of one size could be taken for one another, and it would matter."""
    dims = spec.dims[first], spec.dims[second]
    if all(isinstance(dim, DynamicDim) for dim in dims):
        return False  # trace-sizes-collide
    # `layers` counts tensors and is the length of no axis, so no traced length can be mistaken for it.
    bound = [dim.value for dim in dims if isinstance(dim, StaticDim)]
    if LAYER_DIM in (first, second) and len(bound) < 2:
        return False
    return not (len(bound) == 2 and bound[0] == bound[1])


def _place(spec: Spec, name: str, subject: Subject) -> Any:
    """Return the reference key that a dim reads, else the reference itself."""
    dim = spec.dims[name]
    text = dim.value.text if isinstance(dim, StaticDim) and isinstance(dim.value, Expression) else ""
    # The first key of the reference that is read, and not the key `hidden` for `config.hidden_size`.
    read = set(re.findall(r"\bconfig\.(\w+)", text))
    spend(len(spec.reference_spans) if read else 1)
    for key, span in spec.reference_spans.items():
        if key in read:
            return span
    root = subject.document.root
    reference = root.key("reference") if root is not None else None
    return reference.span if reference is not None else spec.span
