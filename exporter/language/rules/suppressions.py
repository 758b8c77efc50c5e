"""EXP9: suppressions, and rules that crash. The runner in linting.py finds these; here is what they mean."""

from __future__ import annotations

from collections.abc import Iterator

from exporter.language.diagnostics import Diagnostic, Severity
from exporter.language.rules.registry import Subject, rule, staged


@rule("EXP901", "unused-suppression", severity=Severity.WARNING, suppressible=False)
def unused_suppression(subject: Subject, _: tuple[Subject, ...]) -> Iterator[Diagnostic]:
    """A comment suppresses a finding that is not there. `--fix` removes it.

    **Why it is bad:** it would hide the next finding at this place, which nobody has judged.

    **Example:** `float32: {atol: 1.0e-5, rtol: 1.0e-5}  # exporter: ignore[loose-tolerance] overflow upstream`

    **Use instead:** the line without the comment.
    """
    return staged(subject, "unused-suppression")


@rule("EXP902", "suppression-without-reason", severity=Severity.WARNING, suppressible=False)
def suppression_without_reason(subject: Subject, _: tuple[Subject, ...]) -> Iterator[Diagnostic]:
    """A suppression does not say why.

    **Why it is bad:** whoever finds it cannot tell whether it still holds.

    **Example:** `# exporter: ignore[untested-override]`

    **Use instead:** `# exporter: ignore[untested-override] both are tied in this architecture`
    """
    return staged(subject, "suppression-without-reason")


@rule("EXP903", "unknown-suppression", severity=Severity.WARNING, suppressible=False)
def unknown_suppression(subject: Subject, _: tuple[Subject, ...]) -> Iterator[Diagnostic]:
    """A suppression names no rule, or one that cannot be suppressed.

    **Why it is bad:** it suppresses nothing.

    **Example:** `# exporter: ignore[loose-tolerence] measured`

    **Use instead:** `# exporter: ignore[loose-tolerance] measured`
    """
    return staged(subject, "unknown-suppression")


@rule("EXP904", "rule-crashed", severity=Severity.ERROR, suppressible=False)
def rule_crashed(subject: Subject, _: tuple[Subject, ...]) -> Iterator[Diagnostic]:
    """A rule failed with an exception: a bug in the linter, shown as a finding so that the other rules still speak.

    **Why it is bad:** what the rule looks for was not looked for.

    **Example:** any document that makes a rule raise.

    **Use instead:** please report it with the document.
    """
    return staged(subject, "rule-crashed")
