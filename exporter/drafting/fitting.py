"""Fit a draft to its model: make the reference, run it, and change the draft where the two disagree.

A draft starts as what its family says. Each disagreement has one remedy that is tried: an expression for a dim that the
config does not have, another expression for a dim of another size, nothing for an input that the model does not take, a
reason for an output that nobody declared. A task for which no remedy is left is left out, and a remark says why.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from exporter.building.request import plan_config
from exporter.drafting.draft import Draft, Path, places_of
from exporter.drafting.kin import Kin
from exporter.drafting.matching import fitting_expressions, value_of
from exporter.drafting.subject import Subject
from exporter.drafting.writing import write_spec
from exporter.errors import ExporterError
from exporter.language.composing import compose_spec
from exporter.language.diagnostics import Diagnostic, SpecError
from exporter.language.document import parse_document
from exporter.language.findings import UNKNOWN_DIM
from exporter.language.spec import LAYER_SLOT, WITH_PAST, GraphSpec, Spec, StaticDim, overlay_config
from exporter.language.text import Text
from exporter.models.architectures import required_arguments
from exporter.models.arrays import to_torch
from exporter.models.configs import make_config
from exporter.models.flat_model import FlatModel, find_module, undeclared_outputs
from exporter.models.library_names import ARGUMENTS, argument_names, own_names
from exporter.models.oracle import run_model
from exporter.models.references import make_reference
from exporter.models.sentence_head import SentenceHead, attach_head
from exporter.planning.dummies import make_dummies
from exporter.planning.options import Options
from exporter.planning.plan import GraphPlan, Plan, TensorPlan

# Remedies that are tried for one task.
_REMEDIES = 24
_UNBOUND = Options(atol=0.0, rtol=0.0)


class Unfit(Exception):
    """The model cannot be made or run as the draft says, and no remedy is left; the text says why."""


@dataclass(slots=True)
class Fit:
    """A draft that was fitted.

    Attributes:
        draft: the draft.
        left_out: the tasks that did not fit, with the reasons.
        guessed: dims that more than one expression fits, with the others.
    """

    draft: Draft
    left_out: dict[str, str] = field(default_factory=dict)
    guessed: dict[str, list[str]] = field(default_factory=dict)

    @property
    def score(self) -> tuple[int, int, int]:
        """How good it is: the tasks that fit, then their forms with past, and how little was changed for them."""
        past = sum(task.endswith(WITH_PAST) for task in self.draft.tasks)
        changes = sum(len(part) for key, part in self.draft.parts.items() if key in ("dims", "inputs", "arguments"))
        return len(self.draft.tasks) - past, past, -changes


def fit(subject: Subject, kin: Kin, dims: Mapping[str, Any], tasks: Iterable[str], reference: Mapping[str, Any]) -> Fit:
    """Return a draft of a family, fitted to the model task by task.

    Args:
        subject: what is drafted.
        kin: the family.
        dims: what the draft binds from the start.
        tasks: the tasks that are tried.
        reference: the config of the reference.
    """
    draft = Draft(subject.architecture, kin.name, {"dims": dict(dims), "reference": {"config": dict(reference)}})
    fitted = Fit(draft)
    for task in tasks:
        before = _copied(draft.parts), dict(draft.remarks)
        draft.tasks[task] = {}
        try:
            _Task(subject, kin, fitted, task).fit()
        except Unfit as reason:
            draft.parts, draft.remarks = before
            fitted.left_out[task] = str(reason)
    if not draft.parts["dims"]:
        del draft.parts["dims"]
    return fitted


def _copied(value: Any) -> Any:
    return {key: _copied(part) for key, part in value.items()} if isinstance(value, dict) else value


class _Task:
    """One task that a draft is fitted for."""

    def __init__(self, subject: Subject, kin: Kin, fitted: Fit, task: str) -> None:
        self.subject, self.kin, self.fitted, self.draft, self.task = subject, kin, fitted, fitted.draft, task
        self.tried: dict[str, list[str]] = {}

    def fit(self) -> None:
        """Change the draft until the task agrees with the model.

        Raises:
            Unfit: no remedy is left.
        """
        for _ in range(_REMEDIES):
            if self._agrees():
                return
        raise Unfit("the model and the draft did not come together")

    def _agrees(self) -> bool:
        """Look at the task once: True where all agrees, False where something was changed."""
        spec = compose(self.draft)
        task = spec.tasks[self.task]
        values = overlay_config(spec.reference, task.reference_config, task.config)
        try:
            config = make_config(self.subject.architecture, values)
            plan = plan_config(spec, task, config, _UNBOUND)
        except SpecError as error:
            return self._bind(error.diagnostics[0], spec)
        except ExporterError as error:
            raise Unfit(error.message) from error
        model = self._model(plan)
        for graph, planned in zip(task.graphs, plan.graphs, strict=True):
            if not self._suits(model, graph, planned, config):
                return False
        for graph, planned in zip(task.graphs, plan.graphs, strict=True):
            if not self._holds(model, graph, planned, plan, config):
                return False
        return True

    def _model(self, plan: Plan) -> Any:
        made = plan.model
        key = repr((made.model_class, made.auto_class, made.config, made.reference_config, made.head))
        if key not in self.subject.models:
            try:
                model = make_reference(plan)
            except ExporterError as error:
                raise Unfit(error.message) from error
            if made.head:
                attach_head(model, SentenceHead(made.head).eval())
            self.subject.models[key] = model
        return self.subject.models[key]

    # What the config lacks.

    def _bind(self, finding: Diagnostic, spec: Spec) -> bool:
        dim = _culprit(finding, spec)
        if dim is None:
            raise Unfit(finding.message)
        config = make_config(self.subject.architecture, spec.reference)
        tried = self.tried.setdefault(dim, [])
        known = [text for text in self.kin.expressions(dim) if text not in tried and value_of(text, config) is not None]
        if not known:
            raise Unfit(f"nothing says what the dim '{dim}' is: {finding.message}")
        self._set_dim(dim, known[0])
        return False

    def _set_dim(self, dim: str, text: str, others: Iterable[str] = ()) -> None:
        self.tried.setdefault(dim, []).append(text)
        self.draft.put(("dims", dim), text)
        rest = [other for other in others if other != text]
        self.fitted.guessed.pop(dim, None)
        if rest:
            self.fitted.guessed[dim] = rest

    # What the model is called with.

    def _suits(self, model: Any, graph: GraphSpec, planned: GraphPlan, config: Any) -> bool:
        try:
            module = find_module(model, planned.module)
        except ExporterError as error:
            raise Unfit(error.message) from error
        names = argument_names(module)
        changed = False
        for kind, argument, name in _given(graph, planned):
            if argument not in names and not own_names([argument], names, ARGUMENTS):
                if not self._remove(kind, name, graph.component):
                    raise Unfit(f"forward() of {type(module).__name__} takes no '{argument}'")
                changed = True
        given = {argument for _, argument, _ in _given(graph, planned)}
        own = own_names(given, names, ARGUMENTS)
        for argument in required_arguments(module):
            if argument not in given and argument not in own.values():
                self._add(argument, config, type(module).__name__)
                changed = True
        optional = self._conditional(names, config) if planned.module is None else False
        return not (changed or optional)

    def _remove(self, kind: str, name: str, component: str) -> bool:
        """Withdraw an input or argument of the family, wherever it gives one to this graph."""
        changed = False
        for path in list(places_of(self.kin.family, kind, name)):
            if path[0] == "tasks" and path[1] not in self.draft.tasks:
                continue
            if self.draft.has(path) or not _is_of(path, component):
                continue
            self.draft.put(path, None)
            changed = True
        if kind == "inputs" and changed:
            for argument, line in dict(self.kin.family.get("arguments", {})).items():
                if isinstance(line, str) and f"({name})" in line:
                    self.draft.put(("arguments", argument), None)
        return changed

    def _add(self, argument: str, config: Any, model: str) -> None:
        known = self.kin.input_line(argument)
        if known is None or self.draft.has(("inputs", argument)):
            raise Unfit(f"forward() of {model} wants '{argument}', and no spec says what it is like")
        line, dims = known
        self.draft.put(("inputs", argument), line, "taken from another spec, which has an input of this name")
        for dim, text in dims.items():
            if dim in line and isinstance(text, str) and value_of(text, config) is not None:
                self.draft.put(("dims", dim), text)

    def _conditional(self, names: Iterable[str], config: Any) -> bool:
        """Bind the dims that bring inputs of the family which the model takes, such as that of token types."""
        changed = False
        for name, line in self.kin.family.get("inputs", {}).items():
            condition = line.get("when", "") if isinstance(line, Mapping) else ""
            dim = condition.removesuffix(" > 0")
            if dim == condition or name not in names or self.draft.has(("dims", dim)):
                continue
            texts = [text for text in self.kin.expressions(dim) if (value_of(text, config) or 0) > 0]
            if texts:
                self.draft.put(("dims", dim), texts[0])
                changed = True
        return changed

    # What the model returns.

    def _holds(self, model: Any, graph: GraphSpec, planned: GraphPlan, plan: Plan, config: Any) -> bool:
        """Hold the outputs of the model against the declared ones, at every point; change the draft at the first."""
        for point in plan.sizes.points:
            flat = FlatModel(model, planned).eval()
            inputs = tuple(map(to_torch, make_dummies(planned, point, plan.sizes.seed).values()))
            try:
                leaves = run_model(flat.leaves, inputs, f"'{planned.component}'", plan.sizes.fixed)
            except ExporterError as error:
                raise Unfit(error.message) from error
            undeclared = undeclared_outputs(planned, leaves)
            if undeclared:
                return self._ignore(undeclared, graph)
            for tensor in planned.outputs:
                path = ".".join(map(str, tensor.path))
                if path not in leaves:
                    raise Unfit(f"the model returns no '{path}'; it returns {', '.join(leaves)}")
                shape = tuple(leaves[path].shape)
                if shape != tensor.sizes_at(point.sizes):
                    return self._resize(graph, tensor, shape, config)
        return True

    def _ignore(self, paths: list[str], graph: GraphSpec) -> bool:
        for name in dict.fromkeys(path.partition(".")[0] for path in paths):
            reason = self.kin.reason(name) or "an output of the model beside those that the task is about"
            at: Path = ("outputs_ignored", name)
            if self.draft.has(at):
                raise Unfit(f"the model returns {', '.join(paths)}, which nobody declared")
            self.draft.put(at, reason)
        return False

    def _resize(self, graph: GraphSpec, tensor: TensorPlan, shape: tuple[int, ...], config: Any) -> bool:
        declared = next(each for each in graph.outputs if _is_named(tensor.name, each.name))
        dims = declared.type.dims
        disagrees = f"'{tensor.name}' is {list(shape)}, declared as [{', '.join(map(str, dims))}]"
        if len(dims) != len(shape):
            raise Unfit(disagrees)
        for dim, planned, size in zip(dims, tensor.shape, shape, strict=True):
            if isinstance(planned, int) and planned != size:
                name = dim.names()[0] if dim.names() else None
                if name is None or len(dim.terms) > 1:
                    raise Unfit(disagrees)
                tried = self.tried.get(name, [])
                fits = fitting_expressions(name, size, config, self.kin.expressions(name))
                fits = [text for text in fits if text not in tried]
                if not fits:
                    raise Unfit(f"{disagrees}, and nothing in the config is {size}")
                self._set_dim(name, fits[0], fits[1:])
                return False
        raise Unfit(disagrees)


def compose(draft: Draft) -> Spec:
    """Return what a draft means.

    Raises:
        Unfit: it means nothing.
    """
    composition = compose_spec(parse_document(Text(f"{draft.architecture}.yaml", write_spec(draft))))
    if composition.spec is None:
        findings = [finding.message for finding in composition.diagnostics]
        raise Unfit(findings[0] if findings else "the draft is no spec")
    return composition.spec


def _culprit(finding: Diagnostic, spec: Spec) -> str | None:
    """Return the dim whose expression a finding is about."""
    for name, dim in spec.dims.items():
        place = dim.value.span if isinstance(dim, StaticDim) and not isinstance(dim.value, int) else dim.span
        if place.source == finding.span.source and place.start <= finding.span.start <= place.end:
            return name
    words = finding.message.split("'")
    return words[1] if finding.rule == UNKNOWN_DIM.name and len(words) > 1 else None


def _given(graph: GraphSpec, planned: GraphPlan) -> list[tuple[str, str, str]]:
    """Return what a graph gives ``forward()``: the kind, the argument, and the name in the document."""
    present = {str(tensor.path[0]) for tensor in (*planned.inputs, *planned.built) if tensor.path}
    tensors = [("inputs", tensor) for tensor in graph.inputs] + [("arguments", tensor) for tensor in graph.built]
    given = [
        (kind, tensor.argument.partition(".")[0], tensor.name)
        for kind, tensor in tensors
        if tensor.argument and tensor.argument.partition(".")[0] in present
    ]
    return [*given, *(("arguments", name, name) for name in graph.constants)]


def _is_of(path: Path, component: str) -> bool:
    """Tell whether a place in a document is about a graph."""
    if "components" in path:
        return component in path
    return not ("merged" in path or "monolith" in path)


def _is_named(name: str, pattern: str) -> bool:
    before, slot, after = pattern.partition(LAYER_SLOT)
    return name == pattern or bool(slot and name.startswith(before) and name.endswith(after))
