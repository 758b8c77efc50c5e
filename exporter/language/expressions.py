"""Evaluate the expressions of ``dims:`` and ``when:`` in a sandbox, and list the names they read.

An expression is a Jinja *expression*, not a template: ``config.n_embd // config.n_head``. It sees ``config``,
``processor`` and the sizes of other static dims, and can call nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.sandbox import SandboxedEnvironment

from exporter.errors import did_you_mean, first_line

MAX_LENGTH = 500
# A product of halvings (`2 ** stages`) is a size; anything beyond these is work that grows with a number in the text.
_MAX_BASE, _MAX_EXPONENT = 1 << 10, 64
# What an expression may name beside dims.
ROOTS = ("config", "processor")
_PATH = re.compile(r"config(\.[A-Za-z_][A-Za-z0-9_]*|\[\d+\])+\Z")


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


class _Sandbox(SandboxedEnvironment):
    """Attributes and items only: no calls, no private names, no work that grows with a number in the text."""

    intercepted_binops = frozenset({"**", "*"})

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        return not attr.startswith("_") and not callable(value)

    def is_safe_callable(self, obj: Any) -> bool:
        return False

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        bounded = (
            isinstance(left, int) and isinstance(right, int) and abs(left) <= _MAX_BASE and 0 <= right <= _MAX_EXPONENT
        )
        if (operator == "**" and not bounded) or not all(isinstance(side, int | float) for side in (left, right)):
            raise jinja2.exceptions.SecurityError(f"operator '{operator}' on {left!r} and {right!r}")
        return super().call_binop(context, operator, left, right)


@lru_cache(maxsize=1)
def _environment() -> _Sandbox:
    environment = _Sandbox(undefined=jinja2.StrictUndefined, cache_size=0, autoescape=False)
    environment.globals.clear()
    kept = {"int", "abs", "first", "last", "length", "max", "min", "sum"}
    environment.filters = {name: value for name, value in environment.filters.items() if name in kept}
    environment.filters["convolved"] = convolved_length
    environment.filters["product"] = _product
    return environment


def _product(sizes: Any) -> int:
    """Return the product of a list of sizes, such as the strides of consecutive layers."""
    if (
        not isinstance(sizes, list | tuple)
        or len(sizes) > _MAX_EXPONENT
        or not all(type(size) is int for size in sizes)
    ):
        raise ValueError(f"a product is of at most {_MAX_EXPONENT} whole numbers")
    return math.prod(sizes)


def convolved_length(length: int, kernels: Any, strides: Any, padding: int = 0, times: int = 1) -> int:
    """Return what windows that slide over an axis leave of its length.

    In a spec: ``audio | convolved(config.conv_kernel, config.conv_stride)``.

    Args:
        length: the length of the axis.
        kernels: the length of a window, or of the windows of several layers one after another.
        strides: how far a window moves, likewise.
        padding: what each layer adds to both ends beforehand.
        times: how often the layers are repeated; 0 leaves the length as it is.

    Raises:
        ValueError: a size is no whole number, the layers do not pair up, or nothing is left.
    """
    listed = [list(sizes) if isinstance(sizes, list | tuple) else [sizes] for sizes in (kernels, strides)]
    if len(listed[0]) != len(listed[1]):
        raise ValueError(f"{len(listed[0])} kernels and {len(listed[1])} strides")
    if not all(type(size) is int for size in (length, padding, times, *listed[0], *listed[1])):
        raise ValueError("lengths, kernels, strides, padding and times are whole numbers")
    if not 0 <= times <= _MAX_EXPONENT or min(listed[1], default=1) < 1:
        raise ValueError(f"strides start at 1, and layers repeat at most {_MAX_EXPONENT} times")
    for _ in range(times):
        for kernel, stride in zip(*listed, strict=True):
            length = (length + 2 * padding - kernel) // stride + 1
            if length < 1:
                raise ValueError("nothing is left of the axis")
    return length


@lru_cache(maxsize=4096)
def _parse(text: str) -> nodes.Template:
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"the expression has {len(text)} characters; at most {MAX_LENGTH} are allowed", text)
    try:
        tree = _environment().parse("{{ (" + text + ") }}")
        # What the author wrote must be one expression; "}}" would otherwise close ours.
        output = tree.body[0] if len(tree.body) == 1 else None
        if not isinstance(output, nodes.Output) or len(output.nodes) != 1:
            raise ExpressionError("this is not one expression", text)
        _compile(text)
    except jinja2.TemplateError as error:
        # The parenthesis that ends too early is the one put around the text above.
        reason = "it ends too early" if error.message == "unexpected ')'" else error.message or first_line(error)
        raise ExpressionError(f"malformed expression: {reason}", text) from None
    except RecursionError:
        raise ExpressionError("the expression is nested too deeply", text) from None
    for call in tree.find_all(nodes.Call):
        name = call.node.attr if isinstance(call.node, nodes.Getattr) else getattr(call.node, "name", "")
        raise ExpressionError("an expression cannot call anything", text, str(name) or None)
    return tree


@lru_cache(maxsize=4096)
def _compile(text: str) -> Any:
    return _environment().compile_expression(text, undefined_to_none=False)


@lru_cache(maxsize=4096)
def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(node.name for node in _parse(text).find_all(nodes.Name)))


def expression_names(text: str) -> list[str]:
    """Return the names an expression reads, ``config`` among them.

    Raises:
        ExpressionError: ``text`` is not an expression.
    """
    return list(_names(text))


def expression_paths(text: str) -> list[str]:
    """Return the config paths an expression reads, such as ``vision_config.image_size``, outermost first."""
    read = _parse(text).find_all((nodes.Getattr, nodes.Getitem))
    nested = {_dotted(node): None for node in read if _root(node) == "config"}
    paths = [path for path in nested if path]
    return [path for path in paths if not any(other != path and other.startswith(path + ".") for other in paths)]


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
        ExpressionError: the text is malformed, or reads an attribute the config does not have.
    """
    if _PATH.match(text.strip()):
        value = _walk(text.strip(), config)
        if value is not _MISSING:
            return value
    sizes = sizes or {}
    known = {*ROOTS, *sizes}
    names = expression_names(text)
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known, otherwise="an expression may name")
            raise ExpressionError(f"unknown name '{name}' in an expression", text, name, help=hint)
    try:
        values = {name: sizes[name] for name in names if name not in ROOTS}
        value = _compile(text)(config=config, processor=processor or ProcessorValues(), **values)
    except jinja2.exceptions.UndefinedError as error:
        raise _undefined(text, config, first_line(error)) from None
    except jinja2.TemplateError as error:
        raise ExpressionError(f"the expression is not allowed: {first_line(error)}", text) from None
    except (ArithmeticError, TypeError, ValueError, LookupError, AttributeError) as error:
        raise ExpressionError(f"the expression failed: {first_line(error)}", text) from None
    # A missing attribute alone does not raise: it is returned.
    if isinstance(value, jinja2.Undefined):
        raise _undefined(text, config, "missing")
    return value


_MISSING = object()


def _walk(path: str, config: Any) -> Any:
    """Follow ``config.a.b[0]`` without the template engine, which is most of what specs say."""
    value = config
    for step in re.findall(r"\.(\w+)|\[(\d+)\]", path):
        try:
            value = getattr(value, step[0]) if step[0] else value[int(step[1])]
        except (AttributeError, TypeError, LookupError):
            return _MISSING
        if step[0].startswith("_") or callable(value):
            return _MISSING
    return value


def _undefined(text: str, config: Any, reason: str) -> ExpressionError:
    for path in expression_paths(text):
        value = config
        for step in path.split("."):
            if isinstance(value, list | tuple) and step.isdigit():
                value = value[int(step)] if int(step) < len(value) else _MISSING
            else:
                value = getattr(value, step, _MISSING)
            if value is _MISSING:
                return ExpressionError(
                    f"the config has no '{path}'",
                    text,
                    f".{step}" if f".{step}" in text else None,
                    help=_nearest(step, config),
                )
    return ExpressionError(f"the expression failed: {reason}", text)


def _nearest(name: str, config: Any) -> str | None:
    return (
        did_you_mean(name, [key for key in vars(config) if not key.startswith("_")])
        if hasattr(config, "__dict__")
        else None
    )


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
