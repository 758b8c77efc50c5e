"""What a rule is, and the list of them.

A rule is a function from one linted file (and all of them) to findings. Its docstring is its page in docs/rules.md and what
``exporter explain`` prints. Severity is independent of name and code.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from exporter.language.composing import Composition
from exporter.language.diagnostics import Diagnostic, Fix, Label, Severity
from exporter.language.document import Document
from exporter.language.spec import Spec
from exporter.language.text import Span


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


Check = Callable[[Subject, tuple[Subject, ...]], Iterator[Diagnostic]]


@dataclass(frozen=True, slots=True)
class Rule:
    """A registered rule."""

    name: str
    code: str
    severity: Severity
    check: Check
    needs_models: bool
    suppressible: bool

    @property
    def page(self) -> str:
        """The rule's documentation, as Markdown."""
        return inspect.getdoc(self.check) or ""

    def run(self, subject: Subject, subjects: tuple[Subject, ...]) -> Iterator[Diagnostic]:
        """Yield the rule's findings in one file, under its name and severity."""
        for diagnostic in self.check(subject, subjects):
            yield replace(diagnostic, rule=self.name, severity=self.severity)


RULES: dict[str, Rule] = {}


def rule(
    code: str, name: str, *, severity: Severity = Severity.ERROR, models: bool = False, suppressible: bool = True
) -> Callable[[Check], Check]:
    """Register a function as a rule; ``models`` marks one that needs transformers."""

    def register(check: Check) -> Check:
        RULES[name] = Rule(name, code, severity, check, models, suppressible)
        return check

    return register


def finding(
    message: str,
    span: Span,
    help: str | None = None,
    *,
    fix: Fix | None = None,
    labels: tuple[Label, ...] = (),
) -> Diagnostic:
    """Return a diagnostic that gets its rule and severity from the rule that yields it."""
    return Diagnostic("", message, span, help=help, fix=fix, labels=labels)


def staged(subject: Subject, name: str) -> Iterator[Diagnostic]:
    """Yield what a stage before the rules found under a rule's name."""
    return (diagnostic for diagnostic in subject.staged if diagnostic.rule == name)
