"""Fix dynamic dims at sizes: those asked for, and those a target cannot leave open."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from exporter.diagnostics import UsageError, did_you_mean
from exporter.expressions import expression_names
from exporter.spec import DerivedDim, DimSpec, DynamicDim, StaticDim, TaskSpec
from exporter.targets import Target

if TYPE_CHECKING:
    from exporter.planning import Options


def fix_dims(
    task: TaskSpec, target: Target, open_dims: tuple[Iterable[DynamicDim], Iterable[DerivedDim]], options: Options
) -> dict[str, int]:
    """Return the sizes of the dims that a build does not leave open.

    Args:
        task: the task, which says what a target bakes in.
        target: what is built.
        open_dims: the dims the task's graphs leave open, and those that follow from them.
        options: what was asked for.

    Raises:
        UsageError: a size is given for no dim of the task, or is missing for one that must be fixed.
    """
    names = [dim.name for dim in open_dims[0]]
    for name in options.dims:
        if name not in names:
            derived = next((dim for dim in open_dims[1] if dim.name == name), None)
            raise UsageError(
                f"'{name}' is no dynamic dim of {task.name}",
                help=f"it follows from {', '.join(expression_names(derived.value.text))}"
                if derived is not None
                else did_you_mean(name, names, otherwise="its dynamic dims are"),
            )
    limit = task.targets.get(target.name)
    baked = [name for name in names if limit is not None and name in limit.static]
    required = names if options.static or target.all_static else baked
    missing = [name for name in required if name not in options.dims]
    if missing:
        raise UsageError(_explain(missing, task, target, options), help=f"give {_flags(missing)}")
    return {name: options.dims[name] for name in names if name in options.dims}


def _explain(missing: list[str], task: TaskSpec, target: Target, options: Options) -> str:
    listed = ", ".join(missing)
    if target.all_static:
        return f"the target {target.name} has fixed sizes only, and {task.name} needs those of: {listed}"
    if options.static:
        return f"--static fixes every dim, and {task.name} needs the sizes of: {listed}"
    reason = task.targets[target.name].because
    return f"{task.name} as {target.name} cannot leave open: {listed} ({reason})"


def _flags(names: Iterable[str]) -> str:
    return " ".join(f"--dim {name}=N" for name in names)


def fixed_dims(dims: Mapping[str, DimSpec], sizes: Mapping[str, int]) -> dict[str, DimSpec]:
    """Return the dims that have one size once the given ones do, those that follow from nothing else among them."""
    fixed: dict[str, DimSpec] = {name: StaticDim(name, size, dims[name].span) for name, size in sizes.items()}
    for name, dim in dims.items():
        if isinstance(dim, DerivedDim):
            sources = [dims[other] for other in expression_names(dim.value.text) if other in dims]
            if all(isinstance(other, StaticDim) or other.name in fixed for other in sources):
                fixed[name] = StaticDim(name, dim.value, dim.span)
    return fixed
