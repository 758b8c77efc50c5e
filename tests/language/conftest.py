"""What the tests of the rules share: small documents in which the expected places of findings are marked."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

import exporter
from exporter import api
from exporter.cli.render.text import render_diagnostics
from exporter.language.diagnostics import Diagnostic, Severity
from exporter.language.linting import lint_paths

# A family of these tests alone, so that no change of the catalogue changes what they say.
FAMILY = """\
spec_version: 1
family: plain
description: Text encoders of these tests, with a mask and two tasks.
dims:
  batch: {trace: 2, check: [1, 3]}
  sequence: {trace: 8, check: [13, 1]}
  hidden: config.hidden_size
  vocab: config.vocab_size
  labels: 7
inputs:
  input_ids: int64[batch, sequence] = randint(vocab)
  attention_mask: int64[batch, sequence] = padding
arguments:
  return_dict: true
outputs_ignored:
  pooler_output: made of weights that no checkpoint has
tasks:
  fill-mask: {outputs: {logits: "float[batch, sequence, vocab]"}}
  text-classification: {outputs: {logits: "float[batch, labels]"}}
tolerances:
  float32: {atol: 1.0e-5, rtol: 1.0e-5}
  float16: {atol: 1.0e-2, rtol: 1.0e-2}
"""
# What a spec has to say. A document of a test leaves out what does not matter to it.
_SPEC = {
    "spec_version": "1",
    "architecture": "example",
    "extends": "plain",
    "tasks": "{fill-mask: {}}",
    "reference": "{config: {hidden_size: 32, vocab_size: 99}}",
}
_TOP_KEY = re.compile(r"^(\w+):", re.MULTILINE)
_MARK = re.compile("«([^»]*)»")

LintText = Callable[..., tuple[Diagnostic, ...]]
FindMarked = Callable[..., list[Diagnostic]]
FixText = Callable[[str], str]


@pytest.fixture
def complete() -> Callable[[str], str]:
    """Return a document with a line for each key that a spec needs and the document does not have."""

    def complete(text: str) -> str:
        given = set(_TOP_KEY.findall(text))
        return text + "".join(f"{key}: {value}\n" for key, value in _SPEC.items() if key not in given)

    return complete


@pytest.fixture
def lint_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LintText:
    """Lint a text saved as ``specs/example.yaml``, with the family ``plain`` and other files beside it."""
    monkeypatch.chdir(tmp_path)

    def lint_text(
        text: str, name: str = "example.yaml", beside: Mapping[str, str] | None = None, *, models: bool = False
    ) -> tuple[Diagnostic, ...]:
        for file, content in {"families/plain.yaml": FAMILY, **(beside or {}), name: text}.items():
            path = tmp_path / "specs" / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode("utf-8"))
        return exporter.lint(f"specs/{name}", models=models).diagnostics

    return lint_text


@pytest.fixture
def lint_all(lint_text: LintText) -> Callable[[Mapping[str, str]], tuple[Diagnostic, ...]]:
    """Lint a directory of specs, given as texts by file name, with the family ``plain`` among them."""

    def lint_all(texts: Mapping[str, str]) -> tuple[Diagnostic, ...]:
        lint_text(FAMILY, "families/plain.yaml", texts)
        return exporter.lint("specs").diagnostics

    return lint_all


@pytest.fixture
def family_text() -> str:
    """Return the text of the family ``plain``."""
    return FAMILY


@pytest.fixture
def find_marked(lint_text: LintText, complete: Callable[[str], str]) -> FindMarked:
    """Lint a spec and check that a rule's findings are at the marked places, and nowhere else.

    ``logits: float[batch, «hiden»]`` says that the rule finds ``hiden``, and ``«»x`` that it finds the empty place
    before ``x``. A document without marks is a near-miss: it must have no finding of the rule, and no error of any
    other. A document that begins with ``spec_version: 1`` is linted as it is; any other is completed first.

    Returns:
        The rule's findings, in the order of their places.
    """

    def find_marked(rule: str, text: str, beside: Mapping[str, str] | None = None) -> list[Diagnostic]:
        text = text if text.lstrip("«").startswith("spec_version: 1") else complete(text)
        places, clean, at = [], "", 0
        for mark in _MARK.finditer(text):
            clean += text[at : mark.start()]
            places.append((len(clean), len(clean) + len(mark[1])))
            clean += mark[1]
            at = mark.end()
        diagnostics = lint_text(clean + text[at:], beside=beside)
        findings = [finding for finding in diagnostics if finding.rule == rule]
        printed = render_diagnostics(diagnostics)
        assert [(finding.span.start, finding.span.end) for finding in findings] == places, printed
        if not places:
            assert not [finding for finding in diagnostics if finding.severity is Severity.ERROR], printed
        return findings

    return find_marked


@pytest.fixture
def fix_text(lint_text: LintText, complete: Callable[[str], str], tmp_path: Path) -> FixText:
    """Return what the safe fixes make of a spec; they must leave no finding with a fix."""

    def fix_text(text: str) -> str:
        lint_text(complete(text))
        result, _ = api.fix(lambda: exporter.lint("specs/example.yaml"))
        assert not [finding for finding in result.diagnostics if finding.fix is not None]
        return (tmp_path / "specs" / "example.yaml").read_text("utf-8").removesuffix(complete(text)[len(text) :])

    return fix_text


@pytest.fixture
def lint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Lint one document that is written to a directory of its own."""
    monkeypatch.chdir(tmp_path)

    def lint(text: str, name: str = "example.yaml", **options):
        (tmp_path / name).write_text(text, "utf-8")
        return lint_paths([name], **options)

    return lint
