"""Comments that suppress findings: ``# exporter: ignore[loose-tolerance] the logits are sums of 30000 terms``.

A comment behind content is about the findings on its line, and a comment alone on its line is about those on the next
line that has content. A comment without a reason is not applied. It is a finding, and so is one that has nothing to
suppress. A ``#`` in quotes, or in a block of text, begins no comment.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from exporter.language.diagnostics import Diagnostic, Edit, Fix
from exporter.language.document import Document
from exporter.language.effort import Budget, bounded, suggest
from exporter.language.findings import (
    RULES,
    SUPPRESSION_WITHOUT_REASON,
    TOO_LARGE,
    UNKNOWN_SUPPRESSION,
    UNUSED_SUPPRESSION,
    Rule,
)
from exporter.language.rules import Subject
from exporter.language.text import Span, Text

_MARK = re.compile(r"(?:^|(?<=\s))#[ \t]*exporter:[ \t]*ignore\[")
_COMMENT = re.compile(r"(?:^|(?<=[ \t]))#")
# Names of rules that the comments of a file may have, and one of them.
_MAX_NAMES, _MAX_NAMES_OF_ONE = 50_000, 100
# Comments are read in steps that grow with the text alone, so they are not counted.
_STEPS = 1 << 62


@dataclass(frozen=True, slots=True)
class _Suppression:
    """A comment that suppresses rules on one line.

    Attributes:
        span: the comment.
        names: of rules, or their codes, each with its place.
        reason: what is behind the bracket.
        line: the line whose findings are meant, from 1.
        unread: where names begin that are too many to be read.
    """

    span: Span
    names: tuple[tuple[str, Span], ...]
    reason: str
    line: int
    unread: Span | None


def apply_suppressions(
    findings: list[Diagnostic], subjects: tuple[Subject, ...], rules: Iterable[Rule], *, models: bool
) -> list[Diagnostic]:
    """Remove suppressed findings, and report suppressions that are unused, unknown or without a reason."""
    active = {rule.name for rule in rules if models or not rule.needs_models}
    suppressions = {
        document.source.name: _suppressions(document.source, document.quoted) for document in _documents(subjects)
    }
    # By file and line, the place of each rule that is suppressed there, by name and by code.
    places: dict[tuple[str, int], dict[str, Span]] = {}
    for name, listed in suppressions.items():
        for suppression in listed:
            for rule, span in suppression.names if suppression.reason else ():
                places.setdefault((name, suppression.line), {}).setdefault(_codes().get(rule, rule), span)
    used: set[tuple[str, int]] = set()
    kept: list[Diagnostic] = []
    for finding in findings:
        rule_ = RULES.get(finding.rule)
        match = None
        if rule_ is not None and rule_.suppressible and finding.span.source.name in suppressions:
            match = places.get((finding.span.source.name, finding.span.line), {}).get(rule_.name)
        if match is None:
            kept.append(finding)
        else:
            used.add((match.source.name, match.start))
    families = {_family_name(subject) for subject in subjects}
    with bounded(Budget(_STEPS)):
        for subject in subjects:
            source = subject.document.source
            # Most of what a comment in a family suppresses is found only through a spec that extends the family.
            judged = subject.kind != "family" or source.name in families
            for suppression in suppressions.get(source.name, ()):
                kept += _judge_suppression(suppression, used, active, report_unused=judged)
    return kept


def _judge_suppression(
    suppression: _Suppression, used: set[tuple[str, int]], active: set[str], *, report_unused: bool
) -> Iterator[Diagnostic]:
    unused: list[tuple[str, Span]] = []
    if not suppression.reason and SUPPRESSION_WITHOUT_REASON.name in active:
        yield SUPPRESSION_WITHOUT_REASON.at(
            "the suppression gives no reason, so it is not applied",
            suppression.span,
            "say why after the bracket",
        )
    if not suppression.names and UNKNOWN_SUPPRESSION.name in active:
        yield UNKNOWN_SUPPRESSION.at("the suppression names no rule", suppression.span, "name one in the brackets")
    if suppression.unread is not None:
        message = f"a comment suppresses at most {_MAX_NAMES_OF_ONE} rules, and those of a file {_MAX_NAMES:,}"
        yield TOO_LARGE.at(message, suppression.unread, "the names from here on are not read; remove what is not meant")
    for name, span in suppression.names:
        rule = RULES.get(_codes().get(name, name))
        if rule is None or not rule.suppressible:
            message = f"no rule '{name}'" if rule is None else f"'{name}' cannot be suppressed"
            if UNKNOWN_SUPPRESSION.name in active:
                yield UNKNOWN_SUPPRESSION.at(message, span, suggest(name, RULES))
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


@lru_cache(maxsize=1)
def _codes() -> dict[str, str]:
    return {rule.code: rule.name for rule in RULES.values()}


@lru_cache(maxsize=128)
def _suppressions(source: Text, quoted: tuple[tuple[int, int], ...]) -> tuple[_Suppression, ...]:
    return tuple(_read_suppressions(source, _Quoted(quoted)))


def _read_suppressions(source: Text, quoted: _Quoted) -> Iterator[_Suppression]:
    """Yield the suppression comments of a text.

    A comment alone on its line is about the next line that has content.
    """
    lines = list(source.lines())
    contents = _next_contents(lines)
    left = _MAX_NAMES
    for number, text in enumerate(lines, start=1):
        if "exporter:" not in text:
            continue
        base = source.offset(number - 1, 0)
        begin = next((at.start() for at in _COMMENT.finditer(text) if not quoted.has(base + at.start())), len(text))
        mark = _MARK.search(text, begin)
        close = text.find("]", mark.end()) if mark is not None else -1
        if mark is None or close < 0:
            continue
        names: list[tuple[str, Span]] = []
        unread = None
        for part in re.finditer(r"[^\s,]+", text[mark.end() : close]):
            start = base + mark.end() + part.start()
            if len(names) >= min(_MAX_NAMES_OF_ONE, left):
                unread = source.span(start, base + close)
                break
            names.append((part.group(), source.span(start, start + len(part.group()))))
        left -= len(names)
        target = number if text[: mark.start()].strip() else contents[number]
        span = source.span(base + mark.start(), base + len(text))
        yield _Suppression(span, tuple(names), text[close + 1 :].strip(), target, unread)


class _Quoted:
    """Where texts in quotes and blocks are, asked about places that come one after another."""

    def __init__(self, ranges: Iterable[tuple[int, int]]) -> None:
        self.ranges = sorted(ranges)
        self.at = 0

    def has(self, offset: int) -> bool:
        while self.at < len(self.ranges) and self.ranges[self.at][1] <= offset:
            self.at += 1
        return self.at < len(self.ranges) and self.ranges[self.at][0] <= offset


def _next_contents(lines: list[str]) -> list[int]:
    """Return the number of the first line with content after each line, from 0 for the beginning of the text.

    Behind the last content it is the line's own number.
    """
    following = list(range(len(lines) + 1))
    for at in range(len(lines) - 1, -1, -1):
        stripped = lines[at].lstrip()
        if stripped and not stripped.startswith("#"):
            following[at] = at + 1
        elif at + 1 < len(lines) and following[at + 1] > at + 1:
            following[at] = following[at + 1]
    return following


def _documents(subjects: Iterable[Subject]) -> Iterator[Document]:
    """Yield the documents whose comments are read: those that are YAML, and their families."""
    seen: set[str] = set()
    for subject in subjects:
        family = subject.composition.family if subject.composition is not None else None
        for document in (subject.document, family):
            if document is not None and document.root is not None and document.source.name not in seen:
                seen.add(document.source.name)
                yield document


def _family_name(subject: Subject) -> str | None:
    family = subject.composition.family if subject.composition is not None and subject.kind == "spec" else None
    return family.source.name if family is not None else None
