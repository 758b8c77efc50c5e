"""Read merged trees of nodes into the values of a spec: dims, tasks, graphs, tensors, tolerances.

What cannot be read is a finding at its place and is left out, so that one mistake hides no other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from exporter.language.catalog import feature_of, load_tasks
from exporter.language.diagnostics import Diagnostic
from exporter.language.document import Data, Mapping, Node, Scalar, Sequence, to_data
from exporter.language.effort import spend, suggest
from exporter.language.expressions import ExpressionError, evaluate_expression, expression_names
from exporter.language.findings import MALFORMED_EXPRESSION, MALFORMED_TENSOR, MISSING_KEY, Rule
from exporter.language.merging import child
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
# What `argument:` says of an input that the model is not given.
_NOT_GIVEN = "none"


@dataclass
class Reader:
    """Reads trees, and keeps what it finds wrong in them in ``diagnostics``."""

    diagnostics: list[Diagnostic] = field(default_factory=list)

    def dims(self, node: Mapping | None) -> Iterator[tuple[str, DimSpec]]:
        """Yield the dims of a merged ``dims:``, by name."""
        for key, value in node.entries if node is not None else ():
            name = str(key.value)
            spend(5)
            derived = child(value, "derived")
            if isinstance(value, Mapping) and isinstance(derived, Scalar):
                if value.get("trace") is not None or value.get("check") is not None:
                    self._report(
                        MALFORMED_EXPRESSION,
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
                        MISSING_KEY,
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
        spend(5)
        try:
            if not expression_names(text):
                evaluate_expression(text, None)  # what reads no config fails on every one, or on none
        except ExpressionError as error:
            self._report(
                MALFORMED_EXPRESSION,
                error.message,
                span.within(error.start, error.end),
                error.help or "an expression is written like 'config.n_embd // config.n_head'",
            )
        return Expression(text, span)

    def task(self, name: str, key: Scalar, body: Mapping) -> TaskSpec:
        """Return a task whose parts are laid over one another.

        Args:
            name: its name, with ``-with-past`` where it is that form.
            key: where the spec picks it.
            body: its merged tree.
        """
        vocabulary = load_tasks()[name.removesuffix(WITH_PAST)]
        components = body.get("components")
        graphs = self._graphs(components) or (self._graph("model", body, key.span),)
        model_class = read_text(body.get("class"))
        when = body.get("when")
        monolith = body.get("monolith") if isinstance(components, Mapping) else None
        return TaskSpec(
            name=name,
            feature=feature_of(name),
            auto_class=None if model_class is not None else read_text(body.get("auto_class")) or vocabulary.auto_class,
            model_class=model_class,
            config=read_config(body.get("config")),
            reference_config=read_config(child(body, "reference", "config")),
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
            pooled=vocabulary.pooled,
        )

    def _notes(self, node: Node | None) -> Iterator[Note]:
        for key, value in node.entries if isinstance(node, Mapping) else ():
            text = child(value, "text") if isinstance(value, Mapping) else value
            when = child(value, "when")
            if not isinstance(text, Scalar) or text.value is None:
                hint = "a note is a text, or {when: config.sparse, text: what a client must know}"
                self._report(MISSING_KEY, f"the note '{key.value}' has no 'text'", key.span, hint)
                continue
            yield Note(str(text.value), self._expression(when) if isinstance(when, Scalar) else None, text.content)

    def _refusals(self, node: Node | None) -> Iterator[tuple[str, Refusal]]:
        """Yield the refusals that depend on the config."""
        for key, value in node.entries if isinstance(node, Mapping) else ():
            when, because = child(value, "when"), read_text(child(value, "because"))
            if isinstance(when, Scalar) and because is not None:
                yield str(key.value), Refusal(self._expression(when), because)

    def _graphs(self, node: Node | None) -> tuple[GraphSpec, ...]:
        entries = node.entries if isinstance(node, Mapping) else ()
        return tuple(
            self._graph(str(key.value), body, key.span, body) for key, body in entries if isinstance(body, Mapping)
        )

    def _graph(self, component: str, body: Mapping, span: Span, own: Mapping | None = None) -> GraphSpec:
        """Return a graph.

        Args:
            component: what the graph is called.
            body: its merged tree, which for a task of one graph is that of the task.
            span: its place.
            own: the tree with patches and refusals of this graph alone. Those of a task of one graph are the task's.
        """
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
            module=read_text(module) if module is not None else None,
            constants=constants,
            built=tuple(built),
            inputs=tuple(self._tensors(body.get("inputs"), needs_fill=True)),
            outputs=tuple(self._tensors(body.get("outputs"), needs_fill=False)),
            internals=tuple(self._tensors(body.get("internals"), needs_fill=False)),
            ignored=_reasons(body.get("outputs_ignored")),
            patches=_reasons(child(own, "patches")),
            refused=_reasons(child(own, "refused")),
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
                    MALFORMED_TENSOR,
                    f"'{tensor.name}' is made inside the graph, which '{fill.name}' cannot be",
                    place,
                    f"the fills of an argument are {', '.join(sorted(BUILT))}; anything else is an input",
                )
            elif fill.name == "positions" and str(fill.args[0].value) not in names:
                self._report(
                    MALFORMED_TENSOR,
                    f"'{tensor.name}' counts the positions of '{fill.args[0].value}', which is no input of the graph",
                    place,
                    suggest(str(fill.args[0].value), names, otherwise="the inputs are"),
                )

    def _tensors(self, node: Node | None, *, needs_fill: bool) -> Iterator[TensorSpec]:
        for key, value in node.entries if isinstance(node, Mapping) else ():
            for tensor in self._tensor(key, value, needs_fill=needs_fill):
                fill = tensor.type.fill
                if fill is not None and fill.name == "positions":
                    self._report(
                        MALFORMED_TENSOR,
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
        spend(20 + len(line.value) // 4)
        try:
            tensor_type = parse_tensor_type(line.value)
        except TensorTypeError as error:
            self._report(
                MALFORMED_TENSOR,
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
            self._report(MALFORMED_TENSOR, message, place, hint)
            return
        when, argument = child(node, "when"), read_text(child(node, "argument"))
        unused = to_data(node) if isinstance(node, Mapping) else {}
        reason = unused.get("because") if isinstance(unused, dict) and unused.get("unused") else None
        yield TensorSpec(
            name=name,
            type=tensor_type,
            argument="" if argument == _NOT_GIVEN else argument or name,
            field=read_text(child(node, "field")) or _field_of(name),
            when=self._expression(when) if isinstance(when, Scalar) else None,
            unused=str(reason) if reason is not None else None,
            beyond=read_text(child(node, "beyond")),
            count=read_text(child(node, "count")),
            span=key.span,
            type_span=span,
        )

    def _tolerances(self, node: Node | None) -> Iterator[tuple[str, Tolerance]]:
        for key, value in node.entries if isinstance(node, Mapping) else ():
            atol, rtol, because = (child(value, part) for part in ("atol", "rtol", "because"))
            if not isinstance(atol, Scalar) or not isinstance(rtol, Scalar):
                missing = "atol" if not isinstance(atol, Scalar) else "rtol"
                self._report(
                    MISSING_KEY,
                    f"the tolerance '{key.value}' has no '{missing}'",
                    key.span,
                    "a tolerance is {atol: 1.0e-5, rtol: 1.0e-5}",
                )
                continue
            yield (
                str(key.value),
                Tolerance(read_float(atol, 0.0), read_float(rtol, 0.0), read_text(because), key.span),
            )

    def _report(self, rule: Rule, message: str, span: Span, help_: str | None = None) -> None:
        self.diagnostics.append(rule.at(message, span, help_))


def _field_of(name: str) -> str:
    """Return the model output a tensor is read from: ``present.0.key`` is the new ``past_key_values.0.key``."""
    head, dot, rest = name.partition(".")
    return f"past_key_values{dot}{rest}" if head == "present" and dot else name


def read_variants(node: Node | None) -> tuple[dict[str, Data], ...]:
    """Return the configs of a list of variants."""
    return tuple(read_config(item) for item in node.items) if isinstance(node, Sequence) else ()


def read_minimum_opsets(node: Mapping | None) -> Iterator[tuple[str, MinimumOpset]]:
    """Yield the lowest opset of each dtype: its own where that is higher than the one for all."""
    for dtype in DTYPES if node is not None else ():
        minimums = [
            MinimumOpset(minimum.value, read_text(child(part, "because")) or "")
            for part in (node, child(node, dtype))
            if isinstance(minimum := child(part, "minimum"), Scalar) and isinstance(minimum.value, int)
        ]
        if minimums:
            yield dtype, max(minimums, key=lambda minimum: minimum.opset)


def read_text(node: Node | None) -> str | None:
    """Return a scalar as text, or None for an empty scalar and for a node that is no scalar."""
    return str(node.value) if isinstance(node, Scalar) and node.value is not None else None


def _int(node: Scalar) -> int:
    return node.value if isinstance(node.value, int) else 0


def read_float(node: Node | None, otherwise: float) -> float:
    """Return the number of a scalar, or ``otherwise`` for a node that is no number."""
    return float(node.value) if isinstance(node, Scalar) and isinstance(node.value, int | float) else otherwise


def read_config(node: Node | None) -> dict[str, Data]:
    """Return a mapping of config values as data; empty where there is none."""
    if not isinstance(node, Mapping):
        return {}
    spend(_count(node))
    data = to_data(node)
    return data if isinstance(data, dict) else {}


def _count(node: Node) -> int:
    """Return how many values a node has."""
    if isinstance(node, Mapping):
        return 1 + sum(_count(value) for _, value in node.entries)
    return 1 + sum(map(_count, node.items)) if isinstance(node, Sequence) else 1


def _targets(node: Node | None) -> Iterator[tuple[str, TargetLimit]]:
    for key, value in node.entries if isinstance(node, Mapping) else ():
        if isinstance(value, Mapping):
            listed = value.get("static")
            static = [read_text(item) or "" for item in listed.items] if isinstance(listed, Sequence) else []
            yield (
                str(key.value),
                TargetLimit(
                    refused=read_text(value.get("refused")),
                    static=tuple(static),
                    because=read_text(value.get("because")),
                    settings=_settings(value.get("settings")),
                    span=value.span,
                ),
            )


def _settings(node: Node | None) -> dict[str, bool | int | str]:
    return {name: value for name, value in read_config(node).items() if isinstance(value, bool | int | str)}


def _reasons(node: Node | None) -> Reasons:
    """Return the entries that are a reason and nothing else.

    Under ``refused:``, ``dynamo: it loses the mask`` is one; ``dynamo: {when: …, because: …}`` is read by `_refusals`.
    """
    return {name: text for name, text in read_config(node).items() if isinstance(text, str)}


def _tracer(node: Node | None) -> TracerChoice:
    if node is None:
        return TracerChoice(DEFAULT_TRACER, None)
    if isinstance(node, Mapping):
        return TracerChoice(read_text(node.get("use")) or DEFAULT_TRACER, read_text(node.get("because")), node.span)
    return TracerChoice(read_text(node) or DEFAULT_TRACER, None, node.span)
