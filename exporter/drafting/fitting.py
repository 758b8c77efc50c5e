"""Fit a draft to its model: make the reference, run it, and change the draft where the two disagree.

A draft starts as what its family says. Each disagreement has one remedy that is tried: an expression for a dim that the
config does not have, another expression for a dim of another size, nothing for an input that the model does not take, a
reason for an output that nobody declared. A task for which no remedy is left is left out, and a remark says why.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
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
from exporter.language.expressions import ROOTS, expression_names
from exporter.language.findings import UNKNOWN_DIM
from exporter.language.spec import (
    LAYER_DIM,
    LAYER_SLOT,
    WITH_PAST,
    DimSpec,
    DynamicDim,
    GraphSpec,
    Spec,
    StaticDim,
    overlay_config,
)
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
from exporter.planning.plan import GraphPlan, Plan, Point, TensorPlan
from exporter.planning.sizes import Sizes

# What a model returns, by dotted path: tensors.
Leaves = Mapping[str, Any]

# Remedies that are tried for one task.
_REMEDIES = 24
_UNBOUND = Options(atol=0.0, rtol=0.0)
# A size that no axis has, for a dim that is only measured, and what images are often divided by.
_UNMEASURED, _STRIDES = 7919, (32, 16, 8, 4, 2)


class Unfit(Exception):
    """The model cannot be made or run as the draft says, and no remedy is left; the text says why.

    Args:
        reason: the text.
        of_reference: other sizes of the reference may help.
        of_dims: other expressions for dims may help.
    """

    def __init__(self, reason: str, *, of_reference: bool = False, of_dims: bool = False) -> None:
        super().__init__(reason)
        self.of_reference, self.of_dims = of_reference, of_dims


@dataclass(slots=True)
class Fit:
    """A draft that was fitted.

    Attributes:
        draft: the draft.
        left_out: the tasks that did not fit, with the reasons.
        guessed: dims that more than one expression fits, with the others.
        of_reference: how many tasks were left out that other sizes of the reference may help.
        of_dims: how many that other expressions for dims may help.
        findings: how many the linter has.
    """

    draft: Draft
    left_out: dict[str, str] = field(default_factory=dict)
    guessed: dict[str, list[str]] = field(default_factory=dict)
    of_reference: int = 0
    of_dims: int = 0
    findings: int = 0

    @property
    def score(self) -> tuple[int, int, int, int]:
        """How good it is: the tasks that fit, their forms with past, few findings, and few changes for them."""
        past = sum(task.endswith(WITH_PAST) for task in self.draft.tasks)
        changes = sum(len(part) for key, part in self.draft.parts.items() if key in ("dims", "inputs", "arguments"))
        return len(self.draft.tasks) - past, past, -self.findings, -changes


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
            fitted.of_reference += reason.of_reference
            fitted.of_dims += reason.of_dims
        except MemoryError:
            draft.parts, draft.remarks = before
            fitted.left_out[task] = "the sizes that were tried are too large for the memory"
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
        self.guesses: dict[str, list[str]] = {}
        self.reason: Unfit | None = None

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
        sizes = _static_sizes(spec, config)
        for graph, planned in zip(task.graphs, plan.graphs, strict=True):
            try:
                if not self._holds(_Seen(model, graph, planned, config, sizes), plan):
                    return False
            except Unfit as reason:
                # What is wrong with the likeliest guess says more than what is wrong with the last.
                self.reason = self.reason or reason
                return self._guess_again(self.reason)
        return True

    def _model(self, plan: Plan) -> Any:
        made = plan.model
        key = repr((made.model_class, made.auto_class, made.config, made.reference_config, made.head))
        if key not in self.subject.models:
            try:
                model = make_reference(plan)
            except ExporterError as error:
                raise Unfit(error.message, of_reference=True) from error
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
        sizes, tried = _static_sizes(spec, config), self.tried.setdefault(dim, [])
        known = [text for text in self.kin.expressions(dim) if value_of(text, config, sizes) is not None]
        known = [text for text in known if text not in tried]
        if not known and dim in tried:
            raise Unfit(f"nothing says what the dim '{dim}' is: {finding.message}", of_dims=True)
        # A number that no model has, where what comes out shows what it should be; else what images are divided by.
        guesses = [*known, *([_UNMEASURED] if _is_measured(dim, spec.tasks[self.task].graphs) else _STRIDES)]
        self.guesses[dim] = list(map(str, guesses[1:]))
        self._set_dim(dim, guesses[0])
        return False

    def _guess_again(self, reason: Unfit) -> bool:
        """Try the next expression for the dim that was guessed last.

        Raises:
            Unfit: as given; there is none.
        """
        for dim in reversed(self.guesses):
            rest = [text for text in self.guesses[dim] if text not in self.tried.get(dim, [])]
            if rest and self.draft.has(("dims", dim)):
                self.guesses[dim] = rest[1:]
                self._set_dim(dim, int(rest[0]) if rest[0].isdigit() else rest[0])
                return False
        raise reason

    def _set_dim(self, dim: str, text: str | int, others: Iterable[str] = ()) -> None:
        self.tried.setdefault(dim, []).append(str(text))
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

    def _holds(self, seen: _Seen, plan: Plan) -> bool:
        """Hold the outputs of the model against the declared ones, at every point; change the draft at the first."""
        if not self._caches(seen, plan):
            return False
        for point in plan.sizes.points:
            leaves = _run(seen.model, seen.planned, point, plan)
            undeclared = undeclared_outputs(seen.planned, leaves)
            if undeclared:
                return self._ignore(undeclared)
            for tensor in seen.planned.outputs:
                if not self._is_as_declared(seen, tensor, leaves, point):
                    return False
        return True

    def _is_as_declared(self, seen: _Seen, tensor: TensorPlan, leaves: Leaves, point: Point) -> bool:
        path = ".".join(map(str, tensor.path))
        if path not in leaves:
            raise Unfit(f"the model returns no '{path}'; it returns {', '.join(leaves)}")
        shape = tuple(leaves[path].shape)
        return shape == tensor.sizes_at(point.sizes) or self._resize(seen, tensor, shape)

    def _caches(self, seen: _Seen, plan: Plan) -> bool:
        """Look at the cache that the model makes by itself before it is given one of the declared sizes."""
        cached = [tensor for tensor in seen.planned.inputs if len(tensor.path) > 1 and isinstance(tensor.path[1], int)]
        kept = {tensor.path: tensor for tensor in seen.planned.outputs}
        if not cached or not all(tensor.path in kept for tensor in cached):
            return True
        past = {dim for tensor in cached for dim in tensor.dims()} - {"batch"}
        alone = replace(seen.planned, inputs=tuple(tensor for tensor in seen.planned.inputs if tensor not in cached))
        sizes = {**plan.sizes.trace.sizes, **dict.fromkeys(past, 0)}
        point = replace(plan.sizes.trace, sizes=sizes)
        try:
            leaves = _run(seen.model, alone, point, plan)
        except Unfit:
            return True  # a model that must be given a cache is looked at when it is
        layers = {path.split(".")[1] for path in leaves if path.startswith(f"{cached[0].path[0]}.")}
        declared = {str(tensor.path[1]) for tensor in cached}
        if layers and len(layers) != len(declared):
            fits = fitting_expressions(LAYER_DIM, len(layers), seen.config, self.kin.expressions(LAYER_DIM))
            fits = [text for text in fits if text not in self.tried.get(LAYER_DIM, [])]
            if not fits:
                raise Unfit(f"{len(layers)} layers keep keys and values, and nothing in the config is {len(layers)}")
            self._set_dim(LAYER_DIM, fits[0], fits[1:])
            return False
        for tensor in (kept[tensor.path] for tensor in cached):
            leaf = leaves.get(".".join(map(str, tensor.path)))
            # How long it is does not matter here: a cache with a window keeps no more than its window.
            if leaf is not None and _disagrees(tensor, tuple(leaf.shape)):
                return self._resize(seen, tensor, tuple(leaf.shape))
        return True

    def _ignore(self, paths: list[str]) -> bool:
        for name in dict.fromkeys(path.partition(".")[0] for path in paths):
            reason = self.kin.reason(name) or "an output of the model beside those that the task is about"
            at: Path = ("outputs_ignored", name)
            if self.draft.has(at):
                raise Unfit(f"the model returns {', '.join(paths)}, which nobody declared")
            self.draft.put(at, reason)
        return False

    def _resize(self, seen: _Seen, tensor: TensorPlan, shape: tuple[int, ...]) -> bool:
        declared = next(each for each in seen.graph.outputs if _is_named(tensor.name, each.name))
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
                fits = fitting_expressions(name, size, seen.config, self.kin.expressions(name), seen.sizes)
                fits = [text for text in fits if text not in tried]
                if not fits:
                    raise Unfit(f"{disagrees}, and nothing in the config is {size}", of_dims=True)
                self._set_dim(name, fits[0], fits[1:])
                return False
        raise Unfit(disagrees, of_dims=True)


@dataclass(frozen=True, slots=True)
class _Seen:
    """A graph as it is declared and planned, the model it is of, and the sizes of static dims."""

    model: Any
    graph: GraphSpec
    planned: GraphPlan
    config: Any
    sizes: Mapping[str, int]


def _run(model: Any, planned: GraphPlan, point: Point, plan: Plan) -> Leaves:
    """Return what the model gives at a point.

    Raises:
        Unfit: it does not take the inputs.
    """
    flat = FlatModel(model, planned).eval()
    inputs = tuple(map(to_torch, make_dummies(planned, point, plan.sizes.seed).values()))
    try:
        leaves: Leaves = run_model(flat.leaves, inputs, f"'{planned.component}'", plan.sizes.fixed)
    except ExporterError as error:
        raise Unfit(error.message, of_reference=True) from error
    return leaves


def _disagrees(tensor: TensorPlan, shape: tuple[int, ...]) -> bool:
    """Tell whether a shape has another size on an axis that is planned with one size."""
    pairs = zip(tensor.shape, shape, strict=False)
    return len(tensor.shape) == len(shape) and any(isinstance(axis, int) and axis != size for axis, size in pairs)


def _static_sizes(spec: Spec, config: Any) -> dict[str, int]:
    """Return the static dims that the config gives sizes."""
    sizes, known = Sizes(spec, config), {}
    for name, dim in spec.dims.items():
        if isinstance(dim, StaticDim):
            try:
                known[name] = sizes.static(name, dim.span)
            except SpecError:
                sizes = Sizes(spec, config)
    return known


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
        place = dim.value.span if not isinstance(dim, DynamicDim) and not isinstance(dim.value, int) else dim.span
        if place.source == finding.span.source and place.start <= finding.span.start <= place.end:
            return _unbound(dim, spec) or name
    words = finding.message.split("'")
    return words[1] if finding.rule == UNKNOWN_DIM.name and len(words) > 1 else None


def _is_measured(dim: str, graphs: Iterable[GraphSpec]) -> bool:
    """Tell whether a dim is the length of an axis that comes out, and of nothing that goes in."""
    given = {term.value for graph in graphs for each in graph.inputs for term in each.type.terms()}
    returned = {name for graph in graphs for each in graph.outputs for axis in each.type.dims for name in axis.names()}
    return dim in returned and dim not in given


def _unbound(dim: DimSpec, spec: Spec) -> str | None:
    """Return the first name in the expression of a dim that is no dim itself."""
    if isinstance(dim, DynamicDim) or isinstance(dim.value, int):
        return None
    names = expression_names(dim.value.text)
    return next((name for name in names if name not in spec.dims and name not in ROOTS), None)


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
