"""What a composed spec means: dims, graphs, tasks and tolerances, still in terms of ``config``.

A `Spec` is symbolic. Expressions are text; shapes name dims; nothing here knows a size. `planning.planner` makes one
task of a `Spec` into a `Plan` for a concrete config. Every part keeps the span it came from, so that any later
complaint has a caret.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass

from exporter.errors import UsageError
from exporter.language.document import Data
from exporter.language.tensor_type import TensorType
from exporter.language.text import Span

DTYPES = ("float32", "float16", "bfloat16")
TRACERS = ("torchscript", "dynamo")
DEFAULT_TRACER = "torchscript"
WITH_PAST = "-with-past"
# `layers` is how often a `{layer}` name is repeated.
LAYER_SLOT, LAYER_DIM = "{layer}", "layers"
_PLACEHOLDER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Expression:
    """A Jinja expression over ``config`` and dims, unevaluated."""

    text: str
    span: Span = dataclasses.field(compare=False)


@dataclass(frozen=True, slots=True)
class StaticDim:
    """An axis length fixed by the config: an integer or an expression."""

    name: str
    value: int | Expression
    span: Span = dataclasses.field(compare=False)


@dataclass(frozen=True, slots=True)
class DynamicDim:
    """An axis length the graph leaves open: traced at one size, verified at others."""

    name: str
    trace: int
    check: tuple[int, ...]
    span: Span = dataclasses.field(compare=False)
    trace_span: Span = dataclasses.field(compare=False)
    check_spans: tuple[Span, ...] = dataclasses.field(compare=False)


@dataclass(frozen=True, slots=True)
class DerivedDim:
    """An axis length that follows from dynamic dims: the height of a feature map is that of its image divided by 16."""

    name: str
    value: Expression
    span: Span = dataclasses.field(compare=False)


DimSpec = StaticDim | DynamicDim | DerivedDim


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One declared tensor. A name with ``{layer}`` stands for one tensor per layer.

    Attributes:
        name: what clients call it.
        type: its dtype and shape, and how a dummy of it is made.
        argument: the ``forward()`` parameter an input is given as, a dotted path (``past_key_values.0.key``). Default:
            the name. Empty for an input that the graph has and the model is not given.
        field: the field of the model's output an output is read from, a dotted path. Default: the name, and
            ``past_key_values.…`` for ``present.…``.
        when: the condition on the config under which the graph has the tensor; None for a tensor that is always there.
        unused: the reason why no output depends on the input; None for an input that outputs depend on.
        beyond: a dim that counts how much of the input the cache holds already. The model is given the rest: of 13
            encoder states, 13 at the first step and none later.
        count: a dim that counts how many tensors a name with ``{layer}`` stands for; None for as many as there are
            layers in the cache.
    """

    name: str
    type: TensorType
    argument: str
    field: str
    when: Expression | None
    unused: str | None
    beyond: str | None
    count: str | None
    span: Span = dataclasses.field(compare=False)
    type_span: Span = dataclasses.field(compare=False)


@dataclass(frozen=True, slots=True)
class GraphSpec:
    """One graph of a task: what goes in, what comes out, and what the call is given besides.

    ``constants`` are keyword arguments; ``built`` are tensors made inside the graph from the sizes of its inputs;
    ``internals`` are the outputs that a build has on request: the states between layers and the weights of attention.
    ``ignored`` maps a field the model returns to the reason the graph leaves it out. ``patches`` and ``refused`` are
    those of this graph alone, beside those of its task.
    """

    component: str
    module: str | None
    constants: Mapping[str, bool | int | float | str]
    built: tuple[TensorSpec, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    internals: tuple[TensorSpec, ...]
    ignored: Mapping[str, str]
    patches: Mapping[str, str]
    refused: Mapping[str, str]
    span: Span = dataclasses.field(compare=False)

    @property
    def component_stem(self) -> str:
        """The file name without its suffix, as today's runtimes look for it.

        That is ``model`` for the only graph, ``encoder_model`` for the component ``encoder``, and ``vision_model`` for
        the component ``vision_model``.
        """
        return self.component if "model" in self.component.split("_") else f"{self.component}_model"


@dataclass(frozen=True, slots=True)
class Tolerance:
    """The bound ``atol + rtol * |reference|``; ``because`` is the reason for a loose one."""

    atol: float
    rtol: float
    because: str | None
    span: Span = dataclasses.field(compare=False)


@dataclass(frozen=True, slots=True)
class MinimumOpset:
    """The lowest opset that can express a model in a dtype, and which operator needs it."""

    opset: int
    because: str


@dataclass(frozen=True, slots=True)
class TracerChoice:
    """The tracer a spec asks for, and why where it is not the default."""

    name: str
    because: str | None
    span: Span | None = dataclasses.field(compare=False, default=None)


@dataclass(frozen=True, slots=True)
class Note:
    """What a client must know about a graph, such as which of two computations it holds.

    ``{name}`` in the text stands for the size of a static dim. A note with a condition is for configs that fulfil it.
    """

    text: str
    when: Expression | None
    span: Span = dataclasses.field(compare=False)

    @property
    def dims(self) -> list[str]:
        """The static dims whose sizes the text tells."""
        return _PLACEHOLDER.findall(self.text)

    def fill(self, sizes: Mapping[str, int]) -> str:
        """Return the text with the sizes in place of the dims."""
        return _PLACEHOLDER.sub(lambda match: str(sizes[match[1]]), self.text)


@dataclass(frozen=True, slots=True)
class Refusal:
    """What cannot be had from configs that fulfil a condition, and why."""

    when: Expression
    because: str


@dataclass(frozen=True, slots=True)
class TargetLimit:
    """What a target cannot do with a task.

    With ``refused``, the target cannot build the task at all, for that reason. ``static`` are the dims that the target
    cannot leave open, and ``because`` is the reason for those. ``settings`` are the target's own options where a build
    gives none.
    """

    refused: str | None
    static: tuple[str, ...]
    because: str | None
    settings: Mapping[str, bool | int | str]
    span: Span = dataclasses.field(compare=False)


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """One task of an architecture.

    ``monolith`` is the single graph of a task that has several, and ``merged`` are the graphs where one decoder serves
    every step (none where the task has no such form). ``patches`` maps the patches its tracing needs to the reasons.
    ``refused`` maps the tracers and dtypes that cannot be had to the reasons. ``refused_when`` is for some configs
    only: an entry named for a tracer or a dtype refuses that one, and one of any other name refuses every build.
    With ``pooled`` the model's hidden states become one embedding of each text.
    """

    name: str
    feature: str
    auto_class: str | None
    model_class: str | None
    config: Mapping[str, Data]
    reference_config: Mapping[str, Data]
    graphs: tuple[GraphSpec, ...]
    monolith: GraphSpec | None
    merged: tuple[GraphSpec, ...]
    tolerances: Mapping[str, Tolerance]
    tracer: TracerChoice
    refused: Mapping[str, str]
    refused_when: Mapping[str, Refusal]
    targets: Mapping[str, TargetLimit]
    patches: Mapping[str, str]
    notes: tuple[Note, ...]
    when: Expression | None
    span: Span = dataclasses.field(compare=False)
    pooled: bool = False

    @property
    def all_graphs(self) -> tuple[GraphSpec, ...]:
        """The graphs of the task in every form it can be built in."""
        components = {graph.component for graph in self.graphs}
        others = [graph for graph in self.merged if graph.component not in components]
        return (*self.graphs, *([self.monolith] if self.monolith is not None else []), *others)


@dataclass(frozen=True, slots=True)
class Spec:
    """One architecture, composed from its spec and its family.

    ``variants`` are changes to the reference's config that the spec must hold for too, and ``gain`` scales the random
    matrices of a reference. ``minimum_opsets`` is by dtype. ``reference_spans`` gives the place of each key of the
    reference config. ``digest`` is one of the texts the spec was composed from.
    """

    architecture: str
    family: str
    description: str | None
    dims: Mapping[str, DimSpec]
    tasks: Mapping[str, TaskSpec]
    reference: Mapping[str, Data]
    variants: tuple[Mapping[str, Data], ...]
    gain: float
    reference_spans: Mapping[str, Span] = dataclasses.field(compare=False)
    minimum_opsets: Mapping[str, MinimumOpset]
    span: Span = dataclasses.field(compare=False)
    digest: str = ""

    @property
    def path(self) -> str:
        """The name of the file the spec was read from."""
        return self.span.source.name

    def with_variant(self, number: int | None) -> Spec:
        """Return the spec with one of its variants (counted from 1) as its reference, or as it is without a number.

        Raises:
            UsageError: there is no such variant.
        """
        if number is None:
            return self
        if not 1 <= number <= len(self.variants):
            count = len(self.variants)
            raise UsageError(
                f"the spec of '{self.architecture}' has no variant {number}",
                help=f"it has {count}, counted from 1" if count else "declare some under 'reference.variants'",
            )
        return dataclasses.replace(self, reference=overlay_config(self.reference, self.variants[number - 1]))


def overlay_config(*layers: Mapping[str, Data]) -> dict[str, Data]:
    """Lay config values over one another: nested configs by key, while anything else replaces what is below it.

    A nested config of another architecture replaces too, since the keys of the two mean different things.
    """
    merged: dict[str, Data] = {}
    for layer in layers:
        for key, value in layer.items():
            under = merged.get(key)
            if isinstance(under, dict) and isinstance(value, dict) and _is_same_kind(under, value):
                merged[key] = overlay_config(under, value)
            else:
                merged[key] = value
    return merged


def _is_same_kind(under: Mapping[str, Data], over: Mapping[str, Data]) -> bool:
    """Tell whether two nested configs are of one architecture, whose keys then mean the same."""
    return "model_type" not in over or over["model_type"] == under.get("model_type", over["model_type"])
