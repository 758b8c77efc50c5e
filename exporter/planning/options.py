"""What a build is asked for beside model and task."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from exporter.errors import UsageError
from exporter.planning.plan import Setting

DEFAULT_TARGET = "onnx"
DEFAULT_LAYOUT = "flat"
DEFAULT_SEED = 0


@dataclass(frozen=True, slots=True)
class Options:
    """What a build is asked for beside model and task; None means the spec's or the engine's default.

    Attributes:
        dims: sizes for dynamic dims, which then are not left open.
        static: no dim is left open; each dynamic one needs a size in ``dims``.
        settings: the options that only a target has.
        opset: the version of the ONNX operators.
        dtype: of weights and computation.
        tracer: what records the graph.
        atol: the absolute part of the bound, in the units of the outputs.
        rtol: the relative part of the bound.
        weights: ``auto`` (in the file below 2 GB, beside it above) or ``external`` (always beside it).
        monolith: a task of several graphs as the single one earlier systems wrote.
        merged: one decoder that serves every step.
        output_hidden_states: the states between layers are outputs too.
        output_attentions: the weights that attention gives each position are outputs too.
        layout: the files of a kind of consumer.
        variant: a variant of the spec, counted from 1, in place of its reference.
        seed: of dummies and of a reference's weights.
    """

    dims: Mapping[str, int] = dataclasses.field(default_factory=dict)
    static: bool = False
    settings: Mapping[str, Setting] = dataclasses.field(default_factory=dict)
    opset: int | None = None
    dtype: str = "float32"
    tracer: str | None = None
    atol: float | None = None
    rtol: float | None = None
    weights: str = "auto"
    monolith: bool = False
    merged: bool = False
    output_hidden_states: bool = False
    output_attentions: bool = False
    layout: str = DEFAULT_LAYOUT
    variant: int | None = None
    seed: int = DEFAULT_SEED

    @property
    def internals(self) -> tuple[str, ...]:
        """What is asked for of the inside of a model, by the names of transformers' fields."""
        asked = {"hidden_states": self.output_hidden_states, "attentions": self.output_attentions}
        return tuple(name for name, is_asked in asked.items() if is_asked)


def parse_dims(texts: Iterable[str]) -> dict[str, int]:
    """Return the sizes of ``name=size`` texts.

    Raises:
        UsageError: a text is not of that form, or a dim is given twice.
    """
    sizes: dict[str, int] = {}
    for name, size in _split_dims(texts):
        if name in sizes:
            raise UsageError(f"the dim '{name}' is given twice", help="give each dim one size")
        sizes[name] = size
    return sizes


def _split_dims(texts: Iterable[str]) -> Iterator[tuple[str, int]]:
    for text in texts:
        name, _, size = text.partition("=")
        if not name.isidentifier() or not size.isdecimal() or int(size) < 1:
            raise UsageError(f"'{text}' is not a dim and its size", help="write --dim sequence=128")
        yield name, int(size)
