"""Parse and print a tensor line: ``int64[batch, sequence] = randint(vocab)``.

The notation is the one ONNX uses in its text form, with the way a dummy value is made behind ``=``::

    tensor := dtype "[" [dim ("," dim)*] "]" ["=" fill]
    dim    := term (" + " term)*            term := name | integer
    fill   := name ["(" arg ("," arg)* ")"] ["ending" "(" arg ")"]
    arg    := name | integer | decimal
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

from exporter.errors import did_you_mean

DTYPES = ("float", "float16", "bfloat16", "float32", "float64", "int8", "uint8", "int32", "int64", "bool")
FLOATING = frozenset({"float", "float16", "bfloat16", "float32", "float64"})

# What each fill takes, and the dtypes it can make. `float` is the dtype of the build.
FILLS: dict[str, tuple[range, frozenset[str]]] = {
    "randint": (range(1, 3), frozenset({"int64"})),
    "arange": (range(2), frozenset({"int64"})),
    "padding": (range(2), frozenset({"int64"})),
    "boxes": (range(1, 2), frozenset({"int64"})),
    "ones": (range(1), frozenset(DTYPES)),
    "zeros": (range(1), frozenset(DTYPES)),
    "randn": (range(1), FLOATING),
    "rand": (range(1), FLOATING),
    "bernoulli": (range(1, 2), frozenset({"bool", "int64"})),
    "positions": (range(1, 2), frozenset({"int64"})),
}
# Fills of tensors that are made inside the graph rather than given to it.
BUILT = frozenset({"zeros", "ones", "positions"})
# Fills whose argument is a word, and no dim.
WORDY = frozenset({"padding", "positions"})

# No size and no probability needs more of them.
_MAX_DIGITS = 18

_TOKEN = re.compile(r"\s*(?:(?P<number>\d+(?:\.\d+)?)|(?P<name>[A-Za-z_]\w*)|(?P<punct>[\[\](),=+]))")


class TensorTypeError(Exception):
    """A tensor line that cannot be read; ``start`` and ``end`` mark the culprit in its text."""

    def __init__(self, message: str, start: int, end: int, help: str | None = None) -> None:
        super().__init__(message)
        self.message, self.start, self.end, self.help = message, start, end, help


@dataclass(frozen=True, slots=True)
class Term:
    """A name or a number, with its place in the line."""

    value: str | int | float
    start: int = 0
    end: int = 0

    def __str__(self) -> str:
        # Without an exponent, which the notation does not have.
        return format(Decimal(repr(self.value)), "f") if isinstance(self.value, float) else str(self.value)


@dataclass(frozen=True, slots=True)
class Dim:
    """The length of one axis: a sum of terms, usually of one."""

    terms: tuple[Term, ...]

    def names(self) -> tuple[str, ...]:
        """Return the dim names in the sum."""
        return tuple(term.value for term in self.terms if isinstance(term.value, str))

    def __str__(self) -> str:
        return " + ".join(map(str, self.terms))


@dataclass(frozen=True, slots=True)
class Fill:
    """How a dummy tensor is made: ``randint(vocab) ending(eos)``."""

    name: str
    args: tuple[Term, ...] = ()
    ending: Term | None = None
    start: int = 0
    end: int = 0

    def __str__(self) -> str:
        args = f"({', '.join(map(str, self.args))})" if self.args else ""
        ending = f" ending({self.ending})" if self.ending is not None else ""
        return f"{self.name}{args}{ending}"


@dataclass(frozen=True, slots=True)
class TensorType:
    """An element type, the lengths of the axes, and for inputs a fill."""

    dtype: str
    dims: tuple[Dim, ...]
    fill: Fill | None = None

    def __str__(self) -> str:
        fill = f" = {self.fill}" if self.fill is not None else ""
        return f"{self.dtype}[{', '.join(map(str, self.dims))}]{fill}"

    def terms(self) -> list[Term]:
        """Return every term in shape and fill that may name a dim."""
        terms = [term for dim in self.dims for term in dim.terms]
        if self.fill is not None and self.fill.name not in WORDY:
            terms += [*self.fill.args, *([self.fill.ending] if self.fill.ending is not None else [])]
        return terms


def parse_tensor_type(text: str) -> TensorType:
    """Parse a tensor line.

    Raises:
        TensorTypeError: with the place of the first thing that is wrong.
    """
    return _Parser(text).tensor()


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.kind, self.word, self.start = "", "", 0
        self.advance()

    def advance(self) -> None:
        match = _TOKEN.match(self.text, self.at)
        if match is not None:
            self.kind, self.word = str(match.lastgroup), str(match.group(str(match.lastgroup)))
            self.start, self.at = match.start(str(match.lastgroup)), match.end()
            return
        rest = len(self.text) - len(self.text[self.at :].lstrip())
        self.kind, self.word, self.start = (
            ("end", "", len(self.text)) if rest >= len(self.text) else ("bad", self.text[rest], rest)
        )

    def fail(self, expected: str, help_: str | None = None) -> TensorTypeError:
        actual = f"'{self.word}'" if self.word else "the end of the line"
        end = self.start + max(len(self.word), 1)
        return TensorTypeError(f"expected {expected}, found {actual}", self.start, end, help_ or _SHAPE_HELP)

    def take(self, punct: str, why: str) -> None:
        if self.word != punct:
            raise self.fail(f"'{punct}' {why}")
        self.advance()

    def tensor(self) -> TensorType:
        if self.kind != "name":
            raise self.fail("a dtype")
        if self.word not in DTYPES:
            end = self.start + len(self.word)
            raise TensorTypeError(
                f"unknown dtype '{self.word}'",
                self.start,
                end,
                did_you_mean(self.word, DTYPES, otherwise="the dtypes are"),
            )
        dtype = self.word
        self.advance()
        self.take("[", "after the dtype")
        dims: list[Dim] = []
        while self.word != "]":
            if dims:
                self.take(",", "or ']' after a dim")
            dims.append(self.dim())
        self.advance()
        fill = None
        if self.word == "=":
            self.advance()
            fill = self.fill()
        if self.kind != "end":
            raise self.fail("'=' and a fill, or the end of the line" if fill is None else "the end of the line")
        return TensorType(dtype, tuple(dims), fill)

    def term(self, expected: str) -> Term:
        if self.kind not in ("name", "number"):
            raise self.fail(expected)
        value: str | int | float = self.word
        if self.kind == "number":
            if len(self.word) > _MAX_DIGITS:
                end = self.start + len(self.word)
                raise TensorTypeError(f"a number has at most {_MAX_DIGITS} digits", self.start, end, _SHAPE_HELP)
            value = float(self.word) if "." in self.word else int(self.word)
        term = Term(value, self.start, self.start + len(self.word))
        self.advance()
        return term

    def dim(self) -> Dim:
        terms = [self.term("a dim name or an integer")]
        while self.word == "+":
            self.advance()
            terms.append(self.term("a dim name or an integer after '+'"))
        for term in terms:
            if isinstance(term.value, float):
                raise TensorTypeError("an axis has an integer length", term.start, term.end, _SHAPE_HELP)
        return Dim(tuple(terms))

    def fill(self) -> Fill:
        start, name = self.start, self.word
        if self.kind != "name" or name not in FILLS:
            problem = f"unknown fill '{name}'" if self.kind == "name" else "expected a fill after '='"
            raise TensorTypeError(
                problem, start, start + max(len(name), 1), did_you_mean(name, FILLS, otherwise="the fills are")
            )
        self.advance()
        args = self.args() if self.word == "(" else ()
        counts = FILLS[name][0]
        if name == "padding" and args and args[0].value not in ("left", "right"):
            raise TensorTypeError(
                "padding is 'left' or 'right'", args[0].start, args[0].end, "write 'padding' or 'padding(left)'"
            )
        if len(args) not in counts:
            number = f"{counts.start}" if len(counts) == 1 else f"{counts.start} to {counts.stop - 1}"
            raise TensorTypeError(
                f"'{name}' takes {number} arguments, not {len(args)}",
                start,
                self.at,
                "see docs/spec-language.md, 'Fills'",
            )
        ending = None
        if self.word == "ending":
            self.advance()
            arguments = self.args()
            if len(arguments) != 1:
                raise self.fail("one token id in 'ending(id)'")
            ending = arguments[0]
        end = self.start if self.kind != "end" else len(self.text)
        return Fill(name, args, ending, start, len(self.text[:end].rstrip()))

    def args(self) -> tuple[Term, ...]:
        self.take("(", "before the arguments")
        args: list[Term] = []
        while self.word != ")":
            if args:
                self.take(",", "or ')' after an argument")
            args.append(self.term("a dim name or a number"))
        self.advance()
        return tuple(args)


_SHAPE_HELP = "a tensor is written 'dtype[dim, dim] = fill', as in 'int64[batch, sequence] = randint(vocab)'"
