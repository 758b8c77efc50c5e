"""EXP3: tensor lines, sizes and fills."""

from __future__ import annotations

from collections.abc import Iterator

from exporter.language.diagnostics import Diagnostic
from exporter.language.rules.references import tensors_of
from exporter.language.rules.registry import Subject, finding, rule, staged
from exporter.language.spec import DynamicDim, GraphSpec, Spec, TensorSpec
from exporter.language.tensor_type import FILLS, FLOATING


@rule("EXP301", "malformed-tensor")
def malformed_tensor(subject: Subject, _: tuple[Subject, ...]) -> Iterator[Diagnostic]:
    """A tensor line cannot be read, an input has no fill, or an output has one.

    **Why it is bad:** the tensor has no type, or nothing to run the model with.

    **Example**

    ```yaml
    input_ids: int64[batch sequence] = randint(vocab)
    ```

    **Use instead**

    ```yaml
    input_ids: int64[batch, sequence] = randint(vocab)
    ```
    """
    return staged(subject, "malformed-tensor")


@rule("EXP302", "malformed-expression")
def malformed_expression(subject: Subject, _: tuple[Subject, ...]) -> Iterator[Diagnostic]:
    """A dim or a condition is not an expression over `config`.

    **Why it is bad:** it has no value. Calls and templates are refused on purpose: a spec is data.

    **Example:** `head_dim: config.n_embd //`

    **Use instead:** `head_dim: config.n_embd // config.n_head`
    """
    return staged(subject, "malformed-expression")


@rule("EXP303", "trace-size-too-small")
def trace_size_too_small(subject: Subject, _: tuple[Subject, ...]) -> Iterator[Diagnostic]:
    """A dynamic dim is traced at a size below 2.

    **Why it is bad:** tracers take sizes 0 and 1 for constants and broadcasts, so the axis would not be dynamic in the graph.

    **Example:** `batch: {trace: 1, check: [2, 3]}`

    **Use instead:** `batch: {trace: 2, check: [1, 3]}`
    """
    for dim in _dynamic_dims(subject):
        if dim.trace < 2:
            yield finding(
                f"'{dim.name}' is traced at {dim.trace}; tracers take sizes below 2 for constants",
                dim.trace_span,
                "trace at 2 or more, and put this size under 'check'",
            )


@rule("EXP304", "trace-sizes-collide")
def trace_sizes_collide(subject: Subject, _: tuple[Subject, ...]) -> Iterator[Diagnostic]:
    """Two dynamic dims of one graph are traced at the same size.

    **Why it is bad:** a tracer may take them for one axis, and a swapped shape passes unnoticed.

    **Example:** `batch: {trace: 6, check: [1]}` beside `sequence: {trace: 6, check: [9]}`

    **Use instead:** a different trace size for each.
    """
    spec = subject.spec
    seen: set[tuple[str, str]] = set()
    for graph in _graphs(spec):
        dims = (
            [dim for dim in spec.dims.values() if isinstance(dim, DynamicDim) and dim.name in _names(graph)]
            if spec
            else []
        )
        for index, dim in enumerate(dims):
            for other in dims[:index]:
                if other.trace == dim.trace and (other.name, dim.name) not in seen:
                    seen.add((other.name, dim.name))
                    yield finding(
                        f"'{dim.name}' and '{other.name}' are both traced at {dim.trace}",
                        dim.trace_span,
                        f"choose another size for one of them; '{other.name}' is at {other.trace_span.location()}",
                    )


@rule("EXP305", "check-equals-trace")
def check_equals_trace(subject: Subject, _: tuple[Subject, ...]) -> Iterator[Diagnostic]:
    """A check size is the size the dim is traced at.

    **Why it is bad:** it proves nothing: an axis that was baked in has the right length there.

    **Example:** `sequence: {trace: 8, check: [8, 13]}`

    **Use instead:** `sequence: {trace: 8, check: [1, 13]}`
    """
    for dim in _dynamic_dims(subject):
        for size, span in zip(dim.check, dim.check_spans, strict=True):
            if size == dim.trace:
                yield finding(
                    f"'{dim.name}' is checked at {size}, the size it is traced at",
                    span,
                    "choose a size that differs from 'trace'",
                )


@rule("EXP306", "fill-dtype-mismatch")
def fill_dtype_mismatch(subject: Subject, _: tuple[Subject, ...]) -> Iterator[Diagnostic]:
    """A fill cannot make the dtype of its input, or an input has a dtype no client sends.

    Ids and masks are `int64`: that is what tokenizers return, and a graph that takes `int32` refuses them.

    **Why it is bad:** the dummy is not what the model gets in use.

    **Example:** `attention_mask: int32[batch, sequence] = padding`

    **Use instead:** `attention_mask: int64[batch, sequence] = padding`
    """
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
        yield finding(f"'{fill.name}' cannot make {dtype} for '{tensor.name}'", span, f"'{fill.name}' makes {made}")
    elif dtype in ("int8", "uint8", "int32"):
        yield finding(
            f"the input '{tensor.name}' is {dtype}; tokenizers and processors give int64",
            tensor.type_span.within(0, len(dtype)),
            "declare it as int64",
        )
    elif dtype in FLOATING - {"float"}:
        yield finding(
            f"the input '{tensor.name}' is {dtype} in every build",
            tensor.type_span.within(0, len(dtype)),
            "write 'float', which follows the dtype of the build",
        )
    if fill.ending is not None and fill.name not in ("randint", "arange"):
        yield finding(f"'{fill.name}' has no ids to end with", span, "'ending(id)' goes with randint")


@rule("EXP307", "no-batch-axis")
def no_batch_axis(subject: Subject, _: tuple[Subject, ...]) -> Iterator[Diagnostic]:
    """An input does not have the batch as its first axis, while the graph has a batch.

    **Why it is bad:** clients send batches. A tensor without the axis broadcasts in PyTorch, so every comparison passes, and the first
    real batch gives another row's values.

    **Example:** `token_type_ids: int64[sequence] = randint(type_vocab)`

    **Use instead:** `token_type_ids: int64[batch, sequence] = randint(type_vocab)`
    """
    for graph in _graphs(subject.spec):
        tensors = (*graph.inputs, *graph.outputs)
        batches = {name for tensor in tensors for dim in tensor.type.dims for name in dim.names() if _is_batch(name)}
        for tensor in tensors if batches else ():
            first = tensor.type.dims[0].names() if tensor.type.dims else ()
            # What the model is not given cannot be broadcast in it.
            if not any(map(_is_batch, first)) and tensor.argument:
                role = "input" if tensor.type.fill is not None else "output"
                yield finding(
                    f"the first axis of the {role} '{tensor.name}' is not the batch",
                    tensor.type_span,
                    f"start the shape with '{min(batches)}'",
                )


def _is_batch(name: str) -> bool:
    return name == "batch" or name.endswith("_batch")


@rule("EXP308", "fixed-float")
def fixed_float(subject: Subject, _: tuple[Subject, ...]) -> Iterator[Diagnostic]:
    """An output has a floating dtype of fixed width.

    **Why it is bad:** the dtype of a build is chosen when it is built; an output that says `float32` is wrong in a float16 build.

    **Example:** `logits: float32[batch, labels]`

    **Use instead:** `logits: float[batch, labels]`
    """
    for graph in _graphs(subject.spec):
        for tensor in graph.outputs:
            dtype = tensor.type.dtype
            if dtype in FLOATING - {"float"}:
                yield finding(
                    f"the output '{tensor.name}' is {dtype} in every build",
                    tensor.type_span.within(0, len(dtype)),
                    "write 'float', which follows the dtype of the build",
                )


@rule("EXP309", "width-before-height")
def width_before_height(subject: Subject, _: tuple[Subject, ...]) -> Iterator[Diagnostic]:
    """A shape has the width of an image before its height.

    **Why it is bad:** images are rows of pixels everywhere in transformers. A model that takes any size runs with the two swapped, every
    comparison passes, and the first real image comes out as another one.

    **Example:** `pixel_values: float[batch, channels, width, height] = randn`

    **Use instead:** `pixel_values: float[batch, channels, height, width] = randn`
    """
    for graph in _graphs(subject.spec):
        for tensor in (*graph.inputs, *graph.outputs):
            axes = [str(dim) for dim in tensor.type.dims]
            for index, axis in enumerate(axes):
                wide = next((word for word in _ROWS_FIRST if axis.endswith(word)), None)
                high = axis.removesuffix(wide) + _ROWS_FIRST[wide] if wide is not None else None
                if high is not None and high in axes[index + 1 :]:
                    yield finding(
                        f"'{axis}' is before '{high}' in the shape of '{tensor.name}'",
                        tensor.type_span,
                        "rows come first: write the height before the width",
                    )


# Words that a dim across ends with, and the word of the dim down that goes before it.
_ROWS_FIRST = {"width": "height", "wide": "high"}


@rule("EXP310", "fill-shape-mismatch")
def fill_shape_mismatch(subject: Subject, _: tuple[Subject, ...]) -> Iterator[Diagnostic]:
    """A fill cannot make the shape of its input: a box is four numbers along the last axis, padding is at the end of rows, and a range runs
    along an axis.

    **Why it is bad:** there is no such dummy, or it is not what the model gets in use.

    **Example:** `attention_mask: int64[batch] = padding`

    **Use instead:** `attention_mask: int64[batch, sequence] = padding`
    """
    for graph in _graphs(subject.spec):
        for tensor in (*graph.inputs, *graph.built):
            fill, axes = tensor.type.fill, [str(dim) for dim in tensor.type.dims]
            if fill is None:
                continue
            wanted = {
                "boxes": "a last axis of 4" if axes[-1:] != ["4"] else None,
                "padding": "an axis of rows and one along them" if len(axes) < 2 else None,
                "arange": "an axis to run along" if not axes else None,
            }.get(fill.name)
            if wanted is not None:
                place = tensor.type_span.within(fill.start, fill.end)
                yield finding(
                    f"'{fill.name}' needs {wanted} in the shape of '{tensor.name}'",
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
        yield from task.all_graphs


def _names(graph: GraphSpec) -> set[str]:
    return {name for tensor in (*graph.inputs, *graph.outputs) for dim in tensor.type.dims for name in dim.names()}
