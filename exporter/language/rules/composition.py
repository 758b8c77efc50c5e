"""EXP4: what composing gives, and caches."""

from __future__ import annotations

from collections.abc import Iterator

from exporter.language.diagnostics import Diagnostic, Edit, Fix
from exporter.language.document import Mapping, Node, Scalar, to_data
from exporter.language.effort import spend
from exporter.language.expressions import ExpressionError, expression_names
from exporter.language.findings import (
    CACHE_LENGTH_MISMATCH,
    EMPTY_GRAPH,
    MALFORMED_TENSOR,
    MISSING_KEY,
    NAME_COLLISION,
    NO_TASK,
    REDUNDANT_OVERRIDE,
    UNKNOWN_TASK,
    UNUSED_DIM,
    WITH_PAST_WITHOUT_CACHE,
    WRONG_TYPE,
    WRONG_VALUE,
)
from exporter.language.rules.references import child_mapping, expressions_of, tensors_of
from exporter.language.rules.registry import Subject, check
from exporter.language.spec import LAYER_DIM, LAYER_SLOT, WITH_PAST, GraphSpec, Spec, TaskSpec, TensorSpec
from exporter.language.tensor_type import Dim
from exporter.language.text import Span

_SHARED = ("inputs", "arguments", "outputs_ignored", "tolerances", "dims")
# The rules whose findings may be the reason why a tensor is missing from a graph.
_UNREAD = (MALFORMED_TENSOR, MISSING_KEY, WRONG_TYPE, WRONG_VALUE)


@check(NAME_COLLISION)
def _name_collision(subject: Subject, _: tuple[Subject, ...]) -> Iterator[Diagnostic]:
    for graph in _graphs(subject):
        first: dict[str, TensorSpec] = {}
        for tensor in (*graph.inputs, *graph.outputs, *graph.internals):
            other = first.setdefault(tensor.name.replace(LAYER_SLOT, "0"), tensor)
            if other is tensor:
                continue
            # The finding is at the tensor that the linted document adds, where the other is of its family.
            here, there = (other, tensor) if tensor.span.source is not subject.document.source else (tensor, other)
            yield NAME_COLLISION.at(
                f"'{tensor.name}' names two tensors of the graph '{graph.component}'",
                here.span,
                "rename one, and say with 'field:' or 'argument:' what the model calls it",
            ).labelled(there.span, "the other")


@check(CACHE_LENGTH_MISMATCH)
def _cache_length_mismatch(subject: Subject, _: tuple[Subject, ...]) -> Iterator[Diagnostic]:
    for task in _tasks(subject):
        for graph in task.all_graphs:
            yield from _check_cache(graph)


def _check_cache(graph: GraphSpec) -> Iterator[Diagnostic]:
    spend(len(graph.inputs) + len(graph.outputs))
    pasts = {tensor.argument: tensor for tensor in graph.inputs if tensor.argument.startswith("past_key_values.")}
    presents = {tensor.field: tensor for tensor in graph.outputs if tensor.field.startswith("past_key_values.")}
    for group in (pasts, presents):
        for path, key in group.items():
            value = group.get(path.removesuffix("key") + "value") if path.endswith(".key") else None
            if value is not None and [str(dim) for dim in value.type.dims] != [str(dim) for dim in key.type.dims]:
                yield CACHE_LENGTH_MISMATCH.at(
                    f"'{value.name}' has another shape than '{key.name}'",
                    value.type_span,
                    "the keys and values of a layer have one shape",
                )
    filled = {
        tensor.beyond: str(tensor.type.dims[1]) for tensor in graph.inputs if tensor.beyond and tensor.type.dims[1:]
    }
    for tensor in graph.inputs:
        if tensor.beyond and not any(tensor.beyond in map(str, past.type.dims) for past in pasts.values()):
            yield CACHE_LENGTH_MISMATCH.at(
                f"'{tensor.name}' goes on beyond '{tensor.beyond}', and no past of the graph is as long",
                tensor.span,
                "name the dim that counts what the cache holds of it",
            )
    lengths: set[str] = set()
    growing = {
        str(axis) for path, past in pasts.items() if path in presents for axis in _grown_axes(past, presents[path])
    }
    for path, past in pasts.items():
        present = presents.get(path)
        if present is None:
            if not any(path == ignored or path.startswith(f"{ignored}.") for ignored in graph.ignored):
                yield CACHE_LENGTH_MISMATCH.at(
                    f"'{past.name}' is taken in, and no 'present' gives it back",
                    past.span,
                    "declare the output, or put its field under 'outputs_ignored:' with the reason",
                )
            continue
        if [filled.get(str(dim), str(dim)) for dim in past.type.dims] == [
            str(dim) for dim in present.type.dims
        ] and filled:
            continue
        if not _hands_back(graph, past, present, growing):
            yield from _check_growth(past, present)
        lengths |= {
            str(after)
            for before, after in zip(past.type.dims, present.type.dims, strict=False)
            if str(before) != str(after)
        }
    grown = {name for length in lengths for name in length.split(" + ")}
    for tensor in graph.inputs:
        axes = {str(dim) for dim in tensor.type.dims}
        if tensor.argument == "attention_mask" and lengths and axes & grown and not axes & lengths:
            yield CACHE_LENGTH_MISMATCH.at(
                f"'{tensor.name}' does not cover the past: no axis is {' or '.join(sorted(lengths))}",
                tensor.type_span,
                "the mask of a graph with past covers past and new tokens",
            )


def _grown_axes(past: TensorSpec, present: TensorSpec) -> Iterator[Dim]:
    """Yield the axes of a past that are longer in its present."""
    for before, after in zip(past.type.dims, present.type.dims, strict=False):
        if str(after).startswith(f"{before} + "):
            yield before


def _hands_back(graph: GraphSpec, past: TensorSpec, present: TensorSpec, growing: set[str]) -> bool:
    """Tell whether a cache is one of cross-attention, which a graph gives back as it came.

    Such a cache is as long as another input, say the mask of the encoder; or other caches of the graph grow, and it has
    none of the axes they grow along.
    """
    axes = {str(dim) for dim in past.type.dims}
    others = {
        str(axis)
        for tensor in graph.inputs
        if "past_key_values" not in tensor.argument
        for axis in tensor.type.dims[1:]
    }
    is_unchanged = [str(dim) for dim in past.type.dims] == [str(dim) for dim in present.type.dims]
    return is_unchanged and (bool(axes & others) or (bool(growing) and not axes & growing))


def _check_growth(past: TensorSpec, present: TensorSpec) -> Iterator[Diagnostic]:
    before, after = [str(dim) for dim in past.type.dims], [str(dim) for dim in present.type.dims]
    if len(before) != len(after):
        yield CACHE_LENGTH_MISMATCH.at(
            f"'{present.name}' has {len(after)} axes, and '{past.name}' has {len(before)}",
            present.type_span,
            "a cache keeps its rank",
        )
        return
    for index, (old, new) in enumerate(zip(before, after, strict=True)):
        if old != new and not new.startswith(f"{old} + "):
            dim = present.type.dims[index]
            span = present.type_span.within(dim.terms[0].start, dim.terms[-1].end)
            yield CACHE_LENGTH_MISMATCH.at(
                f"axis {index} of '{present.name}' is '{new}', and '{past.name}' has '{old}' there",
                span,
                f"an axis stays '{old}' or grows to '{old} + <new>'",
            )
    if before == after:
        yield CACHE_LENGTH_MISMATCH.at(
            f"'{present.name}' is no longer than '{past.name}'",
            present.type_span,
            "one axis grows by the new tokens: 'past_sequence + sequence'",
        )


@check(UNUSED_DIM)
def _unused_dim(subject: Subject, _: tuple[Subject, ...]) -> Iterator[Diagnostic]:
    spec = subject.spec
    # A dim looks unused where the tensor or task that names it cannot be read, which is a finding of its own.
    if spec is None or subject.staged_of(MALFORMED_TENSOR, UNKNOWN_TASK):
        return
    used = {term.value for tensor in tensors_of(spec) for term in tensor.type.terms()}
    for expression in expressions_of(spec):
        try:
            used |= set(expression_names(expression.text))
        except ExpressionError:
            continue
    if any(LAYER_SLOT in tensor.name and tensor.count is None for tensor in tensors_of(spec)):
        used.add(LAYER_DIM)
    used |= {tensor.count for tensor in tensors_of(spec) if tensor.count is not None}
    used |= {name for task in spec.tasks.values() for note in task.notes for name in note.dims}
    for name, dim in spec.dims.items():
        if name not in used and dim.span.source is subject.document.source:
            yield UNUSED_DIM.at(f"the dim '{name}' is used nowhere", dim.span, "remove it, or name it in a shape")


@check(REDUNDANT_OVERRIDE)
def _redundant_override(subject: Subject, _: tuple[Subject, ...]) -> Iterator[Diagnostic]:
    family = (
        subject.composition.family.root
        if subject.composition is not None and subject.composition.family is not None
        else None
    )
    if subject.document.root is None:
        return
    for part in _SHARED:
        over, under = child_mapping(subject.document.root, part), child_mapping(family, part)
        if over is None or under is None:
            continue
        redundant = [(key, node) for key, node in over.entries if _is_same(under.get(str(key.value)), node)]
        # With every line below it deleted, `dims:` would be empty, which the schema refuses.
        within = over if len(redundant) < len(over.entries) else None
        for key, node in redundant:
            yield REDUNDANT_OVERRIDE.at(
                f"'{key.value}' is what the family '{_family_name(family)}' says already",
                key.span,
                "delete it",
                _delete_line(key, node, within),
            )


def _is_same(base: Node | None, node: Node) -> bool:
    """Tell whether a node says what its family says. By value alone, 0 would be the same as false."""
    if base is None or (isinstance(node, Scalar) and node.value is None):
        return False
    same_kind = not isinstance(base, Scalar) or not isinstance(node, Scalar) or type(base.value) is type(node.value)
    return same_kind and to_data(base) == to_data(node)


def _family_name(family: Mapping | None) -> str:
    name = family.get("family") if family is not None else None
    return str(name.value) if isinstance(name, Scalar) else ""


def _delete_line(key: Scalar, node: Node, within: Mapping | None) -> Fix | None:
    """Return a fix that deletes the line of an entry, where it has a line of its own in a block mapping."""
    source = key.span.source
    line = source.line(key.span.line)
    if (
        within is None
        or within.span.text.startswith("{")
        or node.span.line != key.span.line
        or not line.strip().startswith(str(key.value))
    ):
        return None
    if source.position(max(node.span.end - 1, node.span.start))[0] != key.span.line:
        return None
    start = source.offset(key.span.line - 1, 0)
    end = source.offset(key.span.line, 0)
    return Fix("delete the line", (Edit(Span(source, start, end), ""),))


def _tasks(subject: Subject) -> Iterator[TaskSpec]:
    spec: Spec | None = subject.spec
    yield from spec.tasks.values() if spec is not None else ()


def _graphs(subject: Subject) -> Iterator[GraphSpec]:
    for task in _tasks(subject):
        for graph in task.all_graphs:
            spend(1 + len(graph.inputs) + len(graph.outputs))
            yield graph


@check(WITH_PAST_WITHOUT_CACHE)
def _with_past_without_cache(subject: Subject, _: tuple[Subject, ...]) -> Iterator[Diagnostic]:
    for task in _tasks(subject):
        has_past = any(
            tensor.argument.startswith("past_key_values.") for graph in task.all_graphs for tensor in graph.inputs
        )
        if task.name.endswith(WITH_PAST) and not has_past and not subject.staged_of(*_UNREAD):
            yield WITH_PAST_WITHOUT_CACHE.at(
                f"no graph of '{task.name}' takes past_key_values", task.span, "declare them under 'cache: {inputs: …}'"
            )


@check(NO_TASK)
def _no_task(subject: Subject, _: tuple[Subject, ...]) -> Iterator[Diagnostic]:
    picked = subject.document.root.get("tasks") if subject.document.root is not None else None
    key = subject.document.root.key("tasks") if subject.document.root is not None else None
    if subject.kind != "spec" or key is None or not isinstance(picked, Mapping):
        return
    if all(isinstance(node, Scalar) and node.value is None for _, node in picked.entries):
        message = "every task is null, so there is nothing to build" if picked.entries else "the spec picks no task"
        yield NO_TASK.at(message, key.span, "pick a task of the family, as in 'fill-mask: {}'")


@check(EMPTY_GRAPH)
def _empty_graph(subject: Subject, _: tuple[Subject, ...]) -> Iterator[Diagnostic]:
    for task in _tasks(subject):
        for graph in task.all_graphs:
            for role, tensors in (("inputs", graph.inputs), ("outputs", graph.outputs)):
                # A tensor that cannot be read is not in the graph either, and has its own finding.
                if not tensors and not subject.staged_of(*_UNREAD):
                    yield EMPTY_GRAPH.at(
                        f"the graph '{graph.component}' of '{task.name}' has no {role}", task.span, f"declare '{role}:'"
                    )
