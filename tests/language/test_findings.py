"""Each rule is declared once, has its page, and is the one place that has its name."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from commands import REPOSITORY

from exporter.language.diagnostics import Edit, Fix, Severity
from exporter.language.findings import RULES, UNKNOWN_TASK, UNUSED_DIM, Rule, declare
from exporter.language.text import Text

PACKAGE = REPOSITORY / "exporter"
TEXT = Text("example.yaml", "tasks: {masked-lm: {}}")


def test_a_finding_is_one_of_its_rule():
    span = TEXT.span(8, 17)
    fix = Fix("rename it", (Edit(span, "fill-mask"),))
    finding = UNKNOWN_TASK.at("unknown task 'masked-lm'", span, "write 'fill-mask'", fix)
    assert (finding.rule, finding.severity) == ("unknown-task", Severity.ERROR)
    assert (finding.message, finding.span, finding.help) == ("unknown task 'masked-lm'", span, "write 'fill-mask'")
    assert finding.fix is fix
    assert UNUSED_DIM.at("the dim 'a' is used nowhere", span).severity is Severity.WARNING


def test_a_finding_may_have_more_places():
    first, second = TEXT.span(0, 5), TEXT.span(8, 17)
    finding = UNKNOWN_TASK.at("unknown task", second).labelled(first, "below this key").labelled(second, "here")
    assert [(label.span, label.text) for label in finding.labels] == [(first, "below this key"), (second, "here")]
    assert finding.spans() == [second, first, second]


def test_a_declared_rule_is_among_the_rules(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("exporter.language.findings.RULES", rules := dict(RULES))
    rule = declare("EXP999", "a-new-rule", severity=Severity.WARNING, needs_models=True, suppressible=False)
    assert rule == Rule("EXP999", "a-new-rule", Severity.WARNING, needs_models=True, suppressible=False)
    assert rules["a-new-rule"] is rule


@pytest.mark.parametrize("rule", RULES.values(), ids=list(RULES))
def test_a_rule_has_its_page(rule: Rule):
    assert rule.page
    assert rule.page == rule.page.strip()


def test_a_page_has_its_rule():
    pages = (PACKAGE / "language" / "rules" / "pages").glob("*.md")
    assert {path.stem for path in pages} == set(RULES)


def test_codes_are_in_order_and_each_is_there_once():
    codes = [rule.code for rule in RULES.values()]
    assert codes == sorted(set(codes))


def literals(path: Path) -> list[str]:
    """Return the rule names that stand in a module as texts of their own."""
    nodes = ast.walk(ast.parse(path.read_text("utf-8")))
    return [node.value for node in nodes if isinstance(node, ast.Constant) and node.value in RULES]


def test_a_rule_is_named_in_its_declaration_and_nowhere_else():
    named = [(name, path.name) for path in sorted(PACKAGE.rglob("*.py")) for name in literals(path)]
    assert sorted(named) == sorted((name, "findings.py") for name in RULES)


def test_a_second_name_is_found(tmp_path: Path):
    path = tmp_path / "module.py"
    path.write_text('x = Diagnostic("unknown-task", "no such task")', "utf-8")
    assert literals(path) == ["unknown-task"]
