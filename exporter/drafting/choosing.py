"""Which family a model belongs to, and the reference that its draft is fitted with."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from exporter.drafting.fitting import Fit, fit
from exporter.drafting.kin import Kin
from exporter.drafting.matching import evaluates
from exporter.drafting.small import Values, schemes, small_values
from exporter.drafting.subject import Subject
from exporter.errors import UsageError
from exporter.language.catalog import load_tasks
from exporter.language.spec import WITH_PAST
from exporter.models.architectures import find_model_class, required_arguments

# Chooses one of several texts; what it is asked, the choices, and the option that answers beforehand.
Ask = Callable[[str, list[str], str], str]
# Fits that are tried in one family: each scheme, and each way in which its specs bind dims.
_TRIES = 10


def candidates(subject: Subject, kin: Iterable[Kin]) -> list[Kin]:
    """Return the families whose first input the model takes, and which give it all that it must have."""
    cls = _base_class(subject)
    if cls is None:
        return []
    names = set(inspect.signature(cls.forward).parameters)
    required = list(required_arguments(cls))
    fitting = []
    for each in kin:
        inputs = each.family.get("inputs") or {}
        first = next(iter(inputs), None)
        arguments = {_argument(name, line) for name, line in inputs.items()}
        known = all(name in arguments or each.input_line(name) is not None for name in required)
        wanted = _wanted(each)
        if known and wanted <= names and (first is None or first in names) and any(offered_tasks(subject, each)):
            fitting.append(each)
    return fitting


def _wanted(kin: Kin) -> set[str]:
    """Return the inputs that make a family what it is: text, images, sound, and a text to go on from."""
    inputs = kin.family.get("inputs") or {}
    return {_argument(name, line) for name, line in inputs.items() if "mask" not in name and not _is_conditional(line)}


def _is_conditional(line: Any) -> bool:
    return isinstance(line, Mapping) and "when" in line


def _argument(name: str, line: Any) -> str:
    argument = line.get("argument", name) if isinstance(line, Mapping) else name
    return str(argument).partition(".")[0]


def _base_class(subject: Subject) -> Any:
    order = ["AutoModel", *(name for name in subject.auto_classes if name != "AutoModel")]
    classes = (find_model_class(name, None, subject.config, subject.architecture) for name in order)
    return next((cls for cls in classes if cls is not None), None)


def offered_tasks(subject: Subject, kin: Kin) -> Iterator[str]:
    """Yield the tasks of a family that there is a class for, in the order of its specs."""
    offered = kin.family.get("tasks", {})
    for task in kin.tasks:
        part = offered.get(task) or offered.get(task.removesuffix(WITH_PAST)) or {}
        if task.removesuffix(WITH_PAST) in load_tasks() and subject.serves(task, part):
            yield task


def fit_family(subject: Subject, kin: Kin, tasks: Iterable[str], progress: Callable[[str], None]) -> Fit | None:
    """Return the best fit of a family, or None where no reference of the model can be made and run for any task.

    References of several sizes are tried until one serves every task, and the ways in which specs of the family bind
    dims after that.
    """
    asked = list(tasks)
    best: Fit | None = None
    tries = 0
    for dims in ({}, *(block.dims for block in kin.blocks())):
        if not evaluates(dims, subject.config):
            continue
        for scheme in schemes():
            values = reference_values(subject, small_values(subject.config, scheme), asked)
            tries += 1
            progress(f"{kin.name}: reference {tries}")
            subject.models.clear()
            fitted = fit(subject, kin, dims, asked, values)
            if fitted.draft.tasks and (best is None or fitted.score > best.score):
                best = fitted
            if best is not None and not best.left_out:
                return best
            if fitted.draft.tasks or tries >= _TRIES:
                break
        if tries >= _TRIES or (best is not None and not dims and len(best.left_out) < len(best.draft.tasks)):
            break
    return best


def reference_values(subject: Subject, values: Values, tasks: Iterable[str]) -> Values:
    """Return the values of a reference, with labels where a task has them."""
    labelled = any("classification" in task or "segmentation" in task or "detection" in task for task in tasks)
    return {**values, **subject.switches, **({"num_labels": 7} if labelled else {})}


def choose_fit(subject: Subject, fits: Mapping[str, Fit], ask: Ask) -> Fit:
    """Return the fit that serves most tasks; where two serve as many, the user decides.

    Raises:
        UsageError: there is none.
    """
    if not fits:
        raise UsageError(
            f"no family of the catalogue fits '{subject.architecture}'",
            help="write a family of its own: docs/spec-language.md says how",
        )
    best = max(each.score for each in fits.values())
    equal = [name for name, each in fits.items() if each.score == best]
    return fits[ask("which family does it belong to?", equal, "--family") if len(equal) > 1 else equal[0]]
