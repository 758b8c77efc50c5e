"""The names documents may have, as parts of a JSON Schema: families, tasks and architectures, each with what it is.

Editors complete them, show what they mean, and underline another word. The linter does not read them: its rules know
the families beside a spec, and say which name was meant.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from exporter.errors import UsageError
from exporter.language.catalog import list_specs, load_tasks, scalar_text, spec_directory
from exporter.language.document import Document, Mapping, load_document
from exporter.language.schema import VOCABULARY, bundle_schema, load_schema
from exporter.language.spec import WITH_PAST

_FAMILIES = "families"


def vocabulary_schema(near: Path | None = None) -> dict[str, Any]:
    """Return the names as a schema of parts that those of documents refer to.

    Args:
        near: a directory of specs, whose own families are known too.

    Raises:
        UsageError: ``near`` is no directory that has families or specs.
    """
    families = {document.source.path.stem: document for document in _families(near) if document.source.path}
    text = load_schema("defs")
    return {
        "$schema": text["$schema"],
        "$id": text["$id"].replace("defs.", f"{VOCABULARY}."),
        "title": "Names that editors complete",
        "description": "The families, tasks and architectures there are. Made by `python docs/regenerate.py`.",
        "$defs": {
            "known_family": _names({name: _text(document, "description") for name, document in families.items()}),
            "known_tasks": _picked_tasks(families.values()),
            "known_task": _asked_tasks(),
            "known_architecture": _architectures(near),
        },
    }


def vocabulary_document() -> str:
    """Return the text of ``schemas/vocabulary.schema.json``, which has the names of the catalogue."""
    return f"{json.dumps(vocabulary_schema(), indent=2, ensure_ascii=False)}\n"


def editor_schema(kind: str, near: Path | None = None) -> dict[str, Any]:
    """Return the schema of a kind of document for an editor, self-contained and with the names there are.

    Args:
        kind: ``spec``, ``family``, ``tasks`` or ``build``.
        near: a directory of specs, whose own families are known too.

    Raises:
        UsageError: ``near`` is no directory that has families or specs.
    """
    return bundle_schema(kind, vocabulary_schema(near)["$defs"])


def _families(near: Path | None) -> Iterator[Document]:
    """Yield the families of the catalogue, and after them those beside specs, which stand in place of others."""
    folders = [spec_directory() / _FAMILIES]
    if near is not None:
        if not (near / _FAMILIES).is_dir():
            raise UsageError(
                f"there is no directory '{near / _FAMILIES}'",
                help="name the directory of your specs; families of your own are files of 'families' in it",
            )
        folders.append(near / _FAMILIES)
    for folder in folders:
        for path in sorted(folder.glob("*.yaml")):
            yield load_document(path)


def _text(document: Document, key: str) -> str:
    scalar = scalar_text(document, key)
    return str(scalar.value) if scalar is not None and scalar.value is not None else ""


def _names(described: dict[str, str]) -> dict[str, Any]:
    """Return the schema of a word that is one of some names.

    Each has its description twice: as the schemas of other words have it, and where editors of YAML look for it.
    """
    names = sorted(described)
    texts = [described[name] for name in names]
    return {"type": "string", "enum": names, "enumDescriptions": texts, "markdownEnumDescriptions": texts}


def _picked_tasks(families: Iterable[Document]) -> dict[str, Any]:
    """Return the schema of the tasks of a spec or family. Each may have the form with past, and few are offered it."""
    tasks = load_tasks()
    properties = {name: task.description for name, task in tasks.items()}
    properties |= {
        name + WITH_PAST: f"{tasks[name].description}, and the keys and values of the tokens before"
        for family in families
        for name in _cached_tasks(family)
    }
    stems = "|".join(re.escape(name).replace("\\-", "-") for name in sorted(tasks))
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            # What is inserted with a completed name: the task as the family has it.
            name: {"description": _sentence(properties[name]), "defaultSnippets": [{"body": "{}"}]}
            for name in sorted(properties)
        },
        "patternProperties": {
            f"^({stems}){WITH_PAST}$": {"description": "The task with the keys and values of the tokens before."}
        },
    }


def _cached_tasks(family: Document) -> Iterator[str]:
    """Yield the tasks that a family offers with past."""
    offered = family.root.get("tasks") if family.root is not None else None
    cached = family.root is not None and family.root.get("cache") is not None
    for name, _ in offered.items() if isinstance(offered, Mapping) else ():
        stem = name.removesuffix(WITH_PAST)
        if stem in load_tasks() and (cached or stem != name):
            yield stem


def _asked_tasks() -> dict[str, Any]:
    """Return the schema of a task in a build file: any of its names, with past or without. Its own one is completed."""
    tasks = load_tasks()
    words = "|".join(sorted(re.escape(word).replace("\\-", "-") for task in tasks.values() for word in task.words))
    described = {name: _sentence(task.description) for name, task in tasks.items()}
    described["auto"] = "The task that the checkpoint was saved for."
    other = f"^({words}|translation_[a-z]+_to_[a-z]+)({WITH_PAST})?$"
    return {"anyOf": [_names(described), {"type": "string", "pattern": other}]}


def _architectures(near: Path | None) -> dict[str, Any]:
    """Return the schema of the spec of a build: an architecture, or a path, which has a slash or a dot."""
    described = {}
    for path in list_specs(spec_directory()):
        document = load_document(path)
        described[path.stem] = _text(document, "description") or f"A spec of the family '{_text(document, 'extends')}'."
    return {"anyOf": [_names(described), {"type": "string", "pattern": "[/.]"}]}


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."
