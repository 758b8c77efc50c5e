"""Compare what a spec declares with what its model does, without exporting anything.

``examine_spec`` builds each reference and runs it eagerly at every point; ``lint --models`` shows what it finds.
``examine_outputs`` is the same judgement of one graph, which a build makes before it traces.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from exporter.errors import ExporterError, ExportError, did_you_mean
from exporter.language.diagnostics import Diagnostic, SpecError
from exporter.language.document import Data
from exporter.language.expressions import expression_names, expression_paths
from exporter.language.findings import (
    MISSING_OUTPUT,
    NO_AUTO_CLASS,
    NOT_PROVED,
    REFERENCE_DOES_NOT_BUILD,
    SHAPE_DISAGREES,
    UNDECLARED_OUTPUT,
    UNKNOWN_ARGUMENT,
    UNKNOWN_CONFIG_KEY,
    Rule,
)
from exporter.language.spec import (
    LAYER_DIM,
    LAYER_SLOT,
    Expression,
    GraphSpec,
    Spec,
    StaticDim,
    TaskSpec,
    overlay_config,
)
from exporter.language.text import Span
from exporter.models.arrays import to_torch
from exporter.models.configs import find_class, make_config
from exporter.models.flat_model import FlatModel, find_module, undeclared_outputs
from exporter.models.library_names import ARGUMENTS, argument_names, own_names
from exporter.models.oracle import make_oracle, run_model
from exporter.models.references import make_reference
from exporter.models.sentence_head import SentenceHead, attach_head
from exporter.planning.dependence import CLEARLY, Observed, find_independent
from exporter.planning.dummies import make_dummies
from exporter.planning.options import Options
from exporter.planning.plan import GraphPlan, Plan, Point, TensorPlan
from exporter.steps import Progress

# Makes the plan of a task for a config: what is built by default is known by those who know targets and layouts.
Planner = Callable[[Spec, TaskSpec, Any, Options], Plan]


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One way in which a model's outputs are not what the spec declares; ``output`` is the declared one it is about."""

    rule: Rule
    message: str
    help: str
    output: str | None = None


def examine_outputs(model: Any, graph: GraphPlan, plan: Plan, point: Point) -> Iterator[Mismatch]:
    """Run a graph's model once at a point, and yield how its outputs differ from the declared ones.

    They differ where the model returns a tensor that nobody declared, returns none for a declared output, or returns it
    in another shape or dtype.

    Raises:
        ExportError: the model refuses the inputs.
    """
    flat = FlatModel(model, graph).eval()
    inputs = tuple(map(to_torch, make_dummies(graph, point, plan.sizes.seed).values()))
    leaves = run_model(flat.leaves, inputs, f"'{graph.component}' of {plan.title}", plan.sizes.fixed)
    undeclared = undeclared_outputs(graph, leaves)
    if undeclared:
        yield Mismatch(
            UNDECLARED_OUTPUT,
            f"the model returns {', '.join(undeclared)}, which '{graph.component}' does not declare",
            "declare it under 'outputs:', or under 'outputs_ignored:' with the reason",
        )
    for tensor in graph.outputs:
        yield from _examine_output(tensor, leaves, point)


def _examine_output(tensor: TensorPlan, leaves: Mapping[str, torch.Tensor], point: Point) -> Iterator[Mismatch]:
    path = ".".join(map(str, tensor.path))
    leaf = leaves.get(path)
    if leaf is None:
        output = f" for '{tensor.name}'" if path != tensor.name else ""
        yield Mismatch(
            MISSING_OUTPUT,
            f"the model returns no '{path}'{output}",
            f"it returns {', '.join(leaves)}",
            tensor.name,
        )
        return
    shape, declared = tuple(leaf.shape), tensor.sizes_at(point.sizes)
    dtype = str(leaf.dtype).removeprefix("torch.")
    if shape != declared or dtype != tensor.dtype:
        sizes = ", ".join(f"{name} {size}" for name, size in point.sizes.items()) or "fixed sizes"
        yield Mismatch(
            SHAPE_DISAGREES,
            f"the output '{tensor.name}' is {dtype}{list(shape)}, and the spec declares "
            f"{tensor.dtype}[{', '.join(map(str, tensor.shape))}], which is {list(declared)} at {sizes}",
            "correct the type of the output in the spec",
            tensor.name,
        )


def examine_spec(spec: Spec, planner: Planner, progress: Progress = lambda _: None) -> list[Diagnostic]:
    """Build every reference of a spec and return what disagrees with the spec, as findings with places.

    Args:
        spec: the spec.
        planner: makes the plan of a task for a config.
        progress: told what is being done.
    """
    findings: dict[tuple[str, str, int], Diagnostic] = {}
    examiner = _Examiner(spec, planner)
    for task in spec.tasks.values():
        progress(f"examining {spec.architecture} {task.name}")
        for finding in examiner.examine(task):
            findings.setdefault((finding.rule, finding.span.source.name, finding.span.start), finding)
    return list(findings.values())


class _Examiner:
    """Examines the tasks of a spec one after another, and makes each reference once."""

    def __init__(self, spec: Spec, planner: Planner) -> None:
        self.spec = spec
        self.planner = planner
        self.models: dict[str, Any] = {}

    def examine(self, task: TaskSpec) -> Iterator[Diagnostic]:
        """Yield the findings in one task, up to one that leaves no model to examine, such as a refused config."""
        spec = self.spec
        values = overlay_config(spec.reference, task.reference_config, task.config)
        try:
            known = make_config(spec.architecture, _kinds_of_parts(values))
            config = make_config(spec.architecture, values)
        except ExporterError as error:
            yield REFERENCE_DOES_NOT_BUILD.at(error.message, self._reference_place(), help=error.help)
            return
        unknown = list(self._unknown_keys(values, known, task))
        yield from unknown
        yield from self._unknown_reads(config, task)
        try:
            options = Options(atol=0.0, rtol=0.0)
            plan = self.planner(spec, task, config, options)
            planned = [(plan, task.graphs)]
            if task.monolith is not None:
                planned.append((self.planner(spec, task, config, replace(options, monolith=True)), (task.monolith,)))
            if task.merged and "merged" not in task.refused:
                planned.append((self.planner(spec, task, config, replace(options, merged=True)), task.merged))
            find_class(plan, config)
        except SpecError as error:
            yield from error.diagnostics
            return
        except ExporterError as error:
            yield NO_AUTO_CLASS.at(error.message, task.span, help=error.help)
            return
        try:
            model = self._model(plan)
            for form, graphs in planned:
                yield from self._examine_graphs(form, graphs, model)
        except ExporterError as error:
            place = self._reference_place() if not unknown else task.span
            yield REFERENCE_DOES_NOT_BUILD.at(error.message, place, help=error.help)

    def _unknown_keys(self, values: Mapping[str, Data], known: Any, task: TaskSpec) -> Iterator[Diagnostic]:
        for path in _unknown_paths(values, known):
            key = path.rpartition(".")[2]
            names = [name for name in vars(known) if not name.startswith("_")]
            span = self.spec.reference_spans.get(path.partition(".")[0], task.span)
            yield UNKNOWN_CONFIG_KEY.at(
                f"the config of '{self.spec.architecture}' has no '{path}'",
                span,
                help=did_you_mean(key, names),
            )

    def _unknown_reads(self, config: Any, task: TaskSpec) -> Iterator[Diagnostic]:
        """Yield the keys that the dims of a task read and the config does not have.

        Every branch of an expression counts, that which this config does not take too: of ``config.a if config.b else
        config.c`` all three. A key that the expression asks for with ``is defined`` may be absent.
        """
        tensors = [tensor for graph in task.all_graphs for tensor in (*graph.inputs, *graph.outputs, *graph.built)]
        names = [str(term.value) for tensor in tensors for term in tensor.type.terms()]
        if any(LAYER_SLOT in tensor.name for tensor in tensors):
            names.append(LAYER_DIM)
        for name in names:  # grows by what the expressions name
            dim = self.spec.dims.get(name)
            if not isinstance(dim, StaticDim) or not isinstance(dim.value, Expression):
                continue
            text = dim.value.text
            names += [other for other in expression_names(text) if other not in names]
            asked = re.findall(r"\bconfig\.(\w+) is (?:not )?defined\b", text)
            for key in dict.fromkeys(path.partition(".")[0] for path in expression_paths(text)):
                at = text.index(f"config.{key}") + len("config.") if f"config.{key}" in text else None
                span = dim.value.span.within(at, at + len(key)) if at is not None else dim.value.span
                known = [known_key for known_key in vars(config) if not known_key.startswith("_")]
                if key in asked and asked.count(key) == len(re.findall(rf"\bconfig\.{key}\b", text)):
                    message = f"the expression asks whether '{key}' is defined and never reads it"
                    yield UNKNOWN_CONFIG_KEY.at(message, span, help=did_you_mean(key, known))
                elif key not in asked and not hasattr(config, key):
                    message = f"the config has no '{key}'"
                    yield UNKNOWN_CONFIG_KEY.at(message, span, help=did_you_mean(key, known))

    def _model(self, plan: Plan) -> Any:
        key = repr(
            (
                plan.model.model_class,
                plan.model.auto_class,
                sorted(plan.model.config.items()),
                sorted(plan.model.reference_config.items()),
                plan.model.head,
            )
        )
        if key not in self.models:
            model = make_reference(plan)
            if plan.model.head:
                attach_head(model, SentenceHead(plan.model.head).eval())
            self.models[key] = model
        return self.models[key]

    def _examine_graphs(self, plan: Plan, graphs: tuple[GraphSpec, ...], model: Any) -> Iterator[Diagnostic]:
        for graph, planned in zip(graphs, plan.graphs, strict=True):
            unknown = list(_unknown_arguments(model, graph, planned))
            yield from unknown
            if unknown:
                continue
            for point in plan.sizes.points:
                mismatches = list(examine_outputs(model, planned, plan, point))
                for mismatch in mismatches:
                    yield mismatch.rule.at(mismatch.message, _place(graph, mismatch.output), mismatch.help)
                if mismatches:
                    break
            else:
                yield from _unproved(model, graph, planned, plan)

    def _reference_place(self) -> Span:
        return next(iter(self.spec.reference_spans.values()), self.spec.span)


def _unproved(model: Any, graph: GraphSpec, planned: GraphPlan, plan: Plan) -> Iterator[Diagnostic]:
    """Yield what agreement with a reference would prove nothing about."""
    run = make_oracle(FlatModel(model, planned))
    inputs = make_dummies(planned, plan.sizes.trace, plan.sizes.seed)
    observed = Observed(plan.sizes.trace, inputs, run(inputs))
    for line in find_independent(run, planned, observed, plan.bound, CLEARLY[plan.model.dtype]):
        yield NOT_PROVED.at(
            line,
            graph.span,
            "make the reference depend on its inputs, or say with 'unused: true' and 'because:' what an input is for",
        )


def _kinds_of_parts(values: Mapping[str, Data]) -> dict[str, Data]:
    """Return the parts of a composite config with nothing but their architectures: what their keys are known by."""
    parts = {key: part for key, part in values.items() if isinstance(part, dict) and "model_type" in part}
    return {key: {"model_type": part["model_type"]} for key, part in parts.items()}


def _unknown_paths(values: Mapping[str, Data], known: Any, prefix: str = "") -> Iterator[str]:
    for key, value in values.items():
        if not hasattr(known, key) and key not in getattr(type(known), "attribute_map", {}):
            yield f"{prefix}{key}"
        elif isinstance(value, dict) and hasattr(getattr(known, key), "to_dict"):
            yield from _unknown_paths(value, getattr(known, key), f"{prefix}{key}.")


def _unknown_arguments(model: Any, graph: GraphSpec, planned: GraphPlan) -> Iterator[Diagnostic]:
    """Yield the arguments that neither the model's ``forward()`` nor that of its base model names.

    Through ``**kwargs`` they would vanish without an error.
    """
    module = find_module(model, planned.module)
    names = argument_names(module)
    planned_names = {str(tensor.path[0]) for tensor in (*planned.inputs, *planned.built) if tensor.path}
    spans = {str(tensor.argument): tensor.span for tensor in (*graph.inputs, *graph.built) if tensor.argument}
    for path, span in {**dict.fromkeys(graph.constants, graph.span), **spans}.items():
        argument = path.partition(".")[0]
        # A tensor whose condition does not hold for the reference is never passed.
        known = argument in names or own_names([argument], names, ARGUMENTS)
        if not known and (path in graph.constants or argument in planned_names):
            hint = did_you_mean(argument, names, otherwise="it takes")
            yield UNKNOWN_ARGUMENT.at(f"forward() of {type(module).__name__} takes no '{argument}'", span, help=hint)


def _place(graph: GraphSpec, output: str | None) -> Span:
    """Return the type of the declared output in the spec, else the task."""
    for tensor in graph.outputs:
        pattern = re.escape(tensor.name).replace(re.escape(LAYER_SLOT), r"\d+")
        if output is not None and re.fullmatch(pattern, output):
            return tensor.type_span
    return graph.span


def check_outputs(model: Any, graph: GraphPlan, plan: Plan) -> None:
    """Check, before any tracing, that what a graph's model returns is what the spec declares.

    Raises:
        ExportError: the model refuses the inputs, returns a tensor nobody declared, or one of another shape or dtype.
    """
    for mismatch in examine_outputs(model, graph, plan, plan.sizes.trace):
        raise ExportError(mismatch.message, help=mismatch.help)
