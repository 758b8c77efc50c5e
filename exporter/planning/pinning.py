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
    """Return the dims that have one size once the given ones do, those that follow from nothing else among them.

    Those ``left_open`` are traced at the size they are given and stay open: they are checked at twice that, and one more.
    """
    fixed: dict[str, DimSpec] = {
        name: StaticDim(name, size, dims[name].span) for name, size in sizes.items() if name not in left_open
    }
    for name, dim in dims.items():
        if isinstance(dim, DerivedDim):
            sources = [dims[other] for other in expression_names(dim.value.text) if other in dims]
            if all(isinstance(other, StaticDim) or other.name in fixed for other in sources):
                fixed[name] = StaticDim(name, dim.value, dim.span)
    for name in left_open:
        kept = dims.get(name)
        if isinstance(kept, DynamicDim) and name in sizes:
            size = sizes[name]
            fixed[name] = dataclasses.replace(kept, trace=size, check=(2 * size, 2 * size + 1))
    return fixed


def check_leading(graphs: Iterable[GraphPlan], task: str, left_open: Iterable[str]) -> None:
    """Check that every input and output has an open dim as its first axis and nowhere else: it is there that batches are split.

    Raises:
        UsageError: names the tensors that do not.
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
                f"the {dim} of {task} cannot be left open: {', '.join(others)} cannot be split along a first axis '{dim}'",
                help="leave --dynamic-batch out, and compile for each batch",
            )
