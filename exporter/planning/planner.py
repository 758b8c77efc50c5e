"""`Choice` + model config → `Plan`: every graph, name, dtype, axis and size spelled out."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

from exporter.errors import UsageError
from exporter.language.catalog import resolve_task, suggest_task, task_of_word
from exporter.language.class_names import task_of_class
from exporter.language.diagnostics import SpecError
from exporter.language.expressions import ProcessorValues
from exporter.language.findings import TOO_LARGE
from exporter.language.spec import (
    LAYER_DIM,
    LAYER_SLOT,
    DerivedDim,
    DynamicDim,
    GraphSpec,
    Note,
    Spec,
    TaskSpec,
    TensorSpec,
    overlay_config,
)
from exporter.language.tensor_type import WORDY
from exporter.language.text import Span
from exporter.planning.choices import Choice, kind_of_internal, refuse_config
from exporter.planning.heads import pool_hidden_states
from exporter.planning.pinning import check_leading, pin_dims, pinned_dims
from exporter.planning.plan import (
    Axis,
    Bound,
    FillPlan,
    GraphPlan,
    ModelPlan,
    Plan,
    Recording,
    SizePlan,
    SpecFile,
    TensorPlan,
)
from exporter.planning.points import open_dims, plan_points, plan_probes
from exporter.planning.sizes import Sizes

# Each brings tensors to the plan. The deepest models have a tenth of them.
_MAX_LAYERS = 2_000
# A checkpoint is never held closer than this part of the largest value of an output: bounds are measured on references
# of a few layers, and every layer of a deep model rounds once more.
CHECKPOINT_RTOL = 1e-5
# Where graphs are checked in a row of nothing but padding. In half precision many models hide what is padded with the
# lowest number there is, and what that makes of such a row hangs on how each runtime rounds beyond it.
_BLANK_ROW_DTYPES = ("float32",)


def find_task(spec: Spec, name: str) -> TaskSpec:
    """Return a task of a spec by Hub name, any word that means it, or the class of a model.

    Raises:
        UsageError: the word is no task, or the architecture does not have it.
    """
    is_class = name[:1].isupper() and task_of_word(name) is None
    task = (task_of_class(name, spec) if is_class else None) or spec.tasks.get(resolve_task(name))
    if task is None:
        hint = suggest_task(name, spec.tasks, otherwise="its tasks are")
        raise UsageError(f"the architecture '{spec.architecture}' has no task '{name}'", help=hint)
    return task


def plan_task(
    choice: Choice, config: Any, *, processor: ProcessorValues | None = None, is_reference: bool = True
) -> Plan:
    """Make the plan of what was chosen for a concrete config.

    Args:
        choice: the task, and what its request means.
        config: a transformers config object, with the task's own values already applied.
        processor: the settings of the checkpoint's processor. Default: a processor that says nothing.
        is_reference: the config is that of the spec's reference, and not of a checkpoint. A reference is judged element
            by element. A checkpoint is judged by the largest value of an output: small outputs of a trained model are
            sums of large terms that cancel, and carry the rounding of those terms.

    Raises:
        UsageError: the config is one the spec refuses, or a dim lacks a size; the message gives the reason.
        SpecError: an expression does not hold for this config; the diagnostic has its place.
    """
    spec, task, options, target = choice.spec, choice.task, choice.options, choice.target
    sizes = Sizes(spec, config, processor)
    refuse_config(choice, sizes)
    if task.when is not None and not sizes.holds(task.when):
        raise UsageError(
            f"the task '{task.name}' needs a config where {task.when.text}", help=f"see {task.when.span.location()}"
        )
    graphs = _plan_graphs(choice, sizes)
    fixed = pin_dims(choice, *open_dims(sizes, graphs))
    if fixed:
        left_open = [dim for setting, dim in target.open_by.items() if options.settings.get(setting)]
        dims = {**spec.dims, **pinned_dims(spec.dims, fixed, left_open)}
        sizes = Sizes(dataclasses.replace(spec, dims=dims), config, processor)
        graphs = _plan_graphs(choice, sizes)
        check_leading(graphs, task.name, left_open)
        fixed = {name: size for name, size in fixed.items() if name not in left_open}
    notes = (_note_text(note, sizes) for note in task.notes if note.when is None or sizes.holds(note.when))
    plan = Plan(
        task=task.name,
        feature=task.feature,
        spec=SpecFile(spec.path, spec.digest),
        model=_plan_model(choice, is_reference=is_reference),
        recording=_plan_recording(choice),
        bound=_plan_bound(choice, is_reference=is_reference),
        sizes=SizePlan(
            points=tuple(plan_points(sizes, graphs, target, blank_rows=choice.computed in _BLANK_ROW_DTYPES)),
            probes=dict(plan_probes(sizes, graphs)) if target.probed else {},
            fixed=fixed,
            seed=options.seed,
        ),
        graphs=graphs,
        notes=(*notes, *target.notes),
    )
    return choice.arrangement.arrange(pool_hidden_states(plan) if task.pooled else plan)


def _plan_model(choice: Choice, *, is_reference: bool) -> ModelPlan:
    spec, task, options = choice.spec, choice.task, choice.options
    return ModelPlan(
        architecture=spec.architecture,
        auto_class=task.auto_class,
        model_class=task.model_class,
        dtype=options.dtype,
        config=dict(task.config),
        is_reference=is_reference,
        reference_config=overlay_config(spec.reference, task.reference_config),
        reference_gain=spec.gain,
        # The fused attention keeps no weights.
        attention="eager" if options.output_attentions else None,
    )


def _plan_recording(choice: Choice) -> Recording:
    task, options = choice.task, choice.options
    limit = task.targets.get(choice.target.name)
    return Recording(
        target=choice.target.name,
        layout=choice.arrangement.name,
        settings={**(limit.settings if limit is not None else {}), **options.settings},
        opset=choice.opset,
        tracer=choice.tracer,
        tracer_because=choice.tracer_because,
        patches=dict(choice.patches),
        weights=options.weights,
    )


def _plan_bound(choice: Choice, *, is_reference: bool) -> Bound:
    options, tolerance = choice.options, choice.tolerance
    cast = f"operations on {options.dtype} are cast to {choice.computed}" if choice.computed != options.dtype else None
    because = "; ".join(filter(None, (cast, tolerance.because if tolerance is not None else None)))
    floor = 0.0 if is_reference else CHECKPOINT_RTOL
    return Bound(
        atol=options.atol if options.atol is not None else tolerance.atol if tolerance else 0.0,
        rtol=options.rtol if options.rtol is not None else max(tolerance.rtol if tolerance else 0.0, floor),
        rtol_of="element" if is_reference else "output",
        because=because or None,
    )


def _note_text(note: Note, sizes: Sizes) -> str:
    return note.fill({name: sizes.static(name, note.span) for name in note.dims})


def _plan_graphs(choice: Choice, sizes: Sizes) -> tuple[GraphPlan, ...]:
    return tuple(_plan_graph(graph, sizes, choice) for graph in choice.graphs)


def _plan_graph(graph: GraphSpec, sizes: Sizes, choice: Choice) -> GraphPlan:
    dtype, asked = choice.options.dtype, choice.options.internals
    internals = [tensor for tensor in graph.internals if kind_of_internal(tensor) in asked]
    file = graph.component_stem + choice.target.suffix
    return GraphPlan(
        component=graph.component,
        file=file,
        files=choice.target.files(file, choice.options.settings),
        module=graph.module,
        constants={
            **graph.constants,
            **{f"output_{kind}": True for kind in asked if any(kind_of_internal(each) == kind for each in internals)},
        },
        built=tuple(_plan_tensors(graph.built, sizes, dtype, is_input=True)),
        inputs=tuple(_plan_tensors(graph.inputs, sizes, dtype, is_input=True)),
        outputs=(
            *_plan_tensors(graph.outputs, sizes, dtype, is_input=False),
            *(planned for tensor in internals for planned in _plan_tensors([tensor], sizes, dtype, is_input=False)),
        ),
        ignored=tuple(name for path in graph.ignored for name in _repeat_name(path, sizes, graph.span)),
    )


def _repeat_name(name: str, sizes: Sizes, span: Span) -> list[str]:
    if LAYER_SLOT not in name:
        return [name]
    return [name.replace(LAYER_SLOT, str(layer)) for layer in _layers(sizes, span)]


def _layers(sizes: Sizes, span: Span, dim: str | None = None) -> range:
    """Return the layers that a name is repeated for.

    Raises:
        SpecError: there are more of them than any model has.
    """
    count = sizes.static(dim or LAYER_DIM, span)
    if count > _MAX_LAYERS:
        message = f"a name is repeated for {count:,} layers; at most {_MAX_LAYERS:,} are allowed"
        raise SpecError([TOO_LARGE.at(message, span, "see what the config says of the number of layers")])
    return range(count)


def _plan_tensors(tensors: Iterable[TensorSpec], sizes: Sizes, dtype: str, *, is_input: bool) -> Iterator[TensorPlan]:
    """Yield the tensors in graph order; consecutive ``{layer}`` names repeat as a group (0.key, 0.value, 1.key, …)."""
    group: list[TensorSpec] = []
    for tensor in (*tensors, None):
        if tensor is not None and LAYER_SLOT in tensor.name:
            group.append(tensor)
            continue
        if group:
            for layer in _layers(sizes, group[0].span, group[0].count):
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


def _plan_axis(terms: list[str | int | float], sizes: Sizes, span: Span) -> int | Axis:
    """Return an integer for a static axis, else the symbolic dim with static names replaced by their sizes."""
    parts: list[str] = []
    for term in terms:
        if isinstance(term, str) and isinstance(sizes.spec.dims.get(term), DynamicDim | DerivedDim):
            parts.append(term)
        else:
            parts.append(str(sizes.static(term, span) if isinstance(term, str) else int(term)))
    if all(part.isdigit() for part in parts):
        return sum(map(int, parts))
    # Axes of one length need one name. On a config without a prefix, `prefix + sequence` is as long as the `sequence`
    # of the inputs, and is called `sequence`: a term of size 0 is left out.
    return Axis.of(*(part for part in parts if part != "0"))


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
