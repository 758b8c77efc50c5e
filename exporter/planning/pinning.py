"""Fix dynamic dims at sizes: those asked for, and those a target cannot leave open."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping

from exporter.errors import UsageError, did_you_mean
from exporter.language.expressions import expression_names
from exporter.language.spec import DerivedDim, DimSpec, DynamicDim, StaticDim
from exporter.planning.choices import Choice
from exporter.planning.plan import Axis, GraphPlan


def pin_dims(choice: Choice, dynamic: Iterable[DynamicDim], derived: Iterable[DerivedDim]) -> dict[str, int]:
    """Return the sizes of the dims that a build does not leave open.

    Args:
        choice: what was asked for, of which task and target.
        dynamic: the dims the task's graphs leave open.
        derived: those that follow from them.

    Raises:
        UsageError: a size is given for no dim of the task, or is missing for one that must be fixed.
    """
    task, target, options = choice.task, choice.target, choice.options
    names = [dim.name for dim in dynamic]
    expressions = {dim.name: dim.value.text for dim in derived}
    for name in options.dims:
        if name not in names:
            raise UsageError(
                f"'{name}' is no dynamic dim of {task.name}",
                help=f"it follows from {', '.join(expression_names(expressions[name]))}"
                if name in expressions
                else did_you_mean(name, names, otherwise="its dynamic dims are"),
            )
    limit = task.targets.get(target.name)
    baked = [name for name in names if limit is not None and name in limit.static]
    required = names if options.static or target.all_static else baked
    missing = [name for name in required if name not in options.dims]
    if missing:
        raise UsageError(_explain(missing, choice), help=f"give {_flags(missing)}")
    return {name: options.dims[name] for name in names if name in options.dims}


def _explain(missing: list[str], choice: Choice) -> str:
    listed, task, target = ", ".join(missing), choice.task, choice.target
    if target.all_static:
        return f"the target {target.name} has fixed sizes only, and {task.name} needs those of: {listed}"
    if choice.options.static:
        return f"--static fixes every dim, and {task.name} needs the sizes of: {listed}"
    reason = task.targets[target.name].because
    return f"{task.name} as {target.name} cannot leave open: {listed} ({reason})"


def _flags(names: Iterable[str]) -> str:
    return " ".join(f"--dim {name}=N" for name in names)


def pinned_dims(
    dims: Mapping[str, DimSpec], sizes: Mapping[str, int], left_open: Collection[str] = ()
) -> dict[str, DimSpec]:
    """Return the dims of a spec that change once some of them are given one size.

    A dim that follows from fixed dims alone becomes fixed with them: of ``rows: {derived: height // 2}`` one size is
    left when ``height`` is 32. A dim that is ``left_open`` stays dynamic; it is traced at the given size, and checked
    at twice that size and one more: ``batch`` given as 2 is traced at 2 and checked at 4 and 5.

    Args:
        dims: the dims of the spec by name.
        sizes: the sizes that were given.
        left_open: the dims of ``sizes`` that a target leaves open all the same.
    """
    fixed: dict[str, DimSpec] = {
        name: StaticDim(name, size, dims[name].span) for name, size in sizes.items() if name not in left_open
    }
    derived = [dim for dim in dims.values() if isinstance(dim, DerivedDim)]
    # Each round fixes the dims that follow from those of earlier rounds, in whatever order a spec declares them.
    while settled := [dim for dim in derived if dim.name not in fixed and _is_settled(dim, dims, fixed)]:
        fixed.update({dim.name: StaticDim(dim.name, dim.value, dim.span) for dim in settled})
    for name in left_open:
        kept = dims.get(name)
        if isinstance(kept, DynamicDim) and name in sizes:
            size = sizes[name]
            fixed[name] = dataclasses.replace(kept, trace=size, check=(2 * size, 2 * size + 1))
    return fixed


def _is_settled(dim: DerivedDim, dims: Mapping[str, DimSpec], fixed: Collection[str]) -> bool:
    """Return whether every dim that a derived one follows from has one size."""
    sources = [dims[name] for name in expression_names(dim.value.text) if name in dims]
    return all(isinstance(source, StaticDim) or source.name in fixed for source in sources)


def check_leading(graphs: Iterable[GraphPlan], task: str, left_open: Iterable[str]) -> None:
    """Check that a dim that is left open is the first axis of every input and output, and no other axis.

    A runtime runs a batch larger than the traced one in parts, and parts are cut along the first axis alone.

    Raises:
        UsageError: names the tensors that have the dim elsewhere, or not at all.
    """
    tensors = {tensor.name: tensor.shape for graph in graphs for tensor in (*graph.inputs, *graph.outputs)}
    for dim in left_open:
        others = [
            name
            for name, shape in tensors.items()
            if not shape or shape[0] != dim or any(dim in axis.dims for axis in shape[1:] if isinstance(axis, Axis))
        ]
        if others:
            raise UsageError(
                f"the {dim} of {task} cannot be left open: "
                f"{', '.join(others)} cannot be split along a first axis '{dim}'",
                help="leave --dynamic-batch out, and compile for each batch",
            )
