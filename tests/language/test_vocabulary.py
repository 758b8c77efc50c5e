"""The names that editors complete, as a schema."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest

from exporter.errors import UsageError
from exporter.language.catalog import family_names, list_specs, load_tasks, spec_directory
from exporter.language.document import load_document, to_data
from exporter.language.schema import KINDS, bundle_schema
from exporter.language.vocabulary import editor_schema, vocabulary_schema

CATALOGUE = [*list_specs(), *sorted((spec_directory() / "families").glob("*.yaml")), spec_directory() / "tasks.yaml"]
SPEC = {
    "spec_version": 1,
    "architecture": "example",
    "extends": "encoder",
    "tasks": {"fill-mask": {}},
    "reference": {"config": {"vocab_size": 99}},
}
BUILD = {"spec_version": 1, "kind": "build", "builds": [{"spec": "bert", "tasks": ["fill-mask"]}]}


def violations(kind: str, data: Any, near: Path | None = None) -> list[str]:
    validator = jsonschema.Draft202012Validator(editor_schema(kind, near))
    return [error.message for error in validator.iter_errors(data)]


def test_the_catalogue_is_valid_for_an_editor():
    validators = {kind: jsonschema.Draft202012Validator(editor_schema(kind)) for kind in KINDS}
    for path in CATALOGUE:
        document = load_document(path)
        assert document.root is not None
        assert not list(validators[document.kind()].iter_errors(to_data(document.root))), path


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"extends": "encodr"}, "encodr"),
        ({"tasks": {"fil-mask": {}}}, "fil-mask"),
        ({"tasks": {"masked-lm": {}}}, "masked-lm"),
        ({"tasks": {"fill-mask-with-pst": {}}}, "fill-mask-with-pst"),
    ],
)
def test_a_misspelt_name_is_one_violation(changes: dict[str, Any], word: str):
    (message,) = violations("spec", {**SPEC, **changes})
    assert word in message
    assert not list(jsonschema.Draft202012Validator(bundle_schema("spec")).iter_errors({**SPEC, **changes}))


@pytest.mark.parametrize("tasks", [{}, {"fill-mask": None}, {"fill-mask": {"outputs": {"logits": "float[2]"}}}])
def test_tasks_may_be_changed_removed_and_have_a_past(tasks: dict[str, Any]):
    assert violations("spec", {**SPEC, "tasks": tasks}) == []
    assert violations("spec", {**SPEC, "tasks": {f"{name}-with-past": {} for name in load_tasks()}}) == []


def test_what_is_in_a_task_is_judged_too():
    (message,) = violations("spec", {**SPEC, "tasks": {"fill-mask": {"outputz": {}}}})
    assert "outputz" in message


@pytest.mark.parametrize(
    ("entry", "valid"),
    [
        ({"tasks": ["masked-lm", "ner", "auto", "translation_en_to_de", "causal-lm-with-past"]}, True),
        ({"spec": "specs/mine.yaml"}, True),
        ({"spec": "mine.yaml"}, True),
        ({"spec": "bertt"}, False),
        ({"tasks": ["fil-mask"]}, False),
    ],
)
def test_build_files_take_every_name_of_a_task_and_paths(entry: dict[str, Any], valid: bool):
    assert (violations("build", {**BUILD, "builds": [{"spec": "bert", **entry}]}) == []) is valid


def test_every_name_is_described():
    parts = vocabulary_schema()["$defs"]
    family, tasks = parts["known_family"], parts["known_tasks"]["properties"]
    assert family["enum"] == family_names()
    assert set(load_tasks()) <= set(tasks)
    texts = [*family["enumDescriptions"], *(task["description"] for task in tasks.values())]
    assert all(len(text) > 8 and text.endswith(".") for text in texts)


def test_families_beside_specs_are_known(tmp_path: Path):
    (tmp_path / "families").mkdir()
    text = (spec_directory() / "families" / "encoder.yaml").read_text("utf-8")
    (tmp_path / "families" / "plain.yaml").write_text(text.replace("family: encoder", "family: plain"), "utf-8")
    assert violations("spec", {**SPEC, "extends": "plain"}, tmp_path) == []
    assert len(violations("spec", {**SPEC, "extends": "plain"})) == 1
    # A family that is being written has no description yet, and may not be read at all.
    (tmp_path / "families" / "broken.yaml").write_text("family: [", "utf-8")
    assert violations("spec", {**SPEC, "extends": "broken"}, tmp_path) == []


def test_a_directory_without_families_is_refused(tmp_path: Path):
    with pytest.raises(UsageError, match="there is no directory"):
        editor_schema("spec", tmp_path)
