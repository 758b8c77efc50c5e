"""Evaluate the expressions of ``dims:`` and ``when:``, and list the names they read.

An expression is written as a Jinja *expression*, not a template: ``config.n_embd // config.n_head``. It sees
``config``, ``processor`` and the sizes of other static dims, and can call nothing. Jinja parses the text and runs
nothing of it: each kind of node is evaluated here with what `operations` has for it, or it is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.parser import Parser

from exporter.errors import first_line
from exporter.language.effort import spend, suggest
from exporter.language.operations import (
    BINARY,
    FILTERS,
    MAX_NUMBER,
    TESTS,
    UNARY,
    Missing,
    RefusedError,
    bounded,
    compare,
    is_number,
    kind_of,
    number,
    refuse_missing,
)

MAX_LENGTH = 500
MAX_NODES = 200
MAX_NESTING = 24
# What an expression may name beside dims.
ROOTS = ("config", "processor")
# What Jinja says of a text that ends in the middle of an expression.
_EARLY = ("unexpected ')'", "unexpected 'end of template'")
_PATH = re.compile(r"config(\.[A-Za-z_][A-Za-z0-9_]*|\[\d{1,4}\])+\Z")


class ExpressionError(Exception):
    """An expression that cannot be parsed or evaluated; ``start`` and ``end`` mark the culprit in its text."""

    def __init__(self, message: str, text: str, culprit: str | None = None, help: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.help = help
        at = text.find(culprit) if culprit else -1
        self.start, self.end = (at, at + len(culprit)) if culprit and at >= 0 else (0, len(text))


class ProcessorValues:
    """The settings of a checkpoint's processor as attributes: None for each that its files do not say.

    A reference has no processor, and a checkpoint need not have one, so that a setting nobody made is no error.
    """

    def __init__(self, values: Mapping[str, Any] | None = None) -> None:
        self._values = dict(values or {})

    def __getattr__(self, key: str) -> Any:
        return None if key.startswith("_") else self._values.get(key)


@lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    return jinja2.Environment(cache_size=0, autoescape=False)


_ASKS_WHETHER_THERE = {"defined": True, "undefined": False}

_ALLOWED: tuple[type[nodes.Node], ...] = (
    *(getattr(nodes, name) for name in (*BINARY, *UNARY)),
    nodes.Name,
    nodes.Const,
    nodes.Getattr,
    nodes.Getitem,
    nodes.Not,
    nodes.And,
    nodes.Or,
    nodes.Compare,
    nodes.Operand,
    nodes.CondExpr,
    nodes.List,
    nodes.Tuple,
    nodes.Filter,
    nodes.Test,
    nodes.Keyword,
)
_WORDS: dict[type[nodes.Node], str] = {
    nodes.Concat: "'~' joins texts, and an expression computes sizes",
    nodes.Slice: "a part of a list cannot be taken, only an item of it",
    nodes.Dict: "an expression cannot make a mapping",
    nodes.TemplateData: "this is not one expression",
}


# Parsing


@lru_cache(maxsize=512)
def _parse(text: str) -> nodes.Expr:
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"the expression has {len(text):,} characters; at most {MAX_LENGTH} are allowed", text)
    if not text.strip():
        raise ExpressionError("the expression is empty", text)
    try:
        parser = Parser(_environment(), text, state="variable")
        expression = parser.parse_expression()
        if not parser.stream.eos:
            raise ExpressionError("this is not one expression", text)
        _check(expression)
    except jinja2.TemplateError as error:
        early = error.message is not None and error.message.endswith(_EARLY)
        reason = "it ends too early" if early else error.message or first_line(error)
        raise ExpressionError(f"malformed expression: {reason}", text) from None
    except RefusedError as refused:
        raise ExpressionError(refused.message, text, refused.culprit, refused.help) from None
    except RecursionError:
        raise ExpressionError("the expression is nested too deeply", text) from None
    except (ValueError, OverflowError, Warning) as error:  # of a literal: an escape that ends nowhere, too many digits
        raise ExpressionError(f"malformed expression: {first_line(error)}", text) from None
    return expression


def _check(expression: nodes.Expr) -> None:
    """Refuse what the language does not have, before anything is evaluated."""
    level: list[nodes.Node] = [expression]
    count = 0
    for _ in range(MAX_NESTING):
        count += len(level)
        if count > MAX_NODES:
            raise RefusedError(f"the expression has more than {MAX_NODES} parts")
        for node in level:
            _check_node(node)
        level = [child for node in level for child in node.iter_child_nodes()]
        if not level:
            return
    raise RefusedError("the expression is nested too deeply")


def _check_node(node: nodes.Node) -> None:
    if isinstance(node, nodes.Call):
        name = node.node.attr if isinstance(node.node, nodes.Getattr) else getattr(node.node, "name", "")
        raise RefusedError("an expression cannot call anything", str(name) or None)
    if not isinstance(node, _ALLOWED):
        raise RefusedError(_WORDS.get(type(node), f"an expression has no {type(node).__name__.lower()}"))
    if isinstance(node, nodes.Getattr):
        _check_attribute(node.attr)
    if isinstance(node, nodes.BinExpr) and type(node).__name__ in BINARY:
        for side in (node.left, node.right):
            if isinstance(side, nodes.List | nodes.Tuple) or (
                isinstance(side, nodes.Const) and not is_number(side.value)
            ):
                sign = BINARY[type(node).__name__][0]
                raise RefusedError(f"'{sign}' takes numbers, and one of these is text or a list", sign)
    if isinstance(node, nodes.Filter):
        if node.name not in FILTERS:
            hint = suggest(node.name, FILTERS, otherwise="the filters are")
            raise RefusedError(f"there is no filter '{node.name}'", node.name, hint)
        _refuse_unpacking(node)
    if isinstance(node, nodes.Test):
        if node.name not in (*TESTS, *_ASKS_WHETHER_THERE):
            hint = suggest(node.name, (*TESTS, *_ASKS_WHETHER_THERE), otherwise="the tests are")
            raise RefusedError(f"there is no test '{node.name}'", node.name, hint)
        if node.args or node.kwargs:
            raise RefusedError(f"the test '{node.name}' takes nothing else", node.name)
        _refuse_unpacking(node)


def _refuse_unpacking(node: nodes.Filter | nodes.Test) -> None:
    if node.node is None or node.dyn_args is not None or node.dyn_kwargs is not None:
        raise RefusedError(f"'{node.name}' is given its values one by one", node.name)


def _check_attribute(name: str) -> None:
    if name.startswith("_"):
        raise RefusedError(f"'{name}' is private", name)


@lru_cache(maxsize=4096)
def _names(text: str) -> tuple[str, ...]:
    expression = _parse(text)
    own = (expression.name,) if isinstance(expression, nodes.Name) else ()
    return tuple(dict.fromkeys((*own, *(node.name for node in expression.find_all(nodes.Name)))))


def expression_names(text: str) -> list[str]:
    """Return the names an expression reads, ``config`` among them.

    Raises:
        ExpressionError: ``text`` is not an expression.
    """
    # As much for a text that was parsed before, so that the count does not depend on what was.
    spend(1 + min(len(text), MAX_LENGTH))
    return list(_names(text))


def expression_paths(text: str) -> list[str]:
    """Return the config paths an expression reads, such as ``vision_config.image_size``, outermost first."""
    spend(1 + min(len(text), MAX_LENGTH))
    expression = _parse(text)
    steps = [expression, *expression.find_all((nodes.Getattr, nodes.Getitem))]
    read = [node for node in steps if isinstance(node, nodes.Getattr | nodes.Getitem) and _root(node) == "config"]
    nested = {_dotted(node): None for node in read}
    paths = [path for path in nested if path]
    return [path for path in paths if not any(other != path and other.startswith(path + ".") for other in paths)]


# Evaluating


def evaluate_expression(
    text: str, config: Any, sizes: Mapping[str, int] | None = None, processor: ProcessorValues | None = None
) -> Any:
    """Evaluate ``text`` against a config object (or anything with attributes) and the sizes of static dims.

    Args:
        text: the expression.
        config: what ``config`` stands for.
        sizes: the sizes of the dims that the expression may name.
        processor: what ``processor`` stands for. Default: a processor that says nothing.

    Raises:
        ExpressionError: the text is malformed, reads an attribute the config does not have, or goes beyond a bound.
    """
    path = text.strip()
    value = _walk(path, config) if len(path) <= MAX_LENGTH and _PATH.match(path) else _ABSENT
    if value is not _ABSENT:
        return value
    sizes = sizes or {}
    for name in expression_names(text):
        if name not in ROOTS and name not in sizes:
            hint = suggest(name, {*ROOTS, *sizes}, otherwise="an expression may name")
            raise ExpressionError(f"unknown name '{name}' in an expression", text, name, help=hint)
    try:
        value = _Evaluation(config, processor or ProcessorValues(), sizes).value(_parse(text))
        if isinstance(value, Missing):
            refuse_missing(value)
        return bounded(value)
    except RefusedError as refused:
        missing = _undefined(text, config) if refused.message.startswith("the config has no") else None
        raise missing or ExpressionError(refused.message, text, refused.culprit, refused.help) from None
    except (ArithmeticError, TypeError, ValueError, LookupError, AttributeError) as error:
        raise ExpressionError(f"the expression failed: {first_line(error)}", text) from None


class _Evaluation:
    """One evaluation of an expression, against a config and the sizes of dims."""

    def __init__(self, config: Any, processor: ProcessorValues, sizes: Mapping[str, int]) -> None:
        self.roots, self.sizes = dict(zip(ROOTS, (config, processor), strict=True)), sizes

    def value(self, node: nodes.Node) -> Any:
        """Return the value of a node that was checked."""
        spend()
        match node:
            case nodes.Const():
                return node.value
            case nodes.Name():
                return self.roots[node.name] if node.name in self.roots else self.sizes[node.name]
            case nodes.Getattr():
                return _step(self.given(node.node), node.attr)
            case nodes.Getitem():
                return _step(self.given(node.node), self.given(node.arg))
            case nodes.List() | nodes.Tuple():
                return [self.given(item) for item in node.items]
            case nodes.CondExpr():
                return self._choice(node)
            case nodes.And() | nodes.Or():
                left = self.given(node.left)
                return self.given(node.right) if bool(left) is isinstance(node, nodes.And) else left
            case nodes.Not():
                return not self.given(node.node)
            case nodes.Compare():
                return self._comparison(node)
            case nodes.Filter():
                return self._filtered(node)
            case nodes.Test():
                return self._tested(node)
            case nodes.UnaryExpr():
                sign, compute = UNARY[type(node).__name__]
                return compute(number(self.given(node.node), f"'{sign}'"))
            case nodes.BinExpr():
                sign, combine = BINARY[type(node).__name__]
                left, right = (number(self.given(side), f"'{sign}'") for side in (node.left, node.right))
                return bounded(combine(left, right))
        raise RefusedError(f"an expression has no {type(node).__name__.lower()}")

    def given(self, node: nodes.Node | None) -> Any:
        """Return the value of a node, which the config must have."""
        value = self.value(node) if node is not None else None
        if isinstance(value, Missing):
            refuse_missing(value)
        return value

    def _choice(self, node: nodes.CondExpr) -> Any:
        if self.given(node.test):
            return self.given(node.expr1)
        if node.expr2 is None:
            raise RefusedError("the expression has no value where its condition is false", help="write 'a if b else c'")
        return self.given(node.expr2)

    def _comparison(self, node: nodes.Compare) -> bool:
        left = self.given(node.expr)
        for operand in node.ops:
            right = self.given(operand.expr)
            if not compare(operand.op, left, right):
                return False
            left = right
        return True

    def _filtered(self, node: nodes.Filter) -> Any:
        args = [self.given(item) for item in (node.node, *node.args)]
        named = {str(pair.key): self.given(pair.value) for pair in node.kwargs}
        return bounded(FILTERS[node.name](*args, **named))

    def _tested(self, node: nodes.Test) -> bool:
        if node.name in _ASKS_WHETHER_THERE:
            return isinstance(self.value(node.node), Missing) is not _ASKS_WHETHER_THERE[node.name]
        return TESTS[node.name](self.given(node.node))


def _step(value: Any, key: Any) -> Any:
    """Return an attribute of a config, an item of a list, or an entry of a mapping; `Missing` where there is none."""
    if isinstance(value, list | tuple):
        if type(key) is not int:
            raise RefusedError(f"an item of a list is asked for by its number, not by {key!r:.40}")
        return value[key] if -len(value) <= key < len(value) else Missing(str(key))
    if not isinstance(key, str):
        if isinstance(value, Mapping) and type(key) is int:
            return value.get(key, Missing(str(key)))
        raise RefusedError(f"{kind_of(value)} has no item {key!r:.40}")
    _check_attribute(key)
    if isinstance(value, Mapping):
        return value.get(key, Missing(key))
    if value is None or isinstance(value, str | int | float):
        return Missing(key)
    found = getattr(value, key, _ABSENT)
    if callable(found):
        raise RefusedError(f"'{key}' is a method, which an expression cannot call", key)
    return Missing(key) if found is _ABSENT else found


_ABSENT = object()


def _walk(path: str, config: Any) -> Any:
    """Follow ``config.a.b[0]`` without a parser, which is most of what specs say."""
    value = config
    for name, index in re.findall(r"\.(\w+)|\[(\d+)\]", path):
        try:
            value = getattr(value, name) if name else value[int(index)]
        except (AttributeError, TypeError, LookupError):
            return _ABSENT
        if name.startswith("_") or callable(value):
            return _ABSENT
    return value if not isinstance(value, int) or -MAX_NUMBER <= value <= MAX_NUMBER else _ABSENT


def _undefined(text: str, config: Any) -> ExpressionError | None:
    """Return an error that names the first key on an expression's paths which the config lacks."""
    for path in expression_paths(text):
        value = config
        for step in path.split("."):
            if isinstance(value, list | tuple) and step.isdigit():
                value = value[int(step)] if int(step) < len(value) else _ABSENT
            elif isinstance(value, Mapping):
                value = value.get(step, _ABSENT)
            else:
                value = getattr(value, step, _ABSENT)
            if value is _ABSENT:
                return ExpressionError(
                    f"the config has no '{path}'",
                    text,
                    f".{step}" if f".{step}" in text else None,
                    help=_nearest(step, config),
                )
    return None


def _nearest(name: str, config: Any) -> str | None:
    names = config.known_names() if hasattr(type(config), "known_names") else getattr(config, "__dict__", None)
    return suggest(name, [key for key in names if not key.startswith("_")]) if names is not None else None


def _dotted(node: nodes.Node) -> str:
    return ".".join(_steps(node))


def _root(node: nodes.Node) -> str | None:
    """Return the name at the start of a path; None where a path starts with something else."""
    while isinstance(node, nodes.Getattr | nodes.Getitem):
        node = node.node
    return node.name if isinstance(node, nodes.Name) else None


def _steps(node: nodes.Node) -> Iterator[str]:
    if isinstance(node, nodes.Getattr):
        yield from _steps(node.node)
        yield node.attr
    elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
        yield from _steps(node.node)
        yield str(node.arg.value)
