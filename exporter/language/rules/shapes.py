"""EXP3: tensor lines, sizes and fills."""

from __future__ import annotations

from collections.abc import Iterator

from exporter.language.diagnostics import Diagnostic
from exporter.language.effort import spend
from exporter.language.findings import (
    CHECK_EQUALS_TRACE,
    FILL_DTYPE_MISMATCH,
    FILL_SHAPE_MISMATCH,
    FIXED_FLOAT,
    NO_BATCH_AXIS,
    TRACE_SIZE_TOO_SMALL,
    TRACE_SIZES_COLLIDE,
    WIDTH_BEFORE_HEIGHT,
)
from exporter.language.rules.references import tensors_of
from exporter.language.rules.registry import Subject, check
from exporter.language.spec import DynamicDim, GraphSpec, Spec, TensorSpec
from exporter.language.tensor_type import FILLS, FLOATING


@check(TRACE_SIZE_TOO_SMALL)
def _trace_size_too_small(subject: Subject, _: tuple[Subject, ...]) -> Iterator[Diagnostic]:
    for dim in _dynamic_dims(subject):
        if dim.trace < 2:
            yield TRACE_SIZE_TOO_SMALL.at(
                f"'{dim.name}' is traced at {dim.trace}; tracers take sizes below 2 for constants",
                dim.trace_span,
                "trace at 2 or more, and put this size under 'check'",
            )


@check(TRACE_SIZES_COLLIDE)
def _trace_sizes_collide(subject: Subject, _: tuple[Subject, ...]) -> Iterator[Diagnostic]:
    spec = subject.spec
    seen: set[tuple[str, str]] = set()
    for graph in _graphs(spec):
        named = _names(graph)
        dynamic = [dim for dim in spec.dims.values() if isinstance(dim, DynamicDim)] if spec is not None else []
        alike: dict[int, list[DynamicDim]] = {}
        spend(len(dynamic))
        for dim in (dim for dim in dynamic if dim.name in named):
            others = alike.setdefault(dim.trace, [])
            spend(len(others))
            for other in others:
                if (other.name, dim.name) not in seen:
                    seen.add((other.name, dim.name))
                    yield TRACE_SIZES_COLLIDE.at(
                        f"'{dim.name}' and '{other.name}' are both traced at {dim.trace}",
                        dim.trace_span,
                        f"choose another size for one of them; '{other.name}' is at {other.trace_span.location()}",
                    )
            others.append(dim)


@check(CHECK_EQUALS_TRACE)
def _check_equals_trace(subject: Subject, _: tuple[Subject, ...]) -> Iterator[Diagnostic]:
    for dim in _dynamic_dims(subject):
        for size, span in zip(dim.check, dim.check_spans, strict=True):
            if size == dim.trace:
                yield CHECK_EQUALS_TRACE.at(
                    f"'{dim.name}' is checked at {size}, the size it is traced at",
                    span,
                    "choose a size that differs from 'trace'",
                )


@check(FILL_DTYPE_MISMATCH)
def _fill_dtype_mismatch(subject: Subject, _: tuple[Subject, ...]) -> Iterator[Diagnostic]:
    spec = subject.spec
    for task in spec.tasks.values() if spec is not None else ():
        for graph in task.all_graphs:
            for tensor in (*graph.inputs, *graph.built):
                yield from _check_fill(tensor)


def _check_fill(tensor: TensorSpec) -> Iterator[Diagnostic]:
    fill, dtype = tensor.type.fill, tensor.type.dtype
    if fill is None:
        return
    span = tensor.type_span.within(fill.start, fill.end)
    makes = FILLS[fill.name][1]
    if dtype not in makes:
        made = ", ".join(sorted(makes))
        yield FILL_DTYPE_MISMATCH.at(
            f"'{fill.name}' cannot make {dtype} for '{tensor.name}'", span, f"'{fill.name}' makes {made}"
        )
    elif dtype in ("int8", "uint8", "int32"):
        yield FILL_DTYPE_MISMATCH.at(
            f"the input '{tensor.name}' is {dtype}; tokenizers and processors give int64",
            tensor.type_span.within(0, len(dtype)),
            "declare it as int64",
        )
    elif dtype in FLOATING - {"float"}:
        yield FILL_DTYPE_MISMATCH.at(
            f"the input '{tensor.name}' is {dtype} in every build",
            tensor.type_span.within(0, len(dtype)),
            "write 'float', which follows the dtype of the build",
        )
    if fill.ending is not None and fill.name not in ("randint", "arange"):
        yield FILL_DTYPE_MISMATCH.at(f"'{fill.name}' has no ids to end with", span, "'ending(id)' goes with randint")


@check(NO_BATCH_AXIS)
def _no_batch_axis(subject: Subject, _: tuple[Subject, ...]) -> Iterator[Diagnostic]:
    for graph in _graphs(subject.spec):
        tensors = (*graph.inputs, *graph.outputs)
        batches = {name for tensor in tensors for dim in tensor.type.dims for name in dim.names() if _is_batch(name)}
        for tensor in tensors if batches else ():
            first = tensor.type.dims[0].names() if tensor.type.dims else ()
            # An input that the graph has and the model is not given cannot be broadcast in the model.
            if not any(map(_is_batch, first)) and tensor.argument:
                role = "input" if tensor.type.fill is not None else "output"
                yield NO_BATCH_AXIS.at(
                    f"the first axis of the {role} '{tensor.name}' is not the batch",
                    tensor.type_span,
                    f"start the shape with '{min(batches)}'",
                )


def _is_batch(name: str) -> bool:
    return name == "batch" or name.endswith("_batch")


@check(FIXED_FLOAT)
def _fixed_float(subject: Subject, _: tuple[Subject, ...]) -> Iterator[Diagnostic]:
    for graph in _graphs(subject.spec):
        for tensor in graph.outputs:
            dtype = tensor.type.dtype
            if dtype in FLOATING - {"float"}:
                yield FIXED_FLOAT.at(
                    f"the output '{tensor.name}' is {dtype} in every build",
                    tensor.type_span.within(0, len(dtype)),
                    "write 'float', which follows the dtype of the build",
                )


@check(WIDTH_BEFORE_HEIGHT)
def _width_before_height(subject: Subject, _: tuple[Subject, ...]) -> Iterator[Diagnostic]:
    for graph in _graphs(subject.spec):
        for tensor in (*graph.inputs, *graph.outputs):
            axes = [str(dim) for dim in tensor.type.dims]
            last = {axis: index for index, axis in enumerate(axes)}
            for index, axis in enumerate(axes):
                wide = next((word for word in _ROWS_FIRST if axis.endswith(word)), None)
                high = axis.removesuffix(wide) + _ROWS_FIRST[wide] if wide is not None else None
                if high is not None and last.get(high, -1) > index:
                    yield WIDTH_BEFORE_HEIGHT.at(
                        f"'{axis}' is before '{high}' in the shape of '{tensor.name}'",
                        tensor.type_span,
                        "rows come first: write the height before the width",
                    )


# The ending of a name for the axis across, and that of the name for the axis down, which comes first: `patches_high`
# before `patches_wide`.
_ROWS_FIRST = {"width": "height", "wide": "high"}


@check(FILL_SHAPE_MISMATCH)
def _fill_shape_mismatch(subject: Subject, _: tuple[Subject, ...]) -> Iterator[Diagnostic]:
    for graph in _graphs(subject.spec):
        for tensor in (*graph.inputs, *graph.built):
            fill, axes = tensor.type.fill, [str(dim) for dim in tensor.type.dims]
            if fill is None:
                continue
            shape = {
                "boxes": "a last axis of 4" if axes[-1:] != ["4"] else None,
                "padding": "an axis of rows and one along them" if len(axes) < 2 else None,
                "arange": "an axis to run along" if not axes else None,
            }.get(fill.name)
            if shape is not None:
                place = tensor.type_span.within(fill.start, fill.end)
                yield FILL_SHAPE_MISMATCH.at(
                    f"'{fill.name}' needs {shape} in the shape of '{tensor.name}'",
                    place,
                    "correct the shape, or choose another fill",
                )


def _dynamic_dims(subject: Subject) -> Iterator[DynamicDim]:
    spec = subject.spec
    if spec is not None:
        used = {name for tensor in tensors_of(spec) for dim in tensor.type.dims for name in dim.names()}
        yield from (dim for dim in spec.dims.values() if isinstance(dim, DynamicDim) and dim.name in used)


def _graphs(spec: Spec | None) -> Iterator[GraphSpec]:
    for task in spec.tasks.values() if spec is not None else ():
        for graph in task.all_graphs:
            spend(1 + len(graph.inputs) + len(graph.outputs) + len(graph.built))
            yield graph


def _names(graph: GraphSpec) -> set[str]:
    return {name for tensor in (*graph.inputs, *graph.outputs) for dim in tensor.type.dims for name in dim.names()}
