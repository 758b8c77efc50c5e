"""Every rule on a bad, a good and a fixed document: one directory for each, under rule_cases/."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

import exporter
from exporter.cli.render.text import render_diagnostics
from exporter.language import linting
from exporter.language.findings import RULES, Rule
from exporter.language.fixes import fix_files
from exporter.language.linting import LintResult
from exporter.language.rules import CHECKS

CASES = Path(__file__).parent.parent / "rule_cases"
_SAVED_AS = re.compile(r"# saved as: (\S+)")
_ARCHITECTURE = re.compile(r"^architecture: (\S+)", re.MULTILINE)


@pytest.fixture
def lint(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Lint one document of a rule's directory, saved under the name it is meant to have."""
    monkeypatch.chdir(tmp_path)
    name = request.getfixturevalue("name")
    if name == "rule-crashed":

        def crash(subject, subjects):
            if "Make a rule crash" in subject.document.source.text:
                raise ZeroDivisionError("division by zero")
            return iter(())

        monkeypatch.setitem(RULES, "crasher", Rule("EXP999", "crasher"))
        monkeypatch.setitem(CHECKS, "crasher", crash)

    if name == "too-much-work":
        monkeypatch.setattr(linting, "STEPS_OF_A_DOCUMENT", 10_000)

    def lint(document: str) -> tuple[LintResult, Path]:
        text = (CASES / name / f"{document}.yaml").read_text("utf-8")
        saved = _SAVED_AS.search(text)
        file = saved[1] if saved is not None else f"{(_ARCHITECTURE.search(text) or ['', 'example'])[1]}.yaml"
        folder = tmp_path / "specs"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        if name == "missing-schema-line":
            (tmp_path / "schemas").mkdir(exist_ok=True)
        (folder / file).write_text(text, "utf-8")
        if (CASES / name / "other.yaml").is_file():
            (folder / "example.yaml").write_text((CASES / name / "other.yaml").read_text("utf-8"), "utf-8")
        return exporter.lint("specs", models=RULES[name].needs_models), folder / file

    return lint


@pytest.mark.parametrize("name", sorted(RULES))
def test_a_bad_document_is_found(name: str, lint, request: pytest.FixtureRequest):
    result, _ = lint("bad")
    rendered = render_diagnostics(result.diagnostics) + "\n"
    golden = CASES / name / "expected.txt"
    if request.config.getoption("--update-goldens"):
        golden.write_text(rendered, "utf-8")
    assert name in {finding.rule for finding in result.diagnostics}
    assert rendered == golden.read_text("utf-8")


@pytest.mark.parametrize("name", sorted(RULES))
def test_a_good_document_is_not(name: str, lint):
    result, _ = lint("good")
    assert not result.diagnostics, render_diagnostics(result.diagnostics)


@pytest.mark.parametrize("name", sorted(RULES))
def test_a_fix_removes_its_finding_adds_none_and_is_idempotent(name: str, lint):
    before, path = lint("bad")
    fixable = any(finding.fix is not None for finding in before.diagnostics)
    golden = CASES / name / "fixed.yaml"
    assert golden.is_file() == fixable

    def again() -> LintResult:
        return exporter.lint("specs", models=RULES[name].needs_models)

    after, fixed = fix_files(again)
    first = path.read_text("utf-8")
    fix_files(again)
    assert path.read_text("utf-8") == first
    if fixable:
        assert fixed
        assert first == golden.read_text("utf-8")
        assert name not in {finding.rule for finding in after.diagnostics}
    else:
        assert first == (CASES / name / "bad.yaml").read_text("utf-8")
    assert {finding.rule for finding in after.diagnostics} <= {finding.rule for finding in before.diagnostics}


def test_every_rule_has_its_documents_and_every_directory_its_rule():
    assert {path.name for path in CASES.iterdir()} == set(RULES)


def test_codes_are_unique_and_pages_complete():
    codes = [rule.code for rule in RULES.values()]
    assert len(set(codes)) == len(codes)
    for rule in RULES.values():
        for part in ("**Why it is bad:**", "**Example", "**Use instead"):
            assert part in rule.page, (rule.name, part)
