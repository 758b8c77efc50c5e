"""Run the rules over documents, apply suppressions, and apply fixes.

``documents → stages (syntax, schema, composition, models) → rules → suppressions → findings``. All findings are collected. Nothing
here imports torch or transformers unless the models are asked for.
"""

from __future__ import annotations

import difflib
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from exporter.errors import UsageError, describe_error, did_you_mean
from exporter.language.catalog import display_name, expand_paths
from exporter.language.composing import Composition, check_family, compose_spec
from exporter.language.diagnostics import Diagnostic, Edit, Fix, Severity
from exporter.language.document import Document, load_document
from exporter.language.rules import RULES, Rule, Subject
from exporter.language.schema import check_schema
from exporter.language.spec import Spec
from exporter.language.text import Span, Text

# Fixing one finding may uncover another; a spec is far from needing more rounds than this.
_MAX_ROUNDS = 8
_SUPPRESSION = re.compile(r"(?:^|(?<=\s))#\s*exporter:\s*ignore\[([^\]\n]*)\][ \t]*([^\n]*)$")

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


@dataclass(frozen=True, slots=True)
class _Suppression:
    """A comment that suppresses rules on one line."""

    span: Span
    names: tuple[tuple[str, Span], ...]
    reason: str
    line: int


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
    findings = _apply_suppressions(_run_rules(subjects, rules), subjects, rules, models=examine is not None)
    return LintResult(
        tuple(subject.document.source.name for subject in subjects),
        tuple(sorted(findings, key=Diagnostic.sort_key)),
        tuple(files),
    )


def check_spec(document: Document, composition: Composition) -> list[Diagnostic]:
    """Return the findings of severity error in one spec: what keeps it from being used."""
    subject = Subject(document, _staged(document, composition), composition)
    rules = choose_rules((), ())
    findings = _apply_suppressions(_run_rules((subject,), rules), (subject,), rules, models=False)
    return [finding for finding in findings if finding.severity is Severity.ERROR]


def choose_rules(select: Iterable[str], ignore: Iterable[str]) -> list[Rule]:
    """Return the rules a selection leaves, in the order of their codes.

    Raises:
        UsageError: a word names no rule.
    """
    selected, ignored = ({name for word in words for name in _matching(word)} for words in (select, ignore))
    return [
        rule for rule in sorted(RULES.values(), key=lambda rule: rule.code)
        if (not selected or rule.name in selected) and rule.name not in ignored
    ]  # fmt: skip


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
    found = [*document.diagnostics, *check_schema(document)]
    # Composing meets a key that the schema has judged already; one finding is enough for a place.
    judged = {(finding.span.source.name, finding.span.start) for finding in found}
    composed = composition.diagnostics if composition is not None else ()
    found += [finding for finding in composed if (finding.span.source.name, finding.span.start) not in judged]
    return tuple(dict.fromkeys(found))


def _examine(subject: Subject, examine: Examine) -> Subject:
    """Add what building the references of a spec shows."""
    if subject.spec is None or any(finding.severity is Severity.ERROR for finding in subject.staged):
        return subject
    return replace(subject, staged=(*subject.staged, *examine(subject.spec)))


def _run_rules(subjects: tuple[Subject, ...], rules: Iterable[Rule]) -> list[Diagnostic]:
    """Run every rule on every subject; a rule that raises is a finding itself."""
    chosen = list(rules)
    found: list[Diagnostic] = []
    for subject in subjects:
        for rule in chosen:
            try:
                found += rule.run(subject, subjects)
            except Exception as error:
                message = f"the rule '{rule.name}' crashed: {describe_error(error)}"
                help_ = "this is a bug in exporter, not in the document; please report it with the document"
                found.append(Diagnostic("rule-crashed", message, subject.document.source.span(0, 0), help=help_))
    # What the schema refuses has no meaning that another rule could judge.
    judged = {(one.span.source.name, one.span.start) for one in found if RULES[one.rule].code.startswith("EXP1")}
    found = [
        one
        for one in found
        if RULES[one.rule].code.startswith("EXP1") or (one.span.source.name, one.span.start) not in judged
    ]
    # A family's mistake is found again through every spec that extends it.
    unique: dict[tuple[str, str, int, str], Diagnostic] = {}
    for finding in found:
        unique.setdefault((finding.rule, finding.span.source.name, finding.span.start, finding.message), finding)
    return list(unique.values())


# Suppressions


def _apply_suppressions(
    findings: list[Diagnostic], subjects: tuple[Subject, ...], rules: Iterable[Rule], *, models: bool
) -> list[Diagnostic]:
    """Remove suppressed findings, and report suppressions that are unused, unknown or without a reason."""
    active = {rule.name for rule in rules if models or not rule.needs_models}
    suppressions = {source.name: list(_suppressions(source)) for source in _sources(subjects)}
    used: set[tuple[str, int]] = set()
    kept: list[Diagnostic] = []
    for finding in findings:
        match = _find_suppression(finding, suppressions.get(finding.span.source.name, ()))
        if match is None:
            kept.append(finding)
        else:
            used.add((match.source.name, match.start))
    for subject in subjects:
        source = subject.document.source
        # What a family suppresses shows only where a spec extends it.
        judged = subject.kind != "family" or any(_family_name(other) == source.name for other in subjects)
        for suppression in suppressions.get(source.name, ()):
            kept += _judge_suppression(suppression, used, active, report_unused=judged)
    return kept


def _find_suppression(finding: Diagnostic, suppressions: Iterable[_Suppression]) -> Span | None:
    rule = RULES.get(finding.rule)
    if rule is None or not rule.suppressible:
        return None
    line = finding.span.line
    for suppression in suppressions:
        if suppression.line == line and suppression.reason:
            for name, span in suppression.names:
                if name in (rule.name, rule.code):
                    return span
    return None


def _judge_suppression(
    suppression: _Suppression, used: set[tuple[str, int]], active: set[str], *, report_unused: bool
) -> Iterator[Diagnostic]:
    codes = {rule.code: rule.name for rule in RULES.values()}
    unused: list[tuple[str, Span]] = []
    if not suppression.reason and "suppression-without-reason" in active:
        yield _finding(
            "suppression-without-reason",
            "the suppression gives no reason, so it is not applied",
            suppression.span,
            "say why after the bracket",
        )
    for name, span in suppression.names:
        rule = RULES.get(codes.get(name, name))
        if rule is None or not rule.suppressible:
            message = f"no rule '{name}'" if rule is None else f"'{name}' cannot be suppressed"
            if "unknown-suppression" in active:
                yield _finding("unknown-suppression", message, span, did_you_mean(name, RULES))
        elif (
            rule.name in active and (span.source.name, span.start) not in used and suppression.reason and report_unused
        ):
            unused.append((rule.name, span))
    if unused and "unused-suppression" in active:
        # With other rules still needed on the line, the comment stays and is a person's to edit.
        fix = _remove_comment(suppression) if len(unused) == len(suppression.names) else None
        for name, span in unused:
            yield _finding(
                "unused-suppression", f"there is no '{name}' here to suppress", span, "remove the comment", fix
            )


def _finding(name: str, message: str, span: Span, help_: str | None, fix: Fix | None = None) -> Diagnostic:
    return Diagnostic(name, message, span, RULES[name].severity, help=help_, fix=fix)


def _remove_comment(suppression: _Suppression) -> Fix:
    """Return a fix that deletes the comment, and its line where it has one of its own."""
    source, span = suppression.span.source, suppression.span
    before = source.line(span.line)[: span.column - 1]
    start, end = span.start - (len(before) - len(before.rstrip())), span.end
    if not before.strip():
        start, end = source.offset(span.line - 1, 0), source.offset(span.line, 0)
    return Fix("remove the comment", (Edit(Span(source, start, end), ""),))


def _suppressions(source: Text) -> Iterator[_Suppression]:
    """Yield the suppression comments of a text. A comment alone on its line speaks of the next line that has content."""
    lines = list(source.lines())
    for number, text in enumerate(lines, start=1):
        match = _SUPPRESSION.search(text)
        if match is None:
            continue
        base = source.offset(number - 1, 0)
        names = tuple(
            (part.group(), source.span(base + match.start(1) + part.start(), base + match.start(1) + part.end()))
            for part in re.finditer(r"[^\s,]+", match.group(1))
        )
        target = number
        if not text[: match.start()].strip():
            following = (
                at for at in range(number, len(lines)) if lines[at].strip() and not lines[at].lstrip().startswith("#")
            )
            target = next(following, number - 1) + 1
        span = source.span(base + match.start(), base + match.end())
        yield _Suppression(span, names, match.group(2).strip(), target)


def _sources(subjects: Iterable[Subject]) -> Iterator[Text]:
    seen: set[str] = set()
    for subject in subjects:
        family = subject.composition.family if subject.composition is not None else None
        for document in (subject.document, family):
            if document is not None and document.source.name not in seen:
                seen.add(document.source.name)
                yield document.source


def _family_name(subject: Subject) -> str | None:
    family = subject.composition.family if subject.composition is not None and subject.kind == "spec" else None
    return family.source.name if family is not None else None


# Fixes


def fixed_texts(result: LintResult) -> dict[Path, tuple[str, str]]:
    """Return, for each linted file that safe fixes change, the text before and after one round of them."""
    edits: dict[Path, list[tuple[Text, Edit]]] = {}
    linted = {path.resolve() for path in result.paths}
    for finding in result.diagnostics:
        if finding.fix is None or not finding.fix.safe:
            continue
        for edit in finding.fix.edits:
            path = edit.span.source.path
            if path is not None and path.resolve() in linted:
                edits.setdefault(path, []).append((edit.span.source, edit))
    return {
        path: (found[0][0].text, _apply_edits(found[0][0].text, [edit for _, edit in found]))
        for path, found in edits.items()
    }


def _apply_edits(text: str, edits: Iterable[Edit]) -> str:
    """Apply edits from the end of the text to its start; of two that overlap the first stands."""
    chosen: list[Edit] = []
    for edit in sorted(dict.fromkeys(edits), key=lambda edit: (edit.span.start, edit.span.end)):
        if not chosen or edit.span.start >= chosen[-1].span.end:
            chosen.append(edit)
    for edit in reversed(chosen):
        text = text[: edit.span.start] + edit.replacement + text[edit.span.end :]
    return text


def fix_files(lint: Callable[[], LintResult]) -> tuple[LintResult, int]:
    """Apply safe fixes to the files until none is left; return what remains, and how many findings were fixed.

    Args:
        lint: lints the same files again.
    """
    result = lint()
    before = len(result.diagnostics)
    for _ in range(_MAX_ROUNDS):
        changes = {path: after for path, (text, after) in fixed_texts(result).items() if after != text}
        if not changes:
            break
        for path, text in changes.items():
            _write_text(path, text)
        result = lint()
    return result, before - len(result.diagnostics)


def _write_text(path: Path, text: str) -> None:
    """Replace a file whole, keeping its mode and its byte order mark."""
    mark = b"\xef\xbb\xbf" if path.read_bytes().startswith(b"\xef\xbb\xbf") else b""
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as temporary:
            temporary.write(mark + text.encode("utf-8"))
        Path(name).chmod(path.stat().st_mode)
        Path(name).replace(path)
    except OSError as error:
        raise UsageError(f"'{path}' cannot be written: {error.strerror}") from None


def diff_fixes(result: LintResult) -> Iterator[str]:
    """Yield unified diffs of what one round of safe fixes would change."""
    for path, (before, after) in sorted(fixed_texts(result).items()):
        name = display_name(path)
        yield from difflib.unified_diff(
            before.splitlines(keepends=True), after.splitlines(keepends=True), f"a/{name}", f"b/{name}"
        )
