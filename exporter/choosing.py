"""Which tracer, opset and graphs a request means, and what cannot be had: refused with the reason, before any work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.diagnostics import UsageError
from exporter.layouts import find_layout
from exporter.sizing import Sizes
from exporter.spec import DTYPES, TRACERS, GraphSpec, Spec, TaskSpec
from exporter.targets import Target, check_settings, find_target

if TYPE_CHECKING:
    from exporter.planning import Options

# Several operators take bfloat16 since opset 20 only.
DEFAULT_OPSETS = {"float32": 18, "float16": 18, "bfloat16": 20}
# What each tracer can write; asked for more, it silently writes something else.
OPSETS = {"torchscript": range(11, 21), "dynamo": range(18, 24)}


# The lowest opset in which a patch can be recorded, and why.
_PATCH_OPSETS = {"empty-axes": (14, "an axis that may be empty is kept by Reshape since opset 14")}


def choose_tracer(task: TaskSpec, options: Options) -> str:
    """Return what records the graph: the target's own mechanism, the one asked for, or the spec's choice."""
    return find_target(options.target).tracer or options.tracer or task.tracer.name


def choose_graphs(spec: Spec, task: TaskSpec, options: Options) -> tuple[GraphSpec, ...]:
    """Return the graphs of a task: with ``monolith`` its single one, with ``merged`` those with one decoder for every step.

    Raises:
        UsageError: the task has several graphs and not the form asked for.
    """
    merged = options.merged or find_layout(options.layout).merged
    if not (options.monolith or merged) or len(task.graphs) == 1:
        return task.graphs
    if options.monolith and merged:
        asked = "--merged" if options.merged else f"--layout {options.layout}"
        raise UsageError(f"--monolith and {asked} ask for two forms of one task", help="leave one of them out")
    if merged:
        if "merged" in task.refused:
            raise UsageError(f"{spec.architecture} {task.name} cannot be had merged: {task.refused['merged']}")
        if not task.merged:
            raise UsageError(
                f"{spec.architecture} {task.name} cannot be had with one decoder for every step",
                help=f"leave {'--merged' if options.merged else '--layout'} out, or declare 'merged:' under the task",
            )
        return task.merged
    if task.monolith is None:
        raise UsageError(
            f"{spec.architecture} {task.name} cannot be had as a single graph",
            help="leave --monolith out, or declare 'monolith:' under the task",
        )
    return (task.monolith,)


def choose_opset(spec: Spec, options: Options) -> int:
    """Return the opset asked for, or the lowest good one where nothing was."""
    minimum = spec.minimum_opsets.get(options.dtype)
    return (
        options.opset
        if options.opset is not None
        else max(DEFAULT_OPSETS[options.dtype], minimum.opset if minimum else 0)
    )


def refuse_impossible(spec: Spec, task: TaskSpec, options: Options) -> None:
    """Refuse what cannot be had before any work is done for it.

    Raises:
        UsageError: with the reason the spec, the target or the tracer gives.
    """
    target, dtype = find_target(options.target), options.dtype
    tracer = options.tracer or choose_tracer(task, options)
    if tracer not in TRACERS:
        raise UsageError(f"unknown tracer '{tracer}'", help=f"the tracers are {', '.join(TRACERS)}")
    if dtype not in DTYPES:
        raise UsageError(f"unknown dtype '{dtype}'", help=f"the dtypes are {', '.join(DTYPES)}")
    find_layout(options.layout).refuse_impossible(spec, task, target=target.name, dtype=dtype)
    what = f"{spec.architecture} {task.name}"
    refused = {what: why for graph in choose_graphs(spec, task, options) for what, why in graph.refused.items()}
    refused.update(task.refused)
    for asked in (tracer, dtype) if target.has_opset else (dtype,):
        if asked in refused:
            raise UsageError(f"{what} cannot be had with {asked}: {refused[asked]}")
    check_settings(target, options.settings)
    limit = task.targets.get(target.name)
    if limit is not None and limit.refused is not None:
        raise UsageError(f"{what} cannot be had as {target.name}: {limit.refused}")
    if not target.has_opset:
        _refuse_onnx_options(target, options)
        return
    opset, minimum = choose_opset(spec, options), spec.minimum_opsets.get(dtype)
    if minimum is not None and opset < minimum.opset:
        raise UsageError(
            f"{what} in {dtype} needs opset {minimum.opset} or later: {minimum.because}",
            help=f"use --opset {minimum.opset}",
        )
    for patch in (*task.patches, *(name for graph in choose_graphs(spec, task, options) for name in graph.patches)):
        least, why = _PATCH_OPSETS.get(patch, (0, ""))
        if opset < least:
            raise UsageError(f"{what} needs opset {least} or later: {why}", help=f"use --opset {least}")
    supported = OPSETS[tracer]
    if opset not in supported:
        reach = f"the {tracer} tracer writes opsets {supported.start} to {supported.stop - 1}"
        needed = (
            f"{what} in {dtype} needs it ({minimum.because}), and "
            if minimum is not None and opset == minimum.opset
            else ""
        )
        other = next((name for name, opsets in OPSETS.items() if opset in opsets and name not in refused), None)
        otherwise = "use another dtype" if needed else "choose an opset in that range"
        hint = f"use --tracer {other}" if other is not None else otherwise
        raise UsageError(f"opset {opset} cannot be had: {needed}{reach}", help=hint)


def refuse_config(spec: Spec, task: TaskSpec, asked: tuple[str, ...], sizes: Sizes) -> None:
    """Refuse what cannot be had from this config."""
    for name, refusal in task.refused_when.items():
        is_choice = name in (*TRACERS, *DTYPES, "merged")
        if (is_choice and name not in asked) or not sizes.holds(refusal.when):
            continue
        what = f"{spec.architecture} {task.name}{f' with {name}' if is_choice else ''}"
        raise UsageError(
            f"{what} cannot be had where {refusal.when.text}: {refusal.because}",
            help=f"see {refusal.when.span.location()}",
        )


def _refuse_onnx_options(target: Target, options: Options) -> None:
    """Refuse what only an ONNX file can have."""
    if options.opset is not None:
        raise UsageError(
            f"--opset does not go with the target {target.name}", help="only ONNX has opsets; leave it out"
        )
    if options.tracer not in (None, target.tracer):
        raise UsageError(
            f"the target {target.name} is always recorded by {target.tracer}, not by {options.tracer}",
            help="leave --tracer out",
        )
    if options.merged:
        raise UsageError(
            f"--merged does not go with the target {target.name}: the clients of merged decoders load ONNX",
            help="leave it out",
        )
    if options.weights != "auto":
        raise UsageError(
            f"--weights {options.weights} does not go with the target {target.name}",
            help="its weights are always in its file; leave it out",
        )
