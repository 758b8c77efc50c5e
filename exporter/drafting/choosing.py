"""Which family a model belongs to, and the reference that its draft is fitted with."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from exporter.drafting.draft import Draft
from exporter.drafting.fitting import Fit, fit
from exporter.drafting.kin import Kin
from exporter.drafting.matching import evaluates
from exporter.drafting.proving import lint_draft
from exporter.drafting.small import schemes, small_values
from exporter.drafting.subject import Subject
from exporter.errors import UsageError
from exporter.language.catalog import load_tasks
from exporter.language.diagnostics import Diagnostic
from exporter.language.findings import AMBIGUOUS_REFERENCE
from exporter.language.spec import WITH_PAST
from exporter.models.architectures import find_model_class, required_arguments

# Chooses one of several texts; what it is asked, the choices, and the option that answers beforehand.
Ask = Callable[[str, list[str], str], str]

# How many labels a reference may have.
_LABELS = range(7, 30, 2)
# What a decoder is given and the whole model makes by itself.
_MADE = {"encoder_outputs"}


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
    """Return the arguments that make a family what it is: text, images, sound, and a text to go on from."""
    parts = [kin.family, *(kin.family.get("components") or {}).values()]
    if not any(part.get("inputs") for part in parts):
        parts = list(kin.family["tasks"].values())[:1]
    inputs = [item for part in parts for item in (part.get("inputs") or {}).items()]
    return {_argument(*item) for item in inputs if "mask" not in item[0] and not _is_conditional(item[1])} - _MADE


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
    ways = [{}, *(block.dims for block in kin.blocks() if evaluates(block.dims, subject.config))]
    best: Fit | None = None
    for number, scheme in enumerate(schemes(), 1):
        values = {**small_values(subject.config, scheme), **subject.switches}
        if any(_is_labelled(task) for task in asked):
            values["num_labels"] = _labels(kin)
        subject.models.clear()
        helps = False
        for dims in ways:
            progress(f"{kin.name}: reference {number}, {', '.join(dims) or 'dims of the family'}")
            fitted = fit(subject, kin, dims, asked, values)
            if fitted.draft.tasks:
                fitted.findings = len(_untangle(fitted.draft, kin))
            # Another reference is worth a try where this one serves few tasks, and once where it serves most.
            helps |= fitted.findings > 0 or fitted.of_reference > (len(fitted.draft.tasks) if number > 1 else 0)
            if fitted.draft.tasks and (best is None or fitted.score > best.score):
                best = fitted
            if not fitted.of_dims:
                break
        if not helps:
            break
    return best


def _is_labelled(task: str) -> bool:
    return any(word in task for word in ("classification", "segmentation", "detection"))


def _labels(kin: Kin) -> int:
    """Return how many labels a reference has: no size that an axis of the family is traced at."""
    dims = [dim for dim in kin.family.get("dims", {}).values() if isinstance(dim, Mapping)]
    traced = {dim.get("trace") for dim in dims}
    return next(count for count in _LABELS if count not in traced)


def _untangle(draft: Draft, kin: Kin) -> list[Diagnostic]:
    """Return the findings in a draft, after sides that are always as long as one another got one name.

    Of a model that takes square images alone, height and width cannot be told apart.
    """
    findings = lint_draft(draft)
    for finding in findings:
        if finding.rule != AMBIGUOUS_REFERENCE.name:
            continue
        first, second = re.findall(r"'(\w+)'", finding.message)[:2]
        for name, line in (kin.family.get("inputs") or {}).items():
            if isinstance(line, str) and line.count(f" {first},") == line.count(f" {second}]") == 1:
                remark = f"The model takes no input whose {first} and {second} differ."
                draft.put(("inputs", name), line.replace(f" {second}]", f" {first}]"), remark)
                return lint_draft(draft)
    return findings


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
