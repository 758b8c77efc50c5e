"""Docstrings that name every option, so that ``help(exporter.build)`` shows them all with types and defaults."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from typing import TypeVar

Documented = TypeVar("Documented", bound=Callable[..., object])

WIDTH = 110
_ENTRY = re.compile(r"^ {4}(\w+): ((?:.*)(?:\n {8}.*)*)", re.MULTILINE)


def names_options(*kinds: type) -> Callable[[Documented], Documented]:
    """Return a decorator that adds the keys of typed dictionaries to the docstring of what takes them as ``**options``.

    Args:
        kinds: the dictionaries, each with the keys that the others do not describe under ``Attributes:``.
    """

    def decorate(function: Documented) -> Documented:
        # Without docstrings, as under `python -OO`, there is nothing to add to.
        if function.__doc__ is not None:
            lines = [line for kind in kinds for line in _described(kind)]
            function.__doc__ = "\n".join([inspect.cleandoc(function.__doc__), "", "Options:", *lines])
        return function

    return decorate


def _described(kind: type) -> Iterator[str]:
    """Yield the keys of a typed dictionary: ``opset: int | None``, and its meaning and default below it."""
    _, _, attributes = inspect.cleandoc(kind.__doc__ or "").partition("Attributes:\n")
    for name, text in _ENTRY.findall(attributes):
        yield f"    {name}: {_type_text(kind.__annotations__[name])}"
        yield from textwrap.wrap(
            " ".join(text.split()), WIDTH, initial_indent=" " * 8, subsequent_indent=" " * 8, break_on_hyphens=False
        )


def _type_text(annotation: object) -> str:
    """Return an annotation as it is written; typing holds those of a typed dictionary as forward references."""
    return str(getattr(annotation, "__forward_arg__", annotation)).removesuffix(" | None")
