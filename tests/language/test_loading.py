"""Loading a spec: the composed spec, or every error of it at once."""

from __future__ import annotations

from pathlib import Path

import pytest

import exporter
from exporter.errors import UsageError
from exporter.language.catalog import list_specs
from exporter.language.diagnostics import Severity, SpecError
from exporter.language.loading import load_spec

SPEC = """\
spec_version: 1
architecture: example
extends: encoder
tasks: {fill-mask: {}}
reference: {config: {hidden_size: 32, vocab_size: 99}}
"""


@pytest.fixture
def save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Save a text as a file of the working directory."""
    monkeypatch.chdir(tmp_path)

    def save(text: str, name: str = "example.yaml") -> str:
        (tmp_path / name).write_text(text, "utf-8")
        return name

    return save


def test_a_spec_is_loaded_by_name_and_by_path(save):
    assert load_spec("bert").architecture == "bert"
    spec = load_spec(save(SPEC))
    assert (spec.architecture, spec.family, spec.path) == ("example", "encoder", "example.yaml")
    assert load_spec(Path("example.yaml")) == spec


@pytest.mark.parametrize("path", list_specs(), ids=lambda path: path.stem)
def test_every_spec_of_the_catalogue_is_loaded(path: Path):
    spec = load_spec(path.stem)
    assert spec.architecture == path.stem
    assert spec.path == f"specs/{path.name}"
    assert spec.tasks


def test_every_error_is_told_at_once(save):
    text = SPEC.replace("fill-mask: {}", "fill-mask: {outputs: {logits: 'float32[batch, sequense]'}}, masked-lm: {}")
    with pytest.raises(SpecError) as failure:
        load_spec(save(text))
    rules = [finding.rule for finding in failure.value.diagnostics]
    assert rules == ["fixed-float", "unknown-dim", "unknown-task"]
    assert str(failure.value).startswith("example.yaml:4:")
    assert str(failure.value).endswith("(and 2 more)")


def test_a_warning_keeps_nobody_from_loading(save):
    name = save(f"{SPEC}dims: {{spare: 3}}\n", "other-name.yaml")
    assert load_spec(name).architecture == "example"
    assert {finding.severity for finding in exporter.lint(name).diagnostics} == {Severity.WARNING}


@pytest.mark.parametrize("task", ["fill-mask", "question-answering"])
def test_a_loose_bound_has_a_reason_of_its_own(save, task: str):
    """The family gives its bound of the first task a reason, and of the second none."""
    loose = SPEC.replace("fill-mask: {}", f"{task}: {{tolerances: {{float32: {{atol: 1, rtol: 1}}}}}}")
    with pytest.raises(SpecError, match="above its ceiling"):
        load_spec(save(loose))


def test_an_error_that_is_suppressed_with_its_reason_keeps_nobody_either(save):
    loose = SPEC.replace("fill-mask: {}", "question-answering: {tolerances: {float32: {atol: 1, rtol: 1}}}")
    assert load_spec(save(loose.replace("}}}", "}}}  # exporter: ignore[loose-tolerance] measured\n", 1))).tasks
    with pytest.raises(SpecError, match="above its ceiling"):
        load_spec(save(loose))


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("dims: {\n", "yaml-syntax"),
        ("", "wrong-type"),
        ("a: \x00\n", "forbidden-yaml"),
        ("spec_version: 1\n", "missing-key"),
        (SPEC.replace("extends: encoder", "extends: encodr"), "unknown-family"),
    ],
)
def test_a_document_that_is_no_spec_is_refused_with_its_findings(save, text: str, rule: str):
    with pytest.raises(SpecError) as failure:
        load_spec(save(text))
    assert rule in {finding.rule for finding in failure.value.diagnostics}


@pytest.mark.parametrize("name", ["tasks.yaml", "families/encoder.yaml"])
def test_another_kind_of_document_is_no_spec(specs: Path, name: str):
    with pytest.raises(UsageError, match="is not a spec") as failure:
        load_spec(specs / name)
    assert failure.value.help == "a spec starts with 'spec_version', 'architecture' and 'extends'"


def test_a_spec_that_is_not_there_or_cannot_be_read_is_a_mistake_of_the_request(save, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(UsageError, match="no spec for the architecture 'brt'"):
        load_spec("brt")
    name = save(SPEC)

    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("exporter.language.document.os.open", refuse)
    with pytest.raises(UsageError, match=r"^'example.yaml' cannot be read: Permission denied$"):
        load_spec(name)
