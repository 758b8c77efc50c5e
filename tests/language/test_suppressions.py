"""EXP9: comments that suppress, those that suppress nothing, and rules that crash."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.language.diagnostics import Severity
from exporter.language.findings import RULES, Rule
from exporter.language.rules import CHECKS

LOOSE = "tolerances:\n  float32: {atol: 1.0, rtol: 1.0e-5}"


def comment(text: str) -> str:
    """Return a spec with a loose tolerance and a comment on its line."""
    return f"{LOOSE}  # exporter: {text}\n"


BAD = {
    "one of a rule without a finding": (
        "unused-suppression",
        "dims: {labels: 8}  # exporter: ignore[«loose-tolerance»] it was so once\n",
        "there is no 'loose-tolerance' here to suppress",
    ),
    "one by its code": (
        "unused-suppression",
        "dims: {labels: 8}  # exporter: ignore[«EXP501»] it was so once\n",
        "there is no 'loose-tolerance' here to suppress",
    ),
    "one of a finding on another line": (
        "unused-suppression",
        f"{LOOSE}\ndims: {{labels: 8}}  # exporter: ignore[«loose-tolerance»] too far below\n",
        "there is no 'loose-tolerance' here to suppress",
    ),
    "two of them": (
        "unused-suppression",
        "dims: {labels: 8}  # exporter: ignore[«loose-tolerance», «fixed-float»] they were so once\n",
        "there is no",
    ),
    "a rule by name and code": (
        "unused-suppression",
        comment("ignore[loose-tolerance, «EXP501»] one of them is enough"),
        "there is no 'loose-tolerance' here to suppress",
    ),
    "no reason": (
        "suppression-without-reason",
        f"{LOOSE}  «# exporter: ignore[loose-tolerance]»\n",
        "the suppression gives no reason, so it is not applied",
    ),
    "spaces for a reason": (
        "suppression-without-reason",
        f"{LOOSE}  «# exporter: ignore[loose-tolerance]   »\n",
        "the suppression gives no reason",
    ),
    "a misspelt rule": (
        "unknown-suppression",
        comment("ignore[«loose-tolerence»] measured"),
        "no rule 'loose-tolerence'",
    ),
    "a code nobody has": ("unknown-suppression", comment("ignore[«EXP599»] measured"), "no rule 'EXP599'"),
    "a group of codes": ("unknown-suppression", comment("ignore[«EXP5»] measured"), "no rule 'EXP5'"),
    "a rule that cannot be suppressed": (
        "unknown-suppression",
        comment("ignore[«unused-suppression»] never mind"),
        "'unused-suppression' cannot be suppressed",
    ),
}


@pytest.mark.parametrize(("rule", "text", "message"), BAD.values(), ids=BAD)
def test_a_suppression_that_suppresses_nothing_is_found(find_marked, rule: str, text: str, message: str):
    for finding in find_marked(rule, text):
        assert finding.message.startswith(message)
        assert finding.severity is Severity.WARNING


GOOD = {
    "on the line": comment("ignore[loose-tolerance] measured"),
    "without spaces": f"{LOOSE} #exporter:ignore[loose-tolerance]measured\n",
    "by its code": comment("ignore[EXP501] measured"),
    "among others": comment("ignore[ loose-tolerance ] measured # and more"),
    "on the line above": LOOSE.replace("\n", "\n  # exporter: ignore[loose-tolerance] measured\n") + "\n",
    "above a comment and an empty line": LOOSE.replace(
        "\n", "\n  # exporter: ignore[loose-tolerance] measured\n\n  # Wide.\n"
    )
    + "\n",
    "a comment about them": "# An exporter: ignore[x] is no comment of its own, nor is ignore[y].\n",
}


@pytest.mark.parametrize("rule", ["unused-suppression", "suppression-without-reason", "unknown-suppression"])
@pytest.mark.parametrize("text", GOOD.values(), ids=GOOD)
def test_a_suppression_of_a_finding_is_not_found(find_marked, rule: str, text: str):
    find_marked(rule, text)


def test_a_suppression_without_a_reason_leaves_the_finding(lint_text, complete):
    rules = {finding.rule for finding in lint_text(complete(comment("ignore[loose-tolerance]")))}
    assert rules == {"loose-tolerance", "suppression-without-reason"}


QUOTED = {
    "in quotes": "description: 'x # exporter: ignore[loose-tolerance] why'\n",
    "in double quotes": 'description: "x # exporter: ignore[loose-tolerance] why"\n',
    "in quotes of two lines": "description: 'x\n  # exporter: ignore[loose-tolerance] why'\n",
    "in a block": "description: |\n  x # exporter: ignore[EXP501] why\n  # exporter: ignore[fixed-float] why\n",
    "in a folded block": "description: >-\n  x # exporter: ignore[loose-tolerance] why\n",
    "in a quoted key": "outputs_ignored: {'x # exporter: ignore[loose-tolerance] why': a reason for it}\n",
}


@pytest.mark.parametrize("text", QUOTED.values(), ids=QUOTED)
def test_a_text_that_looks_like_a_comment_is_none(fix_text, lint_text, complete, text: str):
    assert lint_text(complete(text)) == ()
    assert fix_text(text) == text


def test_a_comment_behind_a_text_that_looks_like_one_is_one(fix_text):
    text = "description: 'x # exporter: ignore[fixed-float] a'"
    assert fix_text(f"{text}  # exporter: ignore[fixed-float] b\n") == f"{text}\n"


@pytest.mark.parametrize("names", ["", " ", ",", " , "])
def test_a_suppression_that_names_no_rule_is_found(find_marked, names: str):
    (finding,) = find_marked("unknown-suppression", f"{LOOSE}  «# exporter: ignore[{names}] why»\n")
    assert finding.message == "the suppression names no rule"


def test_a_finding_at_the_beginning_does_not_hide_that_a_rule_crashed(lint_text, monkeypatch: pytest.MonkeyPatch):
    def crash(subject, subjects):
        raise LookupError("nothing here")

    monkeypatch.setitem(RULES, "crasher", Rule("EXP999", "crasher"))
    monkeypatch.setitem(CHECKS, "crasher", crash)
    rules = {(finding.rule, finding.span.start) for finding in lint_text("colour: blue\n")}
    assert {("missing-key", 0), ("unknown-key", 0), ("rule-crashed", 0)} <= rules


@pytest.mark.parametrize(
    ("text", "fixed"),
    [
        ("dims: {labels: 8}  # exporter: ignore[loose-tolerance] why\n", "dims: {labels: 8}\n"),
        (
            "tracer: torchscript\n# exporter: ignore[loose-tolerance] why\nrefused: {}\n",
            "tracer: torchscript\nrefused: {}\n",
        ),
        (
            "tracer: torchscript # a word # exporter: ignore[loose-tolerance, fixed-float] why\n",
            "tracer: torchscript # a word\n",
        ),
    ],
    ids=["behind a value", "on a line of its own", "behind another comment"],
)
def test_the_fix_removes_the_comment_and_nothing_else(fix_text, text: str, fixed: str):
    assert fix_text(text) == fixed


def test_a_comment_that_still_suppresses_something_is_a_persons_to_edit(fix_text):
    text = comment("ignore[loose-tolerance, fixed-float] why")
    assert fix_text(text) == text


def test_a_suppression_in_a_family_is_not_unused_for_want_of_a_spec(lint_text, family_text):
    text = family_text.replace("labels: 7\n", "labels: 7  # exporter: ignore[ambiguous-reference] a size of two\n")
    assert lint_text(text, "families/plain.yaml") == ()


def test_a_suppression_in_a_family_holds_for_its_specs(lint_text, complete, family_text):
    family = family_text.replace("{atol: 1.0e-5, rtol: 1.0e-5}", "{atol: 1, rtol: 0}  # exporter: ignore[EXP501] why")
    assert lint_text(complete(""), beside={"families/plain.yaml": family}) == ()


def test_a_crash_of_one_rule_leaves_the_findings_of_the_others(lint_text, complete, monkeypatch: pytest.MonkeyPatch):
    def crash(subject, subjects):
        raise LookupError("nothing here")

    monkeypatch.setitem(RULES, "crasher", Rule("EXP999", "crasher"))
    monkeypatch.setitem(CHECKS, "crasher", crash)
    diagnostics = lint_text(complete(f"{LOOSE}\n"))
    assert {finding.rule for finding in diagnostics} == {"rule-crashed", "loose-tolerance"}
    (finding,) = [finding for finding in diagnostics if finding.rule == "rule-crashed"]
    assert finding.message == "the rule 'crasher' crashed: LookupError: nothing here"
    assert (finding.span.start, finding.span.end, finding.span.source.path) == (0, 0, Path("specs/example.yaml"))


def test_a_crash_halfway_keeps_what_was_found_before_it(lint_text, complete, monkeypatch: pytest.MonkeyPatch):
    check = CHECKS["loose-tolerance"]

    def find_and_crash(subject, subjects):
        yield from check(subject, subjects)
        raise ZeroDivisionError("division by zero")

    monkeypatch.setitem(CHECKS, "loose-tolerance", find_and_crash)
    rules = [finding.rule for finding in lint_text(complete(f"{LOOSE}\n"))]
    assert sorted(rules) == ["loose-tolerance", "rule-crashed"]


SPEC = """\
spec_version: 1
architecture: example
extends: encoder
tasks:
  fill-mask: {}
reference:
  config: {hidden_size: 32, vocab_size: 99}
"""

AMBIGUOUS = SPEC.replace("vocab_size: 99}", "vocab_size: 8}")


@pytest.mark.parametrize(
    ("comment", "left"),
    [
        ("  # exporter: ignore[ambiguous-reference] a table of one-hot rows", []),
        ("  # exporter: ignore[EXP502] by its code", []),
        ("  # exporter: ignore[loose-tolerance, ambiguous-reference] both", ["unused-suppression"]),
        ("  # exporter: ignore[loose-tolerance] another", ["ambiguous-reference", "unused-suppression"]),
        ("  # exporter: ignore[ambiguous-reference]", ["ambiguous-reference", "suppression-without-reason"]),
        ("  # exporter: ignore[yaml-syntax] cannot be", ["ambiguous-reference", "unknown-suppression"]),
    ],
)
def test_suppressions_on_the_line(lint, comment, left):
    result = lint(AMBIGUOUS.replace("8}\n", "8}" + comment + "\n"))
    assert sorted(finding.rule for finding in result.diagnostics) == left


def test_a_suppression_alone_on_its_line_speaks_of_the_next_one(lint):
    comment = "  # exporter: ignore[ambiguous-reference] one-hot\n  # Some other comment.\n\n"
    assert lint(AMBIGUOUS.replace("  config:", comment + "  config:")).passed
    below = AMBIGUOUS + "# exporter: ignore[ambiguous-reference] too late\n"
    assert [finding.rule for finding in lint(below).diagnostics] == ["ambiguous-reference", "unused-suppression"]


def test_a_suppression_of_a_rule_that_did_not_run_is_not_called_unused(lint):
    text = SPEC.replace("99}", "99}  # exporter: ignore[shape-disagrees] needs the models")
    assert lint(text).passed
    text = SPEC.replace("99}", "99}  # exporter: ignore[loose-tolerance] ignored below")
    assert lint(text, ignore=["loose-tolerance"]).passed
