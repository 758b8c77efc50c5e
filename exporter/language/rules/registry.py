"""What a check is, and which rule each is of.

A check is a function from one linted file (and all of them) to findings. The rules without a check are found by the
stages before the checks: while a text is read, held against its schema, and composed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from exporter.language.composing import Composition
from exporter.language.diagnostics import Diagnostic
from exporter.language.document import Document
from exporter.language.findings import Rule
from exporter.language.spec import Spec


@dataclass(frozen=True, slots=True)
class Subject:
    """One linted file: its document, what the stages found in it, and for a spec what it was composed to."""

    document: Document
    staged: tuple[Diagnostic, ...]
    composition: Composition | None

    @property
    def spec(self) -> Spec | None:
        """The composed spec, where the file is one and composing succeeded."""
        return self.composition.spec if self.composition is not None else None

    @property
    def kind(self) -> str:
        """``spec``, ``family``, ``tasks`` or ``build``."""
        return self.document.kind()

    def staged_of(self, *rules: Rule) -> tuple[Diagnostic, ...]:
        """Return what the stages found of some rules."""
        names = {rule.name for rule in rules}
        return tuple(diagnostic for diagnostic in self.staged if diagnostic.rule in names)


Check = Callable[[Subject, tuple[Subject, ...]], Iterator[Diagnostic]]
CHECKS: dict[str, Check] = {}


def check(rule: Rule) -> Callable[[Check], Check]:
    """Register a function as the check of a rule."""

    def register(function: Check) -> Check:
        CHECKS[rule.name] = function
        return function

    return register


def find(rule: Rule, subject: Subject, subjects: tuple[Subject, ...]) -> Iterable[Diagnostic]:
    """Return the findings of a rule in one file: of its check, or of the stages where it has none."""
    function = CHECKS.get(rule.name)
    return function(subject, subjects) if function is not None else subject.staged_of(rule)
