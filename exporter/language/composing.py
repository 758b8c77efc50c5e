"""Apply ``extends`` and the family's tasks: a spec document and its family become a `Spec`.

The order in which the parts of a task are laid over one another is the whole of composition::

    family, spec             inputs, arguments, outputs_ignored, tolerances, tracer, refused, targets, patches, notes
    family, spec             tasks.<task>
    family, spec             cache                       (only in the -with-past form)
    family, spec             tasks.<task>-with-past      (likewise)

Mappings merge by key, scalars and lists replace, ``null`` removes. A task with ``components`` is several graphs: each starts
from the component offered at the top of the documents; its ``monolith`` is one graph that starts from the documents' own inputs.
Tensors that the cache brings come last in a graph.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from exporter.errors import did_you_mean
from exporter.language.catalog import family_names, feature_of, find_family, find_task, load_tasks, scalar_text
from exporter.language.diagnostics import Diagnostic
from exporter.language.document import Data, Document, Mapping, Node, Scalar, Sequence, to_data
from exporter.language.expressions import ExpressionError, expression_names
from exporter.language.merging import GRAPH, cache_last, child, is_null, merge_all, monolith_of, only, without
from exporter.language.schema import check_schema
from exporter.language.spec import (
    DEFAULT_TRACER,
    DTYPES,
    WITH_PAST,
    DerivedDim,
    DimSpec,
    DynamicDim,
    Expression,
    GraphSpec,
    MinimumOpset,
    Note,
    Refusal,
    Spec,
    StaticDim,
    TargetLimit,
    TaskSpec,
    TensorSpec,
    Tolerance,
    TracerChoice,
)
from exporter.language.tensor_type import BUILT, TensorTypeError, parse_tensor_type
from exporter.language.text import Span

Reasons = dict[str, str]
_SHARED = ("inputs", "arguments", "outputs_ignored", "tolerances", "tracer", "refused", "targets", "patches", "notes")
_PICKS = ("components", "merged")
# What `argument:` says of an input that the model is not given.
_NOT_GIVEN = "none"


@dataclass(frozen=True, slots=True)
class Composition:
    """What composing gave: the meaning where there is one, the composed tree for ``show``, and all findings."""

    spec: Spec | None
    tree: Mapping | None
    family: Document | None
    diagnostics: tuple[Diagnostic, ...]


def compose_spec(document: Document) -> Composition:
    """Compose a schema-valid spec document with its family. Never raises for bad content."""
    composer = _Composer(document)
    spec, tree = composer.compose()
    return Composition(spec, tree, composer.family, tuple(dict.fromkeys(composer.diagnostics)))


def check_family(document: Document) -> Composition:
    """Read every tensor line and expression of a family, as if a spec picked each of its tasks.

    What a family leaves to its specs is no mistake in it, so there is no spec in the result: only what cannot be read.
    """
    root = document.root
    name = scalar_text(document, "family")
    if root is None or name is None:
        return Composition(None, None, None, ())
    offered, cache = root.get("tasks"), root.get("cache")
    picked: list[tuple[Scalar, Node]] = []
    for key, _ in offered.entries if isinstance(offered, Mapping) else ():
        picked.append((key, Mapping((), key.span)))
        past = f"{key.value}{WITH_PAST}"
        if cache is not None and not str(key.value).endswith(WITH_PAST) and child(offered, past) is None:
            picked.append((Scalar(past, key.span), Mapping((), key.span)))
    entries = tuple(
        (Scalar(key, name.span), node)
        for key, node in (("architecture", name), ("extends", name), ("tasks", Mapping(tuple(picked), root.span)))
    )
    composer = _Composer(Document(document.source, Mapping(entries, root.span), ()), document)
    composer.compose_with(root)
    return Composition(None, None, None, tuple(dict.fromkeys(composer.diagnostics)))


@dataclass
class _Composer:
    document: Document
    family: Document | None = None
    diagnostics: list[Diagnostic] = field(default_factory=list)

    def compose(self) -> tuple[Spec | None, Mapping | None]:
        root = self.document.root
        architecture, extends = scalar_text(self.document, "architecture"), scalar_text(self.document, "extends")
        if root is None or architecture is None or extends is None:
            return None, None
        self.family = find_family(str(extends.value), self.document.source.path)
        if self.family is None:
            names = family_names(self.document.source.path)
            self._report(
                "unknown-family",
                f"no family '{extends.value}'",
                extends.span,
                did_you_mean(str(extends.value), names, otherwise="the families are"),
            )
            return None, None
        base = self.family.root
        broken = [*self.family.diagnostics, *check_schema(self.family)]
        if base is None or broken:
            self.diagnostics += broken
            return None, None
        self._report_idle_removals(base, root)
        return self.compose_with(base)

    def compose_with(self, base: Mapping) -> tuple[Spec | None, Mapping | None]:
        """Lay the spec over its family, whose root is ``base``."""
        root = self.document.root
        architecture, extends = scalar_text(self.document, "architecture"), scalar_text(self.document, "extends")
        if root is None or architecture is None or extends is None:
            return None, None
        dims_node = merge_all((base.get("dims"), root.get("dims")))
        dims = dict(self._dims(dims_node))
        bodies = dict(self._task_bodies(base, root))
        tasks = {name: self._task(name, key, body) for name, (key, body) in bodies.items()}
        reference = child(root, "reference", "config")
        spec = Spec(
            architecture=str(architecture.value),
            family=str(extends.value),
            description=_text(root.get("description")),
            dims=dims,
            tasks=tasks,
            reference=_config(reference),
            variants=_variants(child(root, "reference", "variants")),
            gain=_float(child(root, "reference", "gain"), 1.0),
            reference_spans={str(key.value): key.span for key, _ in reference.entries}
            if isinstance(reference, Mapping)
            else {},
            minimum_opsets=dict(_minimum_opsets(merge_all((base.get("opset"), root.get("opset"))))),
            span=architecture.span,
            digest=self._digest(),
        )
        return spec, self._tree(root, dims_node, bodies)

    def _digest(self) -> str:
        """Hash the texts the meaning depends on, so that a changed family changes the digest of its specs."""
        texts = [self.document.source.text, self.family.source.text if self.family is not None else ""]
        return hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).hexdigest()

    # Dims

    def _dims(self, node: Mapping | None) -> Iterator[tuple[str, DimSpec]]:
        for key, value in node.entries if node is not None else ():
            name = str(key.value)
            derived = child(value, "derived")
            if isinstance(value, Mapping) and isinstance(derived, Scalar):
                if value.get("trace") is not None or value.get("check") is not None:
                    self._report(
                        "malformed-expression",
                        f"'{name}' is derived from other dims, so it has no sizes of its own",
                        key.span,
                        "remove 'trace' and 'check' (in a spec: 'trace: null'), or 'derived'",
                    )
                yield name, DerivedDim(name, self._expression(derived), key.span)
            elif isinstance(value, Mapping):
                trace, check = value.get("trace"), value.get("check")
                if not isinstance(trace, Scalar) or not isinstance(check, Sequence):
                    missing = "trace" if not isinstance(trace, Scalar) else "check"
                    self._report(
                        "missing-key",
                        f"'{name}' has no '{missing}'",
                        key.span,
                        "a dynamic dim is {trace: 8, check: [1, 13]}, or {derived: 'height // 2'}",
                    )
                    continue
                sizes = [item for item in check.items if isinstance(item, Scalar)]
                yield (
                    name,
                    DynamicDim(
                        name,
                        _int(trace),
                        tuple(map(_int, sizes)),
                        key.span,
                        trace.span,
                        tuple(item.span for item in sizes),
                    ),
                )
            elif isinstance(value, Scalar) and isinstance(value.value, int) and not isinstance(value.value, bool):
                yield name, StaticDim(name, value.value, key.span)
            elif isinstance(value, Scalar):
                yield name, StaticDim(name, self._expression(value), key.span)

    def _expression(self, node: Scalar) -> Expression:
        text, span = str(node.value), node.content
        try:
            expression_names(text)
        except ExpressionError as error:
            self._report(
                "malformed-expression",
                error.message,
                span.within(error.start, error.end),
                error.help or "an expression is written like 'config.n_embd // config.n_head'",
            )
        return Expression(text, span)

    # Tasks

    def _task_bodies(self, base: Mapping, root: Mapping) -> Iterator[tuple[str, tuple[Scalar, Mapping]]]:
        """Yield each task the spec picks with everything laid over one another."""
        picked = root.get("tasks")
        cache = merge_all((base.get("cache"), root.get("cache")))
        offered = merge_all((base.get("components"), root.get("components")))
        for key, node in picked.entries if isinstance(picked, Mapping) else ():
            name = str(key.value)
            stem = name.removesuffix(WITH_PAST)
            with_past = name != stem
            if is_null(node) or not self._is_known(key, name, stem, base, node, cache):
                continue
            shared = [only(document, _SHARED) for document in (base, root)]
            own = [child(document, "tasks", stem) for document in (base, root)]
            past = [child(document, "tasks", name) for document in (base, root)] if with_past else []
            cached = without(cache, ("components",)) if with_past and cache is not None else None
            before = merge_all((*shared, *own))
            body = merge_all((before, cached, *past)) or Mapping((), key.span)
            picks = body.get("components")
            if isinstance(picks, Mapping):
                monolith = monolith_of(body, before, cached)
                body = self._with_components(body, offered, child(cache, "components") if with_past else None)
                body = monolith(body)
            elif cached is not None:
                body = cache_last(body, cached, before)
            yield name, (key, body)

    def _is_known(self, key: Scalar, name: str, stem: str, base: Mapping, node: Node, cache: Mapping | None) -> bool:
        if stem not in load_tasks():
            today = find_task(name)
            hint = (
                f"write '{today}', the name on the Hub"
                if today is not None
                else did_you_mean(stem, load_tasks(), otherwise="the tasks are")
            )
            self._report("unknown-task", f"unknown task '{name}'", key.span, hint)
            return False
        defines_itself = any(child(node, part) is not None for part in ("outputs", "components"))
        offered = child(base, "tasks")
        if not defines_itself and not any(child(base, "tasks", part) is not None for part in (stem, name)):
            family = str(self.family.root.get("family").value) if self.family and self.family.root else ""  # type: ignore[union-attr]
            names = [str(entry.value) for entry, _ in offered.entries] if isinstance(offered, Mapping) else []
            hint = did_you_mean(name, names, otherwise=f"the family '{family}' offers")
            self._report(
                "unknown-task",
                f"the family '{family}' has no task '{name}' and the spec does not define its outputs",
                key.span,
                hint,
            )
            return False
        if name != stem and cache is None:
            self._report(
                "unknown-task",
                f"'{name}' needs a 'cache', and neither spec nor family has one",
                key.span,
                "declare 'cache:', or pick the task without '-with-past'",
            )
            return False
        return True

    def _with_components(self, body: Mapping, offered: Mapping | None, cached: Node | None) -> Mapping:
        """Put the composed graphs in place of those a task picks, for its components and for its merged form."""
        entries: list[tuple[Scalar, Node]] = []
        for key, node in without(body, GRAPH).entries:
            if key.value in _PICKS and isinstance(node, Mapping):
                node = Mapping(tuple(self._components(node, offered, cached)), node.span)
            entries.append((key, node))
        entries.sort(key=lambda entry: entry[0].value in _PICKS)
        return Mapping(tuple(entries), body.span)

    def _components(
        self, picks: Mapping, offered: Mapping | None, cached: Node | None
    ) -> Iterator[tuple[Scalar, Node]]:
        for key, picked in picks.entries:
            name = str(key.value)
            template, past = child(offered, name), child(cached, name)
            if template is None and past is None and child(picked, "inputs") is None:
                known = [
                    str(entry.value)
                    for node in (offered, cached)
                    if isinstance(node, Mapping)
                    for entry, _ in node.entries
                ]
                self._report(
                    "unknown-component",
                    f"no component '{name}' is offered",
                    key.span,
                    did_you_mean(name, known, otherwise="the components are"),
                )
                continue
            before = merge_all((template, picked))
            component = merge_all((template, past, picked)) or Mapping((), key.span)
            yield key, cache_last(component, past, before) if isinstance(past, Mapping) else component

    def _task(self, name: str, key: Scalar, body: Mapping) -> TaskSpec:
        vocabulary = load_tasks()[name.removesuffix(WITH_PAST)]
        components = body.get("components")
        graphs = self._graphs(components) or (self._graph("model", body, key.span),)
        model_class = _text(body.get("class"))
        when = body.get("when")
        monolith = body.get("monolith") if isinstance(components, Mapping) else None
        return TaskSpec(
            name=name,
            feature=feature_of(name),
            auto_class=None if model_class is not None else _text(body.get("auto_class")) or vocabulary.auto_class,
            model_class=model_class,
            config=_config(body.get("config")),
            reference_config=_config(child(body, "reference", "config")),
            graphs=graphs,
            monolith=self._graph("model", monolith, key.span) if isinstance(monolith, Mapping) else None,
            merged=self._graphs(body.get("merged")),
            tolerances=dict(self._tolerances(body.get("tolerances"))),
            tracer=_tracer(body.get("tracer")),
            refused=_reasons(body.get("refused")),
            refused_when=dict(self._refusals(body.get("refused"))),
            targets=dict(_targets(body.get("targets"))),
            patches=_reasons(body.get("patches")),
            notes=tuple(self._notes(body.get("notes"))),
            when=self._expression(when) if isinstance(when, Scalar) else None,
            span=key.span,
        )

    def _notes(self, node: Node | None) -> Iterator[Note]:
        for key, value in node.entries if isinstance(node, Mapping) else ():
            text = child(value, "text") if isinstance(value, Mapping) else value
            when = child(value, "when")
            if not isinstance(text, Scalar) or text.value is None:
                hint = "a note is a text, or {when: config.sparse, text: what a client must know}"
                self._report("missing-key", f"the note '{key.value}' has no 'text'", key.span, hint)
                continue
            yield Note(str(text.value), self._expression(when) if isinstance(when, Scalar) else None, text.content)

    def _refusals(self, node: Node | None) -> Iterator[tuple[str, Refusal]]:
        """Yield the refusals that depend on the config."""
        for key, value in node.entries if isinstance(node, Mapping) else ():
            when, because = child(value, "when"), _text(child(value, "because"))
            if isinstance(when, Scalar) and because is not None:
                yield str(key.value), Refusal(self._expression(when), because)

    def _graphs(self, node: Node | None) -> tuple[GraphSpec, ...]:
        entries = node.entries if isinstance(node, Mapping) else ()
        return tuple(
            self._graph(
                str(key.value), body, key.span, _reasons(child(body, "patches")), _reasons(child(body, "refused"))
            )
            for key, body in entries
            if isinstance(body, Mapping)
        )

    def _graph(
        self, component: str, body: Mapping, span: Span, patches: Reasons | None = None, refused: Reasons | None = None
    ) -> GraphSpec:
        constants: dict[str, bool | int | float | str] = {}
        built: list[TensorSpec] = []
        arguments = body.get("arguments")
        for key, node in arguments.entries if isinstance(arguments, Mapping) else ():
            if isinstance(node, Scalar) and isinstance(node.value, str) and "[" in node.value:
                built += self._tensor(key, node, needs_fill=True)
            elif isinstance(node, Scalar) and node.value is not None:
                constants[str(key.value)] = node.value
        self._check_built(built, body.get("inputs"))
        module = body.get("module")
        return GraphSpec(
            component=component,
            module=_text(module) if module is not None else None,
            constants=constants,
            built=tuple(built),
            inputs=tuple(self._tensors(body.get("inputs"), needs_fill=True)),
            outputs=tuple(self._tensors(body.get("outputs"), needs_fill=False)),
            ignored=_reasons(body.get("outputs_ignored")),
            patches=patches or {},
            refused=refused or {},
            span=span,
        )

    def _check_built(self, built: Iterable[TensorSpec], inputs: Node | None) -> None:
        """Report an argument that cannot be made inside the graph."""
        names = [str(key.value) for key, _ in inputs.entries] if isinstance(inputs, Mapping) else []
        for tensor in built:
            fill = tensor.type.fill
            if fill is None:
                continue
            place = tensor.type_span.within(fill.start, fill.end)
            if fill.name not in BUILT:
                self._report(
                    "malformed-tensor",
                    f"'{tensor.name}' is made inside the graph, which '{fill.name}' cannot be",
                    place,
                    f"the fills of an argument are {', '.join(sorted(BUILT))}; anything else is an input",
                )
            elif fill.name == "positions" and str(fill.args[0].value) not in names:
                self._report(
                    "malformed-tensor",
                    f"'{tensor.name}' counts the positions of '{fill.args[0].value}', which is no input of the graph",
                    place,
                    did_you_mean(str(fill.args[0].value), names, otherwise="the inputs are"),
                )

    def _tensors(self, node: Node | None, *, needs_fill: bool) -> Iterator[TensorSpec]:
        for key, value in node.entries if isinstance(node, Mapping) else ():
            for tensor in self._tensor(key, value, needs_fill=needs_fill):
                fill = tensor.type.fill
                if fill is not None and fill.name == "positions":
                    self._report(
                        "malformed-tensor",
                        f"the input '{tensor.name}' is filled with 'positions', which are counted inside the graph",
                        tensor.type_span.within(fill.start, fill.end),
                        "move it to 'arguments:', or fill it with 'arange'",
                    )
                yield tensor

    def _tensor(self, key: Scalar, node: Node, *, needs_fill: bool) -> Iterator[TensorSpec]:
        name = str(key.value)
        line = node.get("type") if isinstance(node, Mapping) else node
        if not isinstance(line, Scalar) or not isinstance(line.value, str):
            return
        span = line.content
        try:
            tensor_type = parse_tensor_type(line.value)
        except TensorTypeError as error:
            self._report(
                "malformed-tensor",
                f"{error.message} in the type of '{name}'",
                span.within(error.start, error.end),
                error.help,
            )
            return
        if (tensor_type.fill is not None) != needs_fill:
            message = f"the input '{name}' has no fill" if needs_fill else f"the output '{name}' has a fill"
            hint = (
                "say how a dummy is made: 'int64[batch, sequence] = randint(vocab)'"
                if needs_fill
                else "an output is computed: write the dtype and shape only"
            )
            fill = tensor_type.fill
            place = span if fill is None else span.within(fill.start, fill.end)
            self._report("malformed-tensor", message, place, hint)
            return
        when, argument = child(node, "when"), _text(child(node, "argument"))
        unused = to_data(node) if isinstance(node, Mapping) else {}
        reason = unused.get("because") if isinstance(unused, dict) and unused.get("unused") else None
        yield TensorSpec(
            name=name,
            type=tensor_type,
            argument="" if argument == _NOT_GIVEN else argument or name,
            field=_text(child(node, "field")) or _field_of(name),
            when=self._expression(when) if isinstance(when, Scalar) else None,
            unused=str(reason) if reason is not None else None,
            beyond=_text(child(node, "beyond")),
            span=key.span,
            type_span=span,
        )

    def _tolerances(self, node: Node | None) -> Iterator[tuple[str, Tolerance]]:
        for key, value in node.entries if isinstance(node, Mapping) else ():
            atol, rtol, because = (child(value, part) for part in ("atol", "rtol", "because"))
            if not isinstance(atol, Scalar) or not isinstance(rtol, Scalar):
                missing = "atol" if not isinstance(atol, Scalar) else "rtol"
                self._report(
                    "missing-key",
                    f"the tolerance '{key.value}' has no '{missing}'",
                    key.span,
                    "a tolerance is {atol: 1.0e-5, rtol: 1.0e-5}",
                )
                continue
            yield str(key.value), Tolerance(float(atol.value or 0), float(rtol.value or 0), _text(because), key.span)

    # What `show` prints

    def _tree(self, root: Mapping, dims: Mapping | None, bodies: dict[str, tuple[Scalar, Mapping]]) -> Mapping:
        entries: list[tuple[Scalar, Node]] = []
        for key, node in root.entries:
            if key.value == "tasks":
                tasks = tuple((name, body) for name, body in bodies.values())
                entries.append((key, Mapping(tasks, node.span)))
            elif key.value not in (*_SHARED, "dims", "cache", "components", "opset"):
                entries.append((key, node))
        if dims is not None:
            at = next((index for index, (key, _) in enumerate(entries) if key.value == "tasks"), len(entries))
            dims_key = root.key("dims") or Scalar("dims", dims.span)
            entries.insert(at, (dims_key, dims))
        return Mapping(tuple(entries), root.span)

    # Findings

    def _report_idle_removals(self, base: Mapping, root: Mapping) -> None:
        """Report a null of the spec that has nothing to remove: it was meant for a name that exists."""
        for part in ("dims", *_SHARED, "components"):
            over = root.get(part)
            for key, node in over.entries if isinstance(over, Mapping) else ():
                under = base.get(part)
                if is_null(node) and (not isinstance(under, Mapping) or under.get(str(key.value)) is None):
                    names = [str(name.value) for name, _ in under.entries] if isinstance(under, Mapping) else []
                    self._report(
                        "removes-nothing",
                        f"'{key.value}: null' removes nothing: the family has no '{key.value}' in '{part}'",
                        key.span,
                        did_you_mean(str(key.value), names, otherwise="the family has"),
                    )

    def _report(self, rule: str, message: str, span: Span, help_: str | None = None) -> None:
        self.diagnostics.append(Diagnostic(rule, message, span, help=help_))


def _field_of(name: str) -> str:
    """Return the model output a tensor is read from: ``present.0.key`` is the new ``past_key_values.0.key``."""
    head, dot, rest = name.partition(".")
    return f"past_key_values{dot}{rest}" if head == "present" and dot else name


def _variants(node: Node | None) -> tuple[dict[str, Data], ...]:
    return tuple(_config(item) for item in node.items) if isinstance(node, Sequence) else ()


def _minimum_opsets(node: Mapping | None) -> Iterator[tuple[str, MinimumOpset]]:
    """Yield the lowest opset of each dtype: its own where that is higher than the one for all."""
    for dtype in DTYPES if node is not None else ():
        found = [
            MinimumOpset(minimum.value, _text(child(part, "because")) or "")
            for part in (node, child(node, dtype))
            if isinstance(minimum := child(part, "minimum"), Scalar) and isinstance(minimum.value, int)
        ]
        if found:
            yield dtype, max(found, key=lambda one: one.opset)


def _text(node: Node | None) -> str | None:
    return str(node.value) if isinstance(node, Scalar) and node.value is not None else None


def _int(node: Scalar) -> int:
    return node.value if isinstance(node.value, int) else 0


def _float(node: Node | None, otherwise: float) -> float:
    return float(node.value) if isinstance(node, Scalar) and isinstance(node.value, int | float) else otherwise


def _config(node: Node | None) -> dict[str, Data]:
    data = to_data(node) if node is not None else {}
    return data if isinstance(data, dict) else {}


def _targets(node: Node | None) -> Iterator[tuple[str, TargetLimit]]:
    for key, value in node.entries if isinstance(node, Mapping) else ():
        if isinstance(value, Mapping):
            listed = value.get("static")
            static = [_text(item) or "" for item in listed.items] if isinstance(listed, Sequence) else []
            yield (
                str(key.value),
                TargetLimit(
                    refused=_text(value.get("refused")),
                    static=tuple(static),
                    because=_text(value.get("because")),
                    settings=_settings(value.get("settings")),
                    span=value.span,
                ),
            )


def _settings(node: Node | None) -> dict[str, bool | int | str]:
    return {name: value for name, value in _config(node).items() if isinstance(value, bool | int | str)}


def _reasons(node: Node | None) -> Reasons:
    """Return what is listed with a reason; an entry that is no text says more than that and is read elsewhere."""
    return {what: text for what, text in _config(node).items() if isinstance(text, str)}


def _tracer(node: Node | None) -> TracerChoice:
    if node is None:
        return TracerChoice(DEFAULT_TRACER, None)
    if isinstance(node, Mapping):
        return TracerChoice(_text(node.get("use")) or DEFAULT_TRACER, _text(node.get("because")), node.span)
    return TracerChoice(_text(node) or DEFAULT_TRACER, None, node.span)
