"""EXP2: names that point at something else."""

from __future__ import annotations

import re
from collections.abc import Iterator

from exporter.language.catalog import scalar_text
from exporter.language.diagnostics import Diagnostic
from exporter.language.document import Mapping
from exporter.language.effort import spend, suggest
from exporter.language.expressions import ROOTS, ExpressionError, expression_names
from exporter.language.findings import CIRCULAR_DIM, DUPLICATE_ARCHITECTURE, FILE_NAME_MISMATCH, UNKNOWN_DIM
from exporter.language.rules.registry import Subject, check
from exporter.language.spec import (
    LAYER_DIM,
    LAYER_SLOT,
    DerivedDim,
    DynamicDim,
    Expression,
    Spec,
    StaticDim,
    TensorSpec,
)


@check(UNKNOWN_DIM)
def _unknown_dim(subject: Subject, _: tuple[Subject, ...]) -> Iterator[Diagnostic]:
    spec = subject.spec
    if spec is None:
        return
    for tensor in tensors_of(spec):
        for term in tensor.type.terms():
            if isinstance(term.value, str) and term.value not in spec.dims:
                message = f"unknown dim '{term.value}' in the type of '{tensor.name}'"
                yield UNKNOWN_DIM.at(
                    message,
                    tensor.type_span.within(term.start, term.end),
                    suggest(term.value, spec.dims, otherwise="the dims are"),
                )
        if tensor.beyond is not None and tensor.beyond not in spec.dims:
            yield UNKNOWN_DIM.at(
                f"'{tensor.name}' goes on beyond an unknown dim '{tensor.beyond}'",
                tensor.span,
                suggest(tensor.beyond, spec.dims, otherwise="the dims are"),
            )
        if tensor.count is not None and tensor.count not in spec.dims:
            yield UNKNOWN_DIM.at(
                f"'{tensor.name}' is counted by an unknown dim '{tensor.count}'",
                tensor.span,
                suggest(tensor.count, spec.dims, otherwise="the dims are"),
            )
        if LAYER_SLOT in tensor.name and tensor.count is None and LAYER_DIM not in spec.dims:
            yield UNKNOWN_DIM.at(
                f"'{tensor.name}' is repeated for each layer, but there is no dim '{LAYER_DIM}'",
                tensor.span,
                f"bind '{LAYER_DIM}' under 'dims:', as in 'layers: config.num_hidden_layers'",
            )
    dynamic = [name for name, dim in spec.dims.items() if isinstance(dim, DynamicDim)]
    for task in spec.tasks.values():
        for target, limit in task.targets.items():
            for name in limit.static:
                if name not in dynamic:
                    yield UNKNOWN_DIM.at(
                        f"'{name}', which {target} bakes in, is no dynamic dim",
                        limit.span,
                        suggest(name, dynamic, otherwise="the dynamic dims are"),
                    )
    static = {name for name, dim in spec.dims.items() if isinstance(dim, StaticDim)}
    for note in (note for task in spec.tasks.values() for note in task.notes):
        for name in dict.fromkeys(note.dims):
            spend()
            if name not in static:
                # A text in quotes or of several lines may be written otherwise than it is read.
                at = max(note.span.text.find(f"{{{name}}}"), 0)
                reason = "is dynamic and has no one size" if name in spec.dims else "is not a dim"
                yield UNKNOWN_DIM.at(
                    f"'{name}' in a note {reason}",
                    note.span.within(at, at + len(name) + 2),
                    suggest(name, static, otherwise="a note may name"),
                )
    derived = {id(dim.value) for dim in spec.dims.values() if isinstance(dim, DerivedDim)}
    for expression in expressions_of(spec):
        known = set(spec.dims) if id(expression) in derived else static
        try:
            names = expression_names(expression.text)
        except ExpressionError:
            continue  # malformed-expression has said so
        for name in names:
            if name not in ROOTS and name not in known:
                # The name itself, not the end of an attribute: in `config.n_head // head` the second.
                place = re.search(rf"(?<![\w.]){re.escape(name)}\b", expression.text)
                at = place.start() if place is not None else 0
                reason = "is dynamic and has no one size" if name in spec.dims else "is not a dim"
                yield UNKNOWN_DIM.at(
                    f"'{name}' in an expression {reason}",
                    expression.span.within(at, at + len(name)),
                    suggest(name, {*ROOTS, *known}, otherwise="an expression may name"),
                )


@check(CIRCULAR_DIM)
def _circular_dim(subject: Subject, _: tuple[Subject, ...]) -> Iterator[Diagnostic]:
    if subject.spec is None:
        return
    sources = dict(_sources_of_dims(subject.spec))
    done: set[str] = set()
    for first in sources:
        # The dims on the way to the one that is looked at, each with those it follows from that are still to be met.
        way: dict[str, Iterator[str]] = {}
        name: str | None = first
        while name is not None:
            if name in way:
                circle = list(way)[list(way).index(name) :]
                spend(len(way))
                yield _describe_circle(circle, subject)
            elif name not in done:
                done.add(name)
                way[name] = iter(sources.get(name, ()))
            name = None
            while way and name is None:
                spend()
                name = next(way[next(reversed(way))], None)
                if name is None:
                    way.popitem()


def _sources_of_dims(spec: Spec) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield each dim that has an expression with the dims that this names."""
    for name, dim in spec.dims.items():
        if isinstance(dim, StaticDim | DerivedDim) and isinstance(dim.value, Expression):
            try:
                named = expression_names(dim.value.text)
            except ExpressionError:
                continue  # malformed-expression has said so
            yield name, tuple(source for source in named if source in spec.dims)


def _describe_circle(circle: list[str], subject: Subject) -> Diagnostic:
    """Return the finding of a circle, at the dim of it that stands first in the document, or else in its family."""
    assert subject.spec is not None
    spans = {name: subject.spec.dims[name].span for name in circle}
    own = subject.document.source
    start = min(range(len(circle)), key=lambda at: (spans[circle[at]].source is not own, spans[circle[at]].start))
    names = [*circle[start:], *circle[:start]]
    message = f"the dims go in a circle: {' → '.join([*names, names[0]])}"
    return CIRCULAR_DIM.at(
        message, spans[names[0]], "let one of them be an integer or an expression over 'config' alone"
    )


@check(FILE_NAME_MISMATCH)
def _file_name_mismatch(subject: Subject, _: tuple[Subject, ...]) -> Iterator[Diagnostic]:
    key = {"spec": "architecture", "family": "family"}.get(subject.kind)
    name = scalar_text(subject.document, key) if key is not None else None
    path = subject.document.source.path
    if name is not None and path is not None and isinstance(name.value, str) and path.stem != name.value:
        yield FILE_NAME_MISMATCH.at(
            f"the {key} '{name.value}' is in a file named '{path.name}'",
            name.span,
            f"rename the file to '{name.value}.yaml'",
        )


@check(DUPLICATE_ARCHITECTURE)
def _duplicate_architecture(subject: Subject, subjects: tuple[Subject, ...]) -> Iterator[Diagnostic]:
    name = scalar_text(subject.document, "architecture")
    if subject.kind != "spec" or name is None:
        return
    for other in subjects:
        spend()
        if other is subject:
            return  # the first of several is the one that stands
        earlier = scalar_text(other.document, "architecture")
        if earlier is not None and earlier.value == name.value and other.kind == "spec":
            yield DUPLICATE_ARCHITECTURE.at(
                f"the architecture '{name.value}' has two specs",
                name.span,
                f"keep one; the other is {earlier.span.location()}",
            ).labelled(earlier.span, "first described here")
            return


def tensors_of(spec: Spec) -> Iterator[TensorSpec]:
    """Iterate over every tensor of every task of a spec."""
    for task in spec.tasks.values():
        for graph in task.all_graphs:
            for tensor in (*graph.built, *graph.inputs, *graph.outputs, *graph.internals):
                spend(1 + len(tensor.type.dims))
                yield tensor


def expressions_of(spec: Spec) -> Iterator[Expression]:
    """Iterate over every expression of a spec."""
    for dim in spec.dims.values():
        if isinstance(dim, StaticDim | DerivedDim) and isinstance(dim.value, Expression):
            yield dim.value
    for task in spec.tasks.values():
        if task.when is not None:
            yield task.when
        yield from (refusal.when for refusal in task.refused_when.values())
        yield from (note.when for note in task.notes if note.when is not None)
    yield from (tensor.when for tensor in tensors_of(spec) if tensor.when is not None)


def child_mapping(node: Mapping | None, key: str) -> Mapping | None:
    """Return the mapping under a key, or None."""
    value = node.get(key) if node is not None else None
    return value if isinstance(value, Mapping) else None
