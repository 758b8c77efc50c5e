"""Run the rules over documents.

``documents → stages (syntax, schema, composition, models) → checks → suppressions → findings``. All findings are
collected, and the first of them are listed. A document, and a run over several, may take so much work and no more: it
ends at the same step everywhere, in a finding. Nothing here imports torch or transformers: who wants the models looked
at hands over what examines them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from exporter.errors import EngineError, UsageError, describe_error, did_you_mean
from exporter.language.catalog import display_name, expand_paths
from exporter.language.composing import Composition, check_family, compose_spec
from exporter.language.diagnostics import Diagnostic, Fix, Severity
from exporter.language.document import Document, load_document
from exporter.language.effort import STEPS_OF_A_DOCUMENT, STEPS_OF_A_RUN, Budget, WorkExhausted, bounded
from exporter.language.findings import (
    RULE_CRASHED,
    RULES,
    TOO_LARGE,
    TOO_MANY_FINDINGS,
    TOO_MUCH_WORK,
    YAML_SYNTAX,
    Rule,
)
from exporter.language.rules import Subject, find
from exporter.language.schema import find_violations
from exporter.language.spec import Spec
from exporter.language.suppressions import apply_suppressions
from exporter.language.text import Text

Examine = Callable[[Spec], Iterable[Diagnostic]]

# Findings that are listed: of one file, and of all. Nobody reads more of them before mending the first.
MAX_LISTED_OF_A_FILE = 100
MAX_LISTED = 1_000
# Of the text of a file, which is parsed by a library that counts nothing.
_CHARACTERS_A_STEP = 4


@dataclass(frozen=True, slots=True)
class LintResult:
    """The findings in the linted files, in the order of the files and places.

    Attributes:
        files: the names of the files.
        diagnostics: the findings. Of very many in a file the first are listed, errors before warnings, and after them
            one finding that says how many more there are.
        count: how many findings there are, listed or not.
        paths: the files.
        fixes: what all findings offer to change.
    """

    files: tuple[str, ...]
    diagnostics: tuple[Diagnostic, ...]
    count: int = 0
    paths: tuple[Path, ...] = field(default=(), repr=False)
    fixes: tuple[Fix, ...] = field(default=(), repr=False)

    @property
    def passed(self) -> bool:
        """Whether nothing was found."""
        return not self.diagnostics

    def exit_code(self, fail_on: Severity | None = Severity.WARNING) -> int:
        """Return 0 for a run that passes, 1 for one with findings that matter, and 3 where a rule crashed.

        Args:
            fail_on: how much a finding matters, at least, that a run does not pass with. None lets every finding pass.
        """
        if any(finding.is_bug for finding in self.diagnostics):
            return EngineError.exit_code
        return int(fail_on is not None and any(each.severity.reaches(fail_on) for each in self.diagnostics))


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
    given = list(paths)
    files = expand_paths(given)
    if not files:
        raise UsageError("there is nothing to lint", help="name a spec, or a directory that has some")
    run = Budget(STEPS_OF_A_RUN)
    named = set(map(Path, given))
    judged = [_judge_file(path, run, is_named=path in named) for path in files]
    if examine is not None:
        judged = [replace(each, subject=_examine(each.subject, examine)) for each in judged]
    subjects = tuple(each.subject for each in judged)
    findings = apply_suppressions(_run_rules(judged, rules), subjects, rules, models=examine is not None)
    return LintResult(
        tuple(subject.document.source.name for subject in subjects),
        list_findings(findings),
        len(findings),
        tuple(files),
        tuple(finding.fix for finding in sorted(findings, key=Diagnostic.sort_key) if finding.fix is not None),
    )


def check_spec(document: Document) -> tuple[Composition | None, list[Diagnostic]]:
    """Compose a spec and return it with its findings of severity error: what keeps it from being used."""
    judged = _judge(document, Budget(STEPS_OF_A_DOCUMENT))
    rules = choose_rules((), ())
    subject = judged.subject
    findings = apply_suppressions(_run_rules([judged], rules), (subject,), rules, models=False)
    errors = [finding for finding in findings if finding.severity is Severity.ERROR]
    return subject.composition, list(list_findings(errors))


def check_document(document: Document) -> list[Diagnostic]:
    """Return what is wrong with a document as text and against its schema, the first findings of many."""
    return list(list_findings(_judge(document, Budget(STEPS_OF_A_DOCUMENT)).subject.staged))


def list_findings(findings: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Return findings in the order of the files and places, and of very many the first, with how many more there are.

    Errors come before warnings in what is kept.
    """
    of_files: dict[str, list[Diagnostic]] = {}
    for finding in findings:
        of_files.setdefault(finding.span.source.name, []).append(finding)
    listed: list[Diagnostic] = []
    left = MAX_LISTED
    for name in sorted(of_files):
        found = sorted(of_files[name], key=lambda each: (each.severity is not Severity.ERROR, *each.sort_key()))
        kept = found[: min(MAX_LISTED_OF_A_FILE, left)]
        left -= len(kept)
        listed += sorted(kept, key=Diagnostic.sort_key)
        if len(kept) < len(found):
            more = len(found) - len(kept)
            message = f"{more:,} more finding{'s' * (more != 1)} in this file {'are' if more != 1 else 'is'} not listed"
            source = found[0].span.source
            end = source.span(len(source.text), len(source.text))
            listed.append(TOO_MANY_FINDINGS.at(message, end, "mend the first ones and lint again"))
    return tuple(listed)


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


def _load(path: Path, *, is_named: bool) -> Document:
    """Return the document of a file. One that was found in a directory and cannot be read does not end the run."""
    try:
        return load_document(path, display_name(path))
    except OSError as error:
        if is_named:
            raise UsageError(f"'{path}' cannot be read: {error.strerror}") from None
        source = Text(display_name(path), "", path)
        finding = YAML_SYNTAX.at(f"the file cannot be read: {error.strerror}", source.span(0, 0), "mend or remove it")
        return Document(source, None, (finding,))


@dataclass(frozen=True, slots=True)
class _Judged:
    """A linted file, and what is left of the work it may take."""

    subject: Subject
    budget: Budget


def _judge_file(path: Path, run: Budget, *, is_named: bool) -> _Judged:
    """Read and judge one file of a run, or say that the run has done all the work it may."""
    try:
        run.take(0)
        document = _load(path, is_named=is_named)
        run.take(len(document.source.text) // _CHARACTERS_A_STEP)
    except WorkExhausted:
        document = Document(Text(display_name(path), "", path), None, ())
        message = "the files before this one took all the work that linting may take, so this one was not looked at"
        finding = TOO_MUCH_WORK.at(message, document.source.span(0, 0), "lint fewer files at a time")
        return _Judged(Subject(document, (finding,), None), Budget(0))
    return _judge(document, Budget(STEPS_OF_A_DOCUMENT, whole=run))


def _judge(document: Document, budget: Budget) -> _Judged:
    """Take a document through the stages before the rules: against its schema, and composed."""
    read, composition = list(document.diagnostics), None
    try:
        with bounded(budget):
            for finding in find_violations(document):
                read.append(finding)  # noqa: PERF402 - what was found before the work ends is kept
            # What is larger than it may be is not composed: that work grows with the product of the sizes.
            if document.root is not None and not any(finding.rule == TOO_LARGE.name for finding in read):
                composition = _compose(document)
    except WorkExhausted:
        read.append(_too_much_work(document))
    # A key that the schema refuses may fail in composing too; the finding of the schema is enough for that place.
    judged = set(map(_place, read))
    composed = composition.diagnostics if composition is not None else ()
    staged = tuple(dict.fromkeys([*read, *(finding for finding in composed if _place(finding) not in judged)]))
    return _Judged(Subject(document, staged, composition), budget)


def _compose(document: Document) -> Composition | None:
    match document.kind():
        case "spec":
            return compose_spec(document)
        case "family":
            return check_family(document)
    return None


def _too_much_work(document: Document) -> Diagnostic:
    return TOO_MUCH_WORK.at(
        "the document takes more work than linting does for one, so not all of it was looked at",
        document.source.span(0, 0),
        "make it smaller: it has too many names, or each of them is laid over too many others",
    )


def _place(finding: Diagnostic) -> tuple[str, int]:
    return finding.span.source.name, finding.span.start


def _is_of_schema(finding: Diagnostic) -> bool:
    return RULES[finding.rule].code.startswith("EXP1")


def _examine(subject: Subject, examine: Examine) -> Subject:
    """Add what building the references of a spec shows."""
    if subject.spec is None or any(finding.severity is Severity.ERROR for finding in subject.staged):
        return subject
    return replace(subject, staged=(*subject.staged, *examine(subject.spec)))


def _run_rules(judged: Iterable[_Judged], rules: Iterable[Rule]) -> list[Diagnostic]:
    """Run every rule on every subject; a rule that raises is a finding itself, and so is one that ends the work."""
    chosen = list(rules)
    listed = list(judged)
    subjects = tuple(each.subject for each in listed)
    findings: list[Diagnostic] = []
    for each in listed:
        findings += _run_rules_on(each, subjects, chosen)
    # What the schema refuses has no meaning that another rule could judge.
    refused = {_place(finding) for finding in findings if _is_of_schema(finding)}
    # A family's mistake is found again through every spec that extends it.
    unique: dict[tuple[str, str, int, str], Diagnostic] = {}
    for finding in findings:
        if not _judges_meaning(finding) or _place(finding) not in refused:
            unique.setdefault((finding.rule, *_place(finding), finding.message), finding)
    return list(unique.values())


def _run_rules_on(judged: _Judged, subjects: tuple[Subject, ...], rules: Iterable[Rule]) -> list[Diagnostic]:
    subject, findings = judged.subject, []
    document = subject.document
    for rule in rules:
        if rule is TOO_MUCH_WORK:
            continue
        try:
            with bounded(judged.budget):
                for finding in find(rule, subject, subjects):
                    findings.append(finding)  # noqa: PERF402 - what was found before the rule raised is kept
        except WorkExhausted:
            if not subject.staged_of(TOO_MUCH_WORK):
                findings.append(_too_much_work(document))
            # What the stages found costs nothing to hand on.
            findings += [finding for finding in subject.staged if RULES[finding.rule] in rules]
            break
        except Exception as error:
            message = f"the rule '{rule.name}' crashed: {describe_error(error)}"
            help_ = "this is a bug in exporter, not in the document; please report it with the document"
            findings.append(replace(RULE_CRASHED.at(message, document.source.span(0, 0), help_), is_bug=True))
    return [*findings, *subject.staged_of(TOO_MUCH_WORK)]


def _judges_meaning(finding: Diagnostic) -> bool:
    """Tell whether a finding is about what a value means, and not about the text, the linter or the schema."""
    return RULES[finding.rule].code[:4] not in ("EXP0", "EXP1", "EXP7", "EXP9")
