"""Which tracer, opset, graphs and bound a request means: chosen once, before any work.

A request that cannot be served is refused here, with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from exporter.errors import UsageError, did_you_mean
from exporter.language.spec import DTYPES, TRACERS, GraphSpec, MinimumOpset, Spec, TaskSpec, TensorSpec, Tolerance
from exporter.planning.arrangement import Arrangement
from exporter.planning.options import Options
from exporter.planning.sizes import Sizes
from exporter.planning.target import Target, check_settings, refuse_idle_settings
from exporter.planning.tracers import shortfalls

# Several operators take bfloat16 since opset 20 only.
DEFAULT_OPSETS = {"float32": 18, "float16": 18, "bfloat16": 20}
# The lowest opset in which a patch can be recorded, and why.
_PATCH_OPSETS = {"empty-axes": (14, "an axis that may be empty is kept by Reshape since opset 14")}


# What a build may have of the inside of a model, with the option that asks for it.
INTERNALS = {"hidden_states": "--output-hidden-states", "attentions": "--output-attentions"}


@dataclass(frozen=True, slots=True)
class Choice:
    """What a request for one task means, before the config of a model is known.

    Attributes:
        spec: the architecture.
        task: the task of the spec.
        options: what was asked for.
        target: the kind of file that is built.
        arrangement: where the graphs go and what their dims are called.
        tracer: the mechanism that records the graphs.
        tracer_because: why it is this one, where the spec or the installed Python and PyTorch have a reason.
        opset: the version of the ONNX operators; None for a target whose files have none.
        graphs: the graphs of the task, in the form asked for.
        computed: the dtype the graphs compute in. It bounds their precision, and is another than the options' dtype
            where a target
            casts: a float32 model compiled with ``auto_cast: all`` computes in bfloat16.
        tolerance: the spec's bound for ``computed``; None where the request gives both parts of a bound.
    """

    spec: Spec
    task: TaskSpec
    options: Options
    target: Target
    arrangement: Arrangement
    tracer: str
    tracer_because: str | None
    opset: int | None
    graphs: tuple[GraphSpec, ...]
    computed: str
    tolerance: Tolerance | None

    @property
    def title(self) -> str:
        """What is asked for: the architecture and the task."""
        return f"{self.spec.architecture} {self.task.name}"

    @property
    def patches(self) -> Mapping[str, str]:
        """The patches that recording needs, with the reasons: the task's, its graphs' and the target's."""
        of_graphs = {name: why for graph in self.graphs for name, why in graph.patches.items()}
        return {**self.task.patches, **of_graphs, **self.target.patches}

    @property
    def asked(self) -> tuple[str, ...]:
        """The words under which a spec refuses some configs."""
        return (
            self.tracer,
            self.options.dtype,
            *(["merged"] if self.options.merged else []),
            *self.options.internals,
        )


@dataclass(frozen=True, slots=True)
class _Reach:
    """The opsets that each tracer of a target writes, the tracer that is taken, and what the spec refuses or needs."""

    opsets: Mapping[str, range]
    tracer: str
    refused: Mapping[str, str]
    minimum: MinimumOpset | None


def choose(spec: Spec, task: TaskSpec, options: Options, target: Target, arrangement: Arrangement) -> Choice:
    """Return what a request for one task means.

    Args:
        spec: the architecture.
        task: one of its tasks.
        options: what was asked for.
        target: the target that ``options`` names.
        arrangement: that of the layout that ``options`` names.

    Raises:
        UsageError: it cannot be had; the reason is the spec's, the target's, the layout's or the tracer's.
    """
    if options.tracer not in (None, *TRACERS):
        hint = did_you_mean(options.tracer, TRACERS, otherwise="the tracers are")
        raise UsageError(f"unknown tracer '{options.tracer}'", help=hint)
    if options.dtype not in DTYPES:
        raise UsageError(
            f"unknown dtype '{options.dtype}'", help=did_you_mean(options.dtype, DTYPES, otherwise="the dtypes are")
        )
    arrangement.refuse_impossible(spec, task, target=target.name, dtype=options.dtype)
    graphs = _choose_graphs(spec, task, options, arrangement)
    refused = {asked: why for graph in graphs for asked, why in graph.refused.items()} | dict(task.refused)
    title = f"{spec.architecture} {task.name}"
    tracer, tracer_because = _choose_tracer(spec, task, options, target, refused)
    # A target that has no opsets is always recorded in one way, and says under `targets:` what it cannot do.
    for asked in (tracer, options.dtype) if target.opsets else (options.dtype,):
        if asked in refused:
            help_ = f"leave {'--dtype' if asked == options.dtype else '--tracer'} out, or choose another"
            raise UsageError(f"{title} cannot be had with {asked}: {refused[asked]}", help=help_)
    _refuse_internals(title, graphs, options, refused)
    check_settings(target, options.settings)
    refuse_idle_settings(target, options.settings, options.dtype, static=options.static)
    limit = task.targets.get(target.name)
    if limit is not None and limit.refused is not None:
        raise UsageError(f"{title} cannot be had as {target.name}: {limit.refused}", help="choose another --target")
    _refuse_options(target, options)
    _refuse_forms_of_one_graph(spec, task, options)
    opset = _choose_opset(spec, options, target)
    if opset is not None:
        _refuse_opset(spec, task, graphs, options, opset)
        reach = _Reach(target.opsets, tracer, refused, spec.minimum_opsets.get(options.dtype))
        _refuse_beyond_tracer(title, options, opset, reach)
    computed = target.computed_dtype(options.settings, options.dtype)
    tolerance = _choose_tolerance(spec, task, options, computed)
    if tolerance is None and (options.atol is None or options.rtol is None):
        cast = f", which the target {target.name} casts {options.dtype} to" if computed != options.dtype else ""
        raise UsageError(
            f"the spec has no tolerance for {computed}{cast}",
            help="give --atol and --rtol, or add one under 'tolerances'",
        )
    return Choice(spec, task, options, target, arrangement, tracer, tracer_because, opset, graphs, computed, tolerance)


def _choose_tolerance(spec: Spec, task: TaskSpec, options: Options, computed: str) -> Tolerance | None:
    """Return the bound of a task; with hidden states or attentions, which may be larger, the loosest of its spec."""
    of_task = task.tolerances.get(computed)
    if of_task is None or not options.internals:
        return of_task
    others = [other.tolerances[computed] for other in spec.tasks.values() if computed in other.tolerances]
    return max(others, key=lambda tolerance: tolerance.atol)


def kind_of_internal(tensor: TensorSpec) -> str:
    """Return whether an output on request is one of the ``hidden_states`` or one of the ``attentions``."""
    return next(kind for kind in INTERNALS if kind in tensor.name)


def _refuse_internals(title: str, graphs: tuple[GraphSpec, ...], options: Options, refused: Mapping[str, str]) -> None:
    """Refuse hidden states and attentions that the model does not give."""
    for asked in options.internals:
        if asked in refused:
            raise UsageError(
                f"{title} cannot be had with {INTERNALS[asked]}: {refused[asked]}", help=f"leave {INTERNALS[asked]} out"
            )
        if not any(kind_of_internal(tensor) == asked for graph in graphs for tensor in graph.internals):
            raise UsageError(
                f"{title} cannot be had with {INTERNALS[asked]}: its spec declares no {asked.replace('_', ' ')}",
                help=f"leave {INTERNALS[asked]} out, or declare them under 'internals:'",
            )


def _choose_graphs(spec: Spec, task: TaskSpec, options: Options, arrangement: Arrangement) -> tuple[GraphSpec, ...]:
    """Return the graphs of a task in the form asked for.

    The form ``monolith`` is a single graph, the form ``merged`` has one decoder for every step, and a task has its own
    graphs otherwise.

    Raises:
        UsageError: the task has several graphs and not the form asked for.
    """
    merged = options.merged or arrangement.merged
    if not (options.monolith or merged) or len(task.graphs) == 1:
        return task.graphs
    flag = "--merged" if options.merged else f"--layout {arrangement.name}"
    if options.monolith and merged:
        raise UsageError(f"--monolith and {flag} ask for two forms of one task", help="leave one of them out")
    title = f"{spec.architecture} {task.name}"
    if merged:
        if "merged" in task.refused:
            raise UsageError(f"{title} cannot be had merged: {task.refused['merged']}", help=f"leave {flag} out")
        if not task.merged:
            raise UsageError(
                f"{title} cannot be had with one decoder for every step",
                help=f"leave {'--merged' if options.merged else '--layout'} out, or declare 'merged:' under the task",
            )
        return task.merged
    if task.monolith is None:
        raise UsageError(
            f"{title} cannot be had as a single graph",
            help="leave --monolith out, or declare 'monolith:' under the task",
        )
    return (task.monolith,)


def _refuse_forms_of_one_graph(spec: Spec, task: TaskSpec, options: Options) -> None:
    """Refuse what is said about several graphs of a task that has one."""
    asked = [flag for flag, is_asked in (("--monolith", options.monolith), ("--merged", options.merged)) if is_asked]
    if not asked or len(task.graphs) > 1:
        return
    able = [
        other.name
        for other in spec.tasks.values()
        if (options.monolith and other.monolith is not None) or (options.merged and other.merged)
    ]
    otherwise = f", or choose a task that has several: --task {','.join(able)}" if able else ""
    raise UsageError(
        f"{asked[0]} means nothing for {spec.architecture} {task.name}, which is one graph",
        help=f"leave {asked[0]} out{otherwise}",
    )


def _choose_tracer(
    spec: Spec, task: TaskSpec, options: Options, target: Target, refused: Mapping[str, str]
) -> tuple[str, str | None]:
    """Return the tracer that is asked for, else the spec's, else what serves in its place here; and why it is this one.

    Raises:
        UsageError: the installed PyTorch lacks it, and no other serves.
    """
    missing = shortfalls()
    chosen = options.tracer or target.tracer or task.tracer.name
    is_default = options.tracer is None and target.tracer is None
    reason = task.tracer.because if chosen == task.tracer.name else None
    if chosen not in missing:
        return chosen, reason
    opset = _choose_opset(spec, options, target)
    if is_default:
        other = next(
            (name for name in _others(task, chosen) if name not in refused and opset in target.opsets[name]), None
        )
        if other is not None:
            return other, missing[chosen].why
    if not missing[chosen].gone:
        return chosen, reason
    where = f" as {target.name}" if target.tracer is not None else f" with the {chosen} tracer"
    other_refusal = next((f"; with {name}: {refused[name]}" for name in TRACERS if name in refused and is_default), "")
    raise UsageError(
        f"{spec.architecture} {task.name} cannot be had{where}: {missing[chosen].why}{other_refusal}",
        help="leave --tracer out" if options.tracer is not None else "use an earlier version of PyTorch",
    )


def default_tracer(task: TaskSpec) -> str:
    """Return the tracer that records a task where nobody asks for one: the spec's, or what serves in its place here."""
    missing = shortfalls()
    if task.tracer.name not in missing:
        return task.tracer.name
    return next((name for name in _others(task, task.tracer.name) if name not in task.refused), task.tracer.name)


def _others(task: TaskSpec, chosen: str) -> tuple[str, ...]:
    """Return the tracers that serve here in place of another.

    One that a condition on the config refuses may not serve the model, so it is taken where nothing else is left.
    """
    missing = shortfalls()
    doubtful = () if missing[chosen].gone else task.refused_when
    return tuple(name for name in TRACERS if name not in (chosen, *missing, *doubtful))


def _choose_opset(spec: Spec, options: Options, target: Target) -> int | None:
    """Return the opset asked for, else the lowest good one; None for a target whose files have no opset."""
    if not target.opsets:
        return None
    return options.opset if options.opset is not None else default_opset(spec, options.dtype)


def default_opset(spec: Spec, dtype: str = "float32") -> int:
    """Return the lowest good opset for a dtype: the engine's, or a later one that the spec needs."""
    minimum = spec.minimum_opsets.get(dtype)
    return max(DEFAULT_OPSETS[dtype], minimum.opset if minimum is not None else 0)


def _refuse_opset(spec: Spec, task: TaskSpec, graphs: tuple[GraphSpec, ...], options: Options, opset: int) -> None:
    """Refuse an opset too low for the model in its dtype, or for a patch that recording it needs."""
    title = f"{spec.architecture} {task.name}"
    minimum = spec.minimum_opsets.get(options.dtype)
    if minimum is not None and opset < minimum.opset:
        raise UsageError(
            f"{title} in {options.dtype} needs opset {minimum.opset} or later: {minimum.because}",
            help=f"use --opset {minimum.opset}",
        )
    for patch in (*task.patches, *(name for graph in graphs for name in graph.patches)):
        least, why = _PATCH_OPSETS.get(patch, (0, ""))
        if opset < least:
            raise UsageError(f"{title} needs opset {least} or later: {why}", help=f"use --opset {least}")


def _refuse_beyond_tracer(title: str, options: Options, opset: int, reach: _Reach) -> None:
    """Refuse an opset that the tracer does not write: the tracer would silently write another."""
    supported = reach.opsets[reach.tracer]
    if opset in supported:
        return
    minimum = reach.minimum
    limits = f"the {reach.tracer} tracer writes opsets {supported.start} to {supported.stop - 1}"
    is_needed = minimum is not None and opset == minimum.opset
    needed = f"{title} in {options.dtype} needs it ({minimum.because}), and " if minimum and is_needed else ""
    able = (tracer for tracer, opsets in reach.opsets.items() if opset in opsets and tracer not in reach.refused)
    other = next(able, None)
    otherwise = "use another dtype" if needed else "choose an opset in that range"
    hint = f"use --tracer {other}" if other is not None else otherwise
    raise UsageError(f"opset {opset} cannot be had: {needed}{limits}", help=hint)


def refuse_config(choice: Choice, sizes: Sizes) -> None:
    """Refuse what cannot be had from this config.

    Raises:
        UsageError: with the condition and the reason the spec gives.
    """
    for name, refusal in choice.task.refused_when.items():
        is_choice = name in (*TRACERS, *DTYPES, "merged", *INTERNALS)
        if (is_choice and name not in choice.asked) or not sizes.holds(refusal.when):
            continue
        subject = f"{choice.title}{f' with {name}' if is_choice else ''}"
        raise UsageError(
            f"{subject} cannot be had where {refusal.when.text}: {refusal.because}",
            help=f"see {refusal.when.span.location()}",
        )


def _refuse_options(target: Target, options: Options) -> None:
    """Refuse options that mean nothing for a target."""
    is_given = {
        "opset": options.opset is not None,
        "merged": options.merged,
        "weights": options.weights != "auto",
    }
    for name, reason in target.refused_options.items():
        if is_given[name]:
            raise UsageError(f"--{name} does not go with the target {target.name}: {reason}", help="leave it out")
    if target.tracer is not None and options.tracer not in (None, target.tracer):
        raise UsageError(
            f"the target {target.name} is always recorded by {target.tracer}, not by {options.tracer}",
            help="leave --tracer out",
        )
