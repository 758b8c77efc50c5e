"""`Spec` + model config + task + options → `Plan`: every graph, name, dtype, axis and size spelled out.

A plan has no expressions and no branches left and is JSON-serialisable; ``exporter plan`` prints it, workers receive it, and
everything after it (export, dummies, verification) reads nothing else.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from exporter.catalog import resolve_task
from exporter.choosing import choose_graphs, choose_opset, choose_tracer, refuse_config, refuse_impossible
from exporter.diagnostics import UsageError, did_you_mean
from exporter.expressions import expression_names
from exporter.fixing import check_leading, fix_dims, fixed_dims
from exporter.layouts import DEFAULT_LAYOUT, find_layout
from exporter.sizing import Sizes
from exporter.source import Data, Span
from exporter.spec import (
    LAYER_DIM,
    LAYER_SLOT,
    DerivedDim,
    DynamicDim,
    GraphSpec,
    Note,
    Spec,
    TaskSpec,
    TensorSpec,
    Tolerance,
    overlay_config,
)
from exporter.targets import DEFAULT_TARGET, Setting, Target, find_target
from exporter.tensor_type import WORDY
from exporter.torch_process import COMPILED, PROGRAM

DEFAULT_SEED = 0
# A checkpoint is never held closer than this part of the largest value of an output: bounds are measured on references of a
# few layers, and every layer of a deep model rounds once more.
CHECKPOINT_RTOL = 1e-5
# A protobuf message ends at 2 GiB, and the graph itself needs some of it: more weights than this go beside the file.
EMBEDDED_LIMIT = (1 << 31) - (1 << 26)


@dataclass(frozen=True, slots=True)
class Options:
    """What a build is asked for beside model and task; None means the spec's or the engine's default.

    ``monolith`` asks for a task of several graphs as one, ``merged`` for one decoder that serves every step, ``layout`` for the
    files of a kind of consumer; ``variant`` (from 1) for a
    variant of the spec in place of its reference.
    ``dims`` fixes dynamic dims at sizes, ``static`` asks that none be left open; ``settings`` are the target's own options.
    """

    target: str = DEFAULT_TARGET
    dims: Mapping[str, int] = dataclasses.field(default_factory=dict)
    static: bool = False
    settings: Mapping[str, Setting] = dataclasses.field(default_factory=dict)
    opset: int | None = None
    dtype: str = "float32"
    tracer: str | None = None
    atol: float | None = None
    rtol: float | None = None
    weights: str = "auto"
    monolith: bool = False
    merged: bool = False
    layout: str = DEFAULT_LAYOUT
    variant: int | None = None
    seed: int = DEFAULT_SEED


@dataclass(frozen=True, slots=True)
class FillPlan:
    """How a dummy is made, with every dim replaced by its size."""

    name: str
    args: tuple[int | float | str, ...]
    ending: int | None = None


@dataclass(frozen=True, slots=True)
class TensorPlan:
    """One tensor of a graph.

    ``shape`` holds integers for static axes and symbolic dims (``past_sequence + sequence``) for dynamic ones. ``path`` is
    the ``forward()`` argument an input is passed as (empty: the model is not given it), or the output field an output is read from.
    ``beyond`` is the symbolic dim that counts how much of an input the cache holds already.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    path: tuple[str | int, ...]
    fill: FillPlan | None = None
    unused: str | None = None
    beyond: str | None = None

    def sizes_at(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """Return the concrete shape at the given sizes of the dynamic dims."""
        return tuple(axis_size(axis, sizes) for axis in self.shape)

    def dynamic_axes(self) -> dict[int, str]:
        """Return the symbolic dims by axis."""
        return {index: axis for index, axis in enumerate(self.shape) if isinstance(axis, str)}


@dataclass(frozen=True, slots=True)
class GraphPlan:
    """One graph file: its tensors in order, and how the module behind it is called."""

    component: str
    file: str
    module: str | None
    constants: Mapping[str, bool | int | float | str]
    built: tuple[TensorPlan, ...]
    inputs: tuple[TensorPlan, ...]
    outputs: tuple[TensorPlan, ...]
    ignored: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Point:
    """Sizes of all dynamic dims at once: the traced ones, or one set to verify at. ``all_padded``: masks are padded in every row,
    where there may be one row only."""

    name: str
    sizes: Mapping[str, int]
    all_padded: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """One task of one model, concrete. The bound on a difference is ``atol + rtol * |reference|``, of the element or, with ``rtol_of``
    ``output``, of the largest value of the output at that point.

    ``opset`` is None for a target that has none. ``fixed`` are dims that are dynamic in the spec and have one size here. ``probes``
    are, for each dynamic dim, points that differ from the traced one in that dim alone."""

    architecture: str
    task: str
    feature: str
    spec_file: str
    spec_digest: str
    auto_class: str | None
    model_class: str | None
    config: Mapping[str, Data]
    reference_config: Mapping[str, Data]
    reference_gain: float
    target: str
    layout: str
    settings: Mapping[str, Setting]
    fixed: Mapping[str, int]
    dtype: str
    opset: int | None
    tracer: str
    tracer_because: str | None
    atol: float
    rtol: float
    rtol_of: str
    tolerance_because: str | None
    patches: Mapping[str, str]
    notes: tuple[str, ...]
    weights: str
    seed: int
    points: tuple[Point, ...]
    probes: Mapping[str, tuple[Point, ...]]
    graphs: tuple[GraphPlan, ...]

    @property
    def trace(self) -> Point:
        """The sizes the model is traced at."""
        return self.points[0]

    def programs(self, graph: GraphPlan) -> list[str]:
        """Return the files that each hold a graph: its own, and what that was compiled to."""
        compiled = [graph.file.removesuffix(PROGRAM) + COMPILED] if self.settings.get("aoti") else []
        return [graph.file, *compiled]

    def to_data(self) -> dict[str, Any]:
        """Return the plan as JSON-serialisable data."""
        return dataclasses.asdict(self)

    @staticmethod
    def from_data(data: Mapping[str, Any]) -> Plan:
        """Return the plan that `to_data` was given."""

        def tensors(items: Iterable[Mapping[str, Any]]) -> tuple[TensorPlan, ...]:
            return tuple(_tensor_from_data(item) for item in items)

        graphs = tuple(
            GraphPlan(
                **{
                    **graph,
                    "built": tensors(graph["built"]),
                    "inputs": tensors(graph["inputs"]),
                    "outputs": tensors(graph["outputs"]),
                    "ignored": tuple(graph["ignored"]),
                }
            )
            for graph in data["graphs"]
        )
        points = tuple(Point(**point) for point in data["points"])
        probes = {name: tuple(Point(**point) for point in group) for name, group in data["probes"].items()}
        return Plan(**{**data, "graphs": graphs, "points": points, "probes": probes, "notes": tuple(data["notes"])})


def _tensor_from_data(data: Mapping[str, Any]) -> TensorPlan:
    fill = data["fill"]
    return TensorPlan(
        **{
            **data,
            "shape": tuple(data["shape"]),
            "path": tuple(data["path"]),
            "fill": FillPlan(**{**fill, "args": tuple(fill["args"])}) if fill is not None else None,
        }
    )


def describe_recording(plan: Plan) -> str:
    """Return how the graphs of a plan are recorded, in a few words."""
    return plan.target if plan.opset is None else f"opset {plan.opset}, {plan.tracer} tracer"


def axis_size(axis: int | str, sizes: Mapping[str, int]) -> int:
    """Return the length of one axis: ``past_sequence + sequence`` at ``{past_sequence: 5, sequence: 6}`` is 11."""
    if isinstance(axis, int):
        return axis
    return sum(int(term) if term.isdigit() else sizes[term] for term in axis.split(" + "))


def axis_names(axis: int | str) -> tuple[str, ...]:
    """Return the dynamic dims an axis is made of."""
    return tuple(term for term in axis.split(" + ") if not term.isdigit()) if isinstance(axis, str) else ()


def find_task(spec: Spec, name: str) -> TaskSpec:
    """Return a task of a spec by Hub name or retired feature name.

    Raises:
        UsageError: the word is no task, or the architecture does not have it.
    """
    task = spec.tasks.get(resolve_task(name))
    if task is None:
        hint = did_you_mean(name, spec.tasks, otherwise="its tasks are")
        raise UsageError(f"the architecture '{spec.architecture}' has no task '{name}'", help=hint)
    return task


def plan_task(spec: Spec, task: TaskSpec, config: Any, options: Options, *, rtol_of: str = "element") -> Plan:
    """Make the plan of one task for a concrete config.

    Args:
        spec: the architecture.
        task: one of its tasks.
        config: a transformers config object, with ``task.config`` already applied.
        options: what was asked for.
        rtol_of: what ``rtol`` is a part of: each ``element``, or the largest value of the ``output``. A reference is judged by
            element. A trained model's outputs are sums of terms far larger than the smallest of them, and so is their rounding.

    Raises:
        UsageError: the opset, dtype or tracer cannot be had; the message gives the reason.
        SpecError: an expression does not hold for this config; the diagnostic has its place.
    """
    tracer = choose_tracer(task, options)
    target = find_target(options.target)
    refuse_impossible(spec, task, options)
    sizes = Sizes(spec, config)
    refuse_config(spec, task, (tracer, options.dtype, *(["merged"] if options.merged else [])), sizes)
    if task.when is not None and not sizes.holds(task.when):
        raise UsageError(
            f"the task '{task.name}' needs a config where {task.when.text}", help=f"see {task.when.span.location()}"
        )
    graphs = _plan_graphs(spec, task, sizes, options)
    fixed = fix_dims(task, target, _open_dims(sizes, graphs), options)
    if fixed:
        left_open = [dim for setting, dim in target.open.items() if options.settings.get(setting)]
        dims = {**spec.dims, **fixed_dims(spec.dims, fixed, left_open)}
        sizes = Sizes(dataclasses.replace(spec, dims=dims), config)
        graphs = _plan_graphs(spec, task, sizes, options)
        check_leading(graphs, task, left_open)
        fixed = {name: size for name, size in fixed.items() if name not in left_open}
    limit = task.targets.get(target.name)
    computed = target.computed_dtype(options.settings, options.dtype)
    tolerance = task.tolerances.get(computed)
    floor = CHECKPOINT_RTOL if rtol_of == "output" else 0.0
    if tolerance is None and (options.atol is None or options.rtol is None):
        cast = f", which the target {target.name} casts {options.dtype} to" if computed != options.dtype else ""
        raise UsageError(
            f"the spec has no tolerance for {computed}{cast}",
            help="give --atol and --rtol, or add one under 'tolerances'",
        )
    plan = Plan(
        architecture=spec.architecture,
        task=task.name,
        feature=task.feature,
        spec_file=spec.path,
        spec_digest=spec.digest,
        auto_class=task.auto_class,
        model_class=task.model_class,
        config=dict(task.config),
        reference_config=overlay_config(spec.reference, task.reference_config),
        reference_gain=spec.gain,
        target=target.name,
        layout=options.layout,
        settings={**(limit.settings if limit is not None else {}), **options.settings},
        fixed=fixed,
        dtype=options.dtype,
        opset=choose_opset(spec, options) if target.has_opset else None,
        tracer=tracer,
        tracer_because=task.tracer.because if tracer == task.tracer.name else None,
        atol=options.atol if options.atol is not None else tolerance.atol if tolerance else 0.0,
        rtol=options.rtol if options.rtol is not None else max(tolerance.rtol if tolerance else 0.0, floor),
        rtol_of=rtol_of,
        tolerance_because=_because(tolerance, computed, options),
        patches={**_patches(task, choose_graphs(spec, task, options)), **target.patches},
        notes=(
            *(_note_text(note, sizes) for note in task.notes if note.when is None or sizes.holds(note.when)),
            *target.notes,
        ),
        weights=options.weights,
        seed=options.seed,
        points=tuple(_points(sizes, graphs, target)),
        probes={} if target.has_opset else dict(_probes(sizes, graphs)),
        graphs=graphs,
    )
    return find_layout(options.layout).arrange(plan)


def _because(tolerance: Tolerance | None, computed: str, options: Options) -> str | None:
    """Return why the bound is as wide as it is, where there is something to say."""
    cast = f"operations on {options.dtype} are cast to {computed}" if computed != options.dtype else None
    return "; ".join(filter(None, (cast, tolerance.because if tolerance is not None else None))) or None


def _patches(task: TaskSpec, graphs: Iterable[GraphSpec]) -> dict[str, str]:
    return {**task.patches, **{name: why for graph in graphs for name, why in graph.patches.items()}}


def _note_text(note: Note, sizes: Sizes) -> str:
    return note.fill({name: sizes.static(name, note.span) for name in note.dims})


def _plan_graphs(spec: Spec, task: TaskSpec, sizes: Sizes, options: Options) -> tuple[GraphPlan, ...]:
    suffix = find_target(options.target).suffix
    return tuple(_plan_graph(graph, sizes, options.dtype, suffix) for graph in choose_graphs(spec, task, options))


def _plan_graph(graph: GraphSpec, sizes: Sizes, dtype: str, suffix: str) -> GraphPlan:
    return GraphPlan(
        component=graph.component,
        file=graph.component_stem + suffix,
        module=graph.module,
        constants=dict(graph.constants),
        built=tuple(_plan_tensors(graph.built, sizes, dtype, is_input=True)),
        inputs=tuple(_plan_tensors(graph.inputs, sizes, dtype, is_input=True)),
        outputs=tuple(_plan_tensors(graph.outputs, sizes, dtype, is_input=False)),
        ignored=tuple(name for path in graph.ignored for name in _repeat_name(path, sizes, graph.span)),
    )


def _repeat_name(name: str, sizes: Sizes, span: Span) -> list[str]:
    if LAYER_SLOT not in name:
        return [name]
    return [name.replace(LAYER_SLOT, str(layer)) for layer in range(sizes.static(LAYER_DIM, span))]


def _plan_tensors(tensors: Iterable[TensorSpec], sizes: Sizes, dtype: str, *, is_input: bool) -> Iterator[TensorPlan]:
    """Yield the tensors in graph order; consecutive ``{layer}`` names repeat as a group (0.key, 0.value, 1.key, …)."""
    group: list[TensorSpec] = []
    for tensor in (*tensors, None):
        if tensor is not None and LAYER_SLOT in tensor.name:
            group.append(tensor)
            continue
        if group:
            for layer in range(sizes.static(LAYER_DIM, group[0].span)):
                for member in group:
                    yield from _plan_tensor(member, sizes, dtype, layer, is_input=is_input)
            group = []
        if tensor is not None:
            yield from _plan_tensor(tensor, sizes, dtype, None, is_input=is_input)


def _plan_tensor(
    tensor: TensorSpec, sizes: Sizes, dtype: str, layer: int | None, *, is_input: bool
) -> Iterator[TensorPlan]:
    if tensor.when is not None and not sizes.holds(tensor.when):
        return
    path = tensor.argument if is_input else tensor.field
    steps = (step if layer is None else step.replace(LAYER_SLOT, str(layer)) for step in path.split(".") if step)
    yield TensorPlan(
        name=tensor.name if layer is None else tensor.name.replace(LAYER_SLOT, str(layer)),
        dtype=dtype if tensor.type.dtype == "float" else tensor.type.dtype,
        shape=tuple(
            _plan_axis([term.value for term in dim.terms], sizes, tensor.type_span) for dim in tensor.type.dims
        ),
        path=tuple(int(step) if step.isdigit() else step for step in steps),
        fill=_plan_fill(tensor, sizes),
        unused=tensor.unused,
        beyond=tensor.beyond,
    )


def _plan_axis(terms: list[str | int | float], sizes: Sizes, span: Span) -> int | str:
    """Return an integer for a static axis, else the symbolic dim with static names replaced by their sizes."""
    parts: list[str] = []
    for term in terms:
        if isinstance(term, str) and isinstance(sizes.spec.dims.get(term), DynamicDim | DerivedDim):
            parts.append(term)
        else:
            parts.append(str(sizes.static(term, span) if isinstance(term, str) else int(term)))
    if all(part.isdigit() for part in parts):
        return sum(map(int, parts))
    # What a config leaves out adds nothing, and the symbolic dim of the rest is the plain one of its inputs.
    return " + ".join(part for part in parts if part != "0")


def _plan_fill(tensor: TensorSpec, sizes: Sizes) -> FillPlan | None:
    fill = tensor.type.fill
    if fill is None:
        return None
    words = fill.name in WORDY
    args = tuple(
        sizes.static(arg.value, tensor.type_span) if isinstance(arg.value, str) and not words else arg.value
        for arg in fill.args
    )
    ending = fill.ending.value if fill.ending is not None else None
    return FillPlan(
        fill.name,
        args,
        sizes.static(ending, tensor.type_span)
        if isinstance(ending, str)
        else int(ending)
        if ending is not None
        else None,
    )


def _open_dims(sizes: Sizes, graphs: Iterable[GraphPlan]) -> tuple[list[DynamicDim], list[DerivedDim]]:
    """Return the dynamic dims that some graph leaves open, and those that follow from them."""
    spec = sizes.spec
    used = {
        name
        for graph in graphs
        for tensor in (*graph.inputs, *graph.outputs)
        for axis in tensor.shape
        for name in axis_names(axis)
    }
    derived: list[DerivedDim] = []
    while found := [
        dim for name, dim in spec.dims.items() if name in used and isinstance(dim, DerivedDim) and dim not in derived
    ]:
        # A dim comes after those that follow from it, and is evaluated before them.
        derived = [*found, *derived]
        used.update(name for dim in found for name in expression_names(dim.value.text))
    return [dim for name, dim in spec.dims.items() if name in used and isinstance(dim, DynamicDim)], derived


def _points(sizes: Sizes, graphs: Iterable[GraphPlan], target: Target) -> Iterator[Point]:
    """Yield the trace point, then the check points: the k-th takes the k-th size of every dim, shorter lists cycling.

    With a batch of one size no other size has a padded row, or one that is not: it is traced with every row padded, and checked as
    any graph is.
    """
    dims, derived = _open_dims(sizes, graphs)
    traced = _point("trace", {dim.name: dim.trace for dim in dims}, sizes, derived)
    checks = [
        _point("check", {dim.name: dim.check[index % len(dim.check)] for dim in dims}, sizes, derived)
        for index in range(max((len(dim.check) for dim in dims), default=0))
    ]
    if not dims or target.all_static:
        checks = [traced, *checks]
        traced = dataclasses.replace(traced, all_padded=True)
    yield traced
    for number, point in enumerate(checks, start=1):
        yield dataclasses.replace(point, name=f"check {number}")


def _probes(sizes: Sizes, graphs: Iterable[GraphPlan]) -> Iterator[tuple[str, tuple[Point, ...]]]:
    """Yield for each dynamic dim the points at which it alone has another size than the traced one."""
    dims, derived = _open_dims(sizes, graphs)
    traced = {dim.name: dim.trace for dim in dims}
    for dim in dims:
        others = [size for size in dim.check if size != dim.trace]
        yield (
            dim.name,
            tuple(_point(f"{dim.name} {size}", {**traced, dim.name: size}, sizes, derived) for size in others),
        )


def _point(name: str, dynamic: dict[str, int], sizes: Sizes, derived: Iterable[DerivedDim]) -> Point:
    known = dict(dynamic)
    for dim in derived:
        known[dim.name] = sizes.derived(dim, known)
    return Point(name, known)
