"""Run the rules over documents.

``documents → stages (syntax, schema, composition, models) → checks → suppressions → findings``. All findings are
collected. Nothing here imports torch or transformers: who wants the models looked at hands over what examines them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from exporter.errors import UsageError, describe_error, did_you_mean
from exporter.language.catalog import display_name, expand_paths
from exporter.language.composing import Composition, check_family, compose_spec
from exporter.language.diagnostics import Diagnostic, Severity
from exporter.language.document import Document, load_document
from exporter.language.findings import RULE_CRASHED, RULES, Rule
from exporter.language.rules import Subject, find
from exporter.language.schema import check_schema
from exporter.language.spec import Spec
from exporter.language.suppressions import apply_suppressions

Examine = Callable[[Spec], Iterable[Diagnostic]]


@dataclass(frozen=True, slots=True)
class LintResult:
    """All findings in the linted files, in the order of the files and places."""

    files: tuple[str, ...]
    diagnostics: tuple[Diagnostic, ...]
    paths: tuple[Path, ...] = field(default=(), repr=False)

    @property
    def passed(self) -> bool:
        """Whether nothing was found."""
        return not self.diagnostics


def lint_paths(
    paths: Iterable[str],
    *,
    select: Iterable[str] = (),
    ignore: Iterable[str] = (),
    examine: Examine | None = None,
) -> LintResult:
    """Lint files and directories.

    Args:
        paths: files, directories and architectures.
        select: names, codes or code prefixes (``EXP5``) of the rules to run; default all.
        ignore: names, codes or code prefixes of rules to leave out.
        examine: builds the references of a spec and returns what disagrees with it. Default: no model is looked at.

    Raises:
        UsageError: a path or a rule does not exist, or a file cannot be read.
    """
    rules = choose_rules(select, ignore)
    files = expand_paths(paths)
    if not files:
        raise UsageError("there is nothing to lint", help="name a spec, or a directory that has some")
    subjects = tuple(_subject(_load(path)) for path in files)
    if examine is not None:
        subjects = tuple(_examine(subject, examine) for subject in subjects)
    findings = apply_suppressions(_run_rules(subjects, rules), subjects, rules, models=examine is not None)
    return LintResult(
        tuple(subject.document.source.name for subject in subjects),
        tuple(sorted(findings, key=Diagnostic.sort_key)),
        tuple(files),
    )


def check_spec(document: Document, composition: Composition) -> list[Diagnostic]:
    """Return the findings of severity error in one spec: what keeps it from being used."""
    subject = Subject(document, _staged(document, composition), composition)
    rules = choose_rules((), ())
    findings = apply_suppressions(_run_rules((subject,), rules), (subject,), rules, models=False)
    return [finding for finding in findings if finding.severity is Severity.ERROR]


def choose_rules(select: Iterable[str], ignore: Iterable[str]) -> list[Rule]:
    """Return the rules a selection leaves, in the order of their codes.

    Raises:
        UsageError: a word names no rule.
    """
    selected, ignored = ({name for word in words for name in _matching(word)} for words in (select, ignore))
    return [
        rule
        for rule in sorted(RULES.values(), key=lambda rule: rule.code)
        if (not selected or rule.name in selected) and rule.name not in ignored
    ]


def _matching(word: str) -> list[str]:
    names = [
        rule.name
        for rule in RULES.values()
        if word == rule.name or (word.startswith("EXP") and rule.code.startswith(word))
    ]
    if not names:
        raise UsageError(
            f"there is no rule '{word}'", help=did_you_mean(word, RULES) or "'exporter explain' lists the rules"
        )
    return names


def _load(path: Path) -> Document:
    try:
        return load_document(path, display_name(path))
    except OSError as error:
        raise UsageError(f"'{path}' cannot be read: {error.strerror}") from None


def _subject(document: Document) -> Subject:
    composition = None
    if document.root is not None and document.kind() == "spec":
        composition = compose_spec(document)
    elif document.root is not None and document.kind() == "family":
        composition = check_family(document)
    return Subject(document, _staged(document, composition), composition)


def _staged(document: Document, composition: Composition | None) -> tuple[Diagnostic, ...]:
    """Return what was found before the rules: in the text, against the schema, and while composing."""
    read = [*document.diagnostics, *check_schema(document)]
    # A key that the schema refuses may fail in composing too; the finding of the schema is enough for that place.
    judged = set(map(_place, read))
    composed = composition.diagnostics if composition is not None else ()
    return tuple(dict.fromkeys([*read, *(finding for finding in composed if _place(finding) not in judged)]))


def _place(finding: Diagnostic) -> tuple[str, int]:
    return finding.span.source.name, finding.span.start


def _is_of_schema(finding: Diagnostic) -> bool:
    return RULES[finding.rule].code.startswith("EXP1")


def _examine(subject: Subject, examine: Examine) -> Subject:
    """Add what building the references of a spec shows."""
    if subject.spec is None or any(finding.severity is Severity.ERROR for finding in subject.staged):
        return subject
    return replace(subject, staged=(*subject.staged, *examine(subject.spec)))


def _run_rules(subjects: tuple[Subject, ...], rules: Iterable[Rule]) -> list[Diagnostic]:
    """Run every rule on every subject; a rule that raises is a finding itself."""
    chosen = list(rules)
    findings: list[Diagnostic] = []
    for subject in subjects:
        for rule in chosen:
            try:
                findings += find(rule, subject, subjects)
            except Exception as error:
                message = f"the rule '{rule.name}' crashed: {describe_error(error)}"
                help_ = "this is a bug in exporter, not in the document; please report it with the document"
                findings.append(RULE_CRASHED.at(message, subject.document.source.span(0, 0), help_))
    # What the schema refuses has no meaning that another rule could judge.
    refused = {_place(finding) for finding in findings if _is_of_schema(finding)}
    # A family's mistake is found again through every spec that extends it.
    unique: dict[tuple[str, str, int, str], Diagnostic] = {}
    for finding in findings:
        if _is_of_schema(finding) or _place(finding) not in refused:
            unique.setdefault((finding.rule, *_place(finding), finding.message), finding)
    return list(unique.values())
