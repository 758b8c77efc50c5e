"""Comments that suppress findings: ``# exporter: ignore[loose-tolerance] the logits are sums of 30000 terms``.

A comment behind content is about the findings on its line, and a comment alone on its line is about those on the next
line that has content. A comment without a reason is not applied. It is a finding, and so is one that has nothing to
suppress.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from exporter.errors import did_you_mean
from exporter.language.diagnostics import Diagnostic, Edit, Fix
from exporter.language.findings import RULES, SUPPRESSION_WITHOUT_REASON, UNKNOWN_SUPPRESSION, UNUSED_SUPPRESSION, Rule
from exporter.language.rules import Subject
from exporter.language.text import Span, Text

_SUPPRESSION = re.compile(r"(?:^|(?<=\s))#\s*exporter:\s*ignore\[([^\]\n]*)\][ \t]*([^\n]*)$")


@dataclass(frozen=True, slots=True)
class _Suppression:
    """A comment that suppresses rules on one line."""

    span: Span
    names: tuple[tuple[str, Span], ...]
    reason: str
    line: int


def apply_suppressions(
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
        # Most of what a comment in a family suppresses is found only through a spec that extends the family.
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
    if not suppression.reason and SUPPRESSION_WITHOUT_REASON.name in active:
        yield SUPPRESSION_WITHOUT_REASON.at(
            "the suppression gives no reason, so it is not applied",
            suppression.span,
            "say why after the bracket",
        )
    for name, span in suppression.names:
        rule = RULES.get(codes.get(name, name))
        if rule is None or not rule.suppressible:
            message = f"no rule '{name}'" if rule is None else f"'{name}' cannot be suppressed"
            if UNKNOWN_SUPPRESSION.name in active:
                yield UNKNOWN_SUPPRESSION.at(message, span, did_you_mean(name, RULES))
        elif (
            rule.name in active and (span.source.name, span.start) not in used and suppression.reason and report_unused
        ):
            unused.append((rule.name, span))
    if unused and UNUSED_SUPPRESSION.name in active:
        # With other rules still needed on the line, the comment stays and is a person's to edit.
        fix = _remove_comment(suppression) if len(unused) == len(suppression.names) else None
        for name, span in unused:
            yield UNUSED_SUPPRESSION.at(f"there is no '{name}' here to suppress", span, "remove the comment", fix)


def _remove_comment(suppression: _Suppression) -> Fix:
    """Return a fix that deletes the comment, and its line where it has one of its own."""
    source, span = suppression.span.source, suppression.span
    before = source.line(span.line)[: span.column - 1]
    start, end = span.start - (len(before) - len(before.rstrip())), span.end
    if not before.strip():
        start, end = source.offset(span.line - 1, 0), source.offset(span.line, 0)
    return Fix("remove the comment", (Edit(Span(source, start, end), ""),))


def _suppressions(source: Text) -> Iterator[_Suppression]:
    """Yield the suppression comments of a text.

    A comment alone on its line is about the next line that has content.
    """
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
