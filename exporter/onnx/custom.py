"""The plan of a graph that no spec describes, from the properties of a config class and a live model.

A spec is made in memory for what a spec decides (tracer, opsets, bound); tensors and sizes are measured on the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from exporter.building.request import choose_task
from exporter.errors import UsageError, did_you_mean
from exporter.language.catalog import feature_of, resolve_task
from exporter.language.spec import DEFAULT_TRACER, Spec, TaskSpec, Tolerance, TracerChoice
from exporter.language.text import Span, Text
from exporter.models.library_names import ARGUMENTS, argument_names, own_names
from exporter.onnx.measured import measure_graph
from exporter.onnx.stand_ins import flatten_stand_ins, known_fill, observed_fill, past_of
from exporter.planning.dtypes import Array
from exporter.planning.options import Options
from exporter.planning.plan import Axis, GraphPlan, Plan, TensorPlan
from exporter.planning.planner import plan_task

if TYPE_CHECKING:
    from exporter.onnx.config import OnnxConfig

# The earlier system's bound, and what half precision leaves of it.
_BOUNDS = {"float32": (1e-5, 0.0), "float16": (5e-3, 1e-2), "bfloat16": (5e-2, 5e-2)}


def make_spec(config: OnnxConfig) -> Spec:
    """Return the spec of what a config class declares: one task, whose tensors are measured on a model later."""
    described, name = type(config), resolve_task(config.task)
    place = Span(Text(f"{described.__module__}.{described.__qualname__}", ""), 0, 0)
    task = TaskSpec(
        name=name,
        feature=feature_of(name),
        auto_class=None,
        model_class=None,
        config={},
        reference_config={},
        graphs=(),
        monolith=None,
        merged=(),
        tolerances={
            dtype: Tolerance(atol, rtol, None if dtype == "float32" else f"it computes in {dtype}", place)
            for dtype, (atol, rtol) in _BOUNDS.items()
        },
        tracer=TracerChoice(config.tracer or DEFAULT_TRACER, None),
        refused={},
        refused_when={},
        targets={},
        patches={},
        notes=(),
        when=None,
        span=place,
    )
    return Spec(
        architecture=str(getattr(config.model_config, "model_type", "") or described.__name__),
        family="",
        description=None,
        dims={},
        tasks={name: task},
        reference={},
        variants=(),
        gain=1.0,
        reference_spans={},
        minimum_opsets={},
        span=place,
    )


def plan_custom(config: OnnxConfig, model: Any, preprocessor: Any, options: Options) -> Plan:
    """Return the plan of the graph that a config class declares of a model.

    Args:
        config: declares the inputs, the outputs and the names of their open axes.
        model: the model, in evaluation mode and with the values that ``config`` overrides.
        preprocessor: is handed to ``generate_dummy_inputs()`` of ``config``; may be None.
        options: what was asked for.

    Raises:
        UsageError: the declaration and the model do not fit together; the message says where.
        ExportError: the model refuses the inputs.
    """
    spec = make_spec(config)
    (task,) = spec.tasks.values()
    options = replace(options, atol=config.atol_for_validation if options.atol is None else options.atol)
    choice = choose_task(spec, task, options)
    made = flatten_stand_ins(config.generate_dummy_inputs(preprocessor, framework="pt"))
    tensors, traced = _inputs(config, model, made)
    graph = GraphPlan("model", "model.onnx", ("model.onnx",), None, {}, (), tensors, (), ())
    measured = measure_graph(model, graph, traced, config.outputs)
    plan = plan_task(choice, model.config, is_reference=False)
    return replace(plan, graphs=(measured.graph,), sizes=replace(measured.sizes, seed=options.seed))


def _inputs(config: OnnxConfig, model: Any, made: Mapping[str, Array]) -> tuple[tuple[TensorPlan, ...], dict[str, int]]:
    """Return the declared inputs as tensors, and the size of each of their dims."""
    traced: dict[str, int] = {}
    declared = config.inputs
    lacking = [name for name in declared if name not in made]
    if lacking:
        raise UsageError(
            f"generate_dummy_inputs() of {type(config).__name__} makes no {', '.join(map(repr, lacking))}",
            help=f"it makes {', '.join(made)}",
        )
    _check_arguments(config, model)
    # A sum needs its terms first.
    for name in sorted(declared, key=lambda name: any("+" in past_of(name, each) for each in declared[name].values())):
        for index, label in declared[name].items():
            _meet(f"the axis {index} of '{name}'", past_of(name, label), made[name].shape[index : index + 1], traced)
    dims = [term for term in traced if "+" not in term]
    tensors = []
    for name in declared:
        array = made[name]
        shape = tuple(
            Axis.of(*_known_terms(past_of(name, declared[name][index]), length, traced))
            if index in declared[name]
            else length
            for index, length in enumerate(array.shape)
        )
        dtype = str(model.dtype).removeprefix("torch.") if array.dtype.kind == "f" else array.dtype.name
        fill = known_fill(name, model.config) or observed_fill(name, array)
        steps = tuple(int(step) if step.isdigit() else step for step in name.split("."))
        tensors.append(TensorPlan(name, dtype, shape, steps, fill))
    return tuple(tensors), {dim: traced[dim] for dim in dims}


def _check_arguments(config: OnnxConfig, model: Any) -> None:
    known = argument_names(model)
    arguments = dict.fromkeys(name.partition(".")[0] for name in config.inputs)
    own = own_names(arguments, known, ARGUMENTS)
    for name in arguments:
        if own.get(name, name) not in known:
            hint = did_you_mean(name, known, otherwise="it takes")
            raise UsageError(f"forward() of {type(model).__name__} takes no '{name}'", help=hint)


def _meet(place: str, label: str, shape: tuple[int, ...], traced: dict[str, int]) -> None:
    """Note the size of a dim by an axis that is called so.

    Raises:
        UsageError: there is no such axis, or the dim has another size elsewhere.
    """
    if not shape:
        raise UsageError(f"{place} does not exist", help=f"leave '{label}' out")
    (length,) = shape
    terms = Axis(label).terms
    if len(terms) == 1 and traced.setdefault(label, length) != length:
        raise UsageError(
            f"{place} is called '{label}' and is {length} long where another '{label}' is {traced[label]}",
            help="give lengths that differ names that differ",
        )
    known = sum(int(term) if term.isdigit() else traced.get(term, 0) for term in terms)
    if len(terms) > 1 and (known > length or (known != length and all(t.isdigit() or t in traced for t in terms))):
        raise UsageError(f"{place} is {length} long, which '{label}' is not", help="give it another name")


def _known_terms(label: str, length: int, traced: Mapping[str, int]) -> list[str]:
    """Return the terms of an axis, with a number for those that no axis has for itself.

    ``past_decoder_sequence + sequence`` is ``past_decoder_sequence + 1`` where no input is ``sequence`` long.
    """
    terms = Axis(label).terms
    known = [term for term in terms if term.isdigit() or term in traced]
    if len(known) == len(terms):
        return list(terms)
    rest = length - sum(int(term) if term.isdigit() else traced[term] for term in known)
    return [*known, str(rest)]
