"""Load ``schemas/`` and turn every violation into a diagnostic with a place.

The schemas are written so that one mistake violates one keyword: forms are chosen by ``if: {type: …}``, never by a bare
``oneOf``. A string marked ``x-parsed`` is read by a parser of ours, which gives a better message than its pattern.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import jsonschema
from jsonschema.exceptions import ValidationError

from exporter.errors import did_you_mean
from exporter.language.diagnostics import Diagnostic
from exporter.language.document import Document, Mapping, Node, Scalar, Sequence, to_data
from exporter.language.findings import MISSING_KEY, UNKNOWN_KEY, WRONG_TYPE, WRONG_VALUE
from exporter.language.text import Span

KINDS = ("spec", "family", "tasks", "build")
_WORDS = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "null": "nothing",
}


def schema_directory() -> Path:
    """Return where the schemas are: in the package of a wheel, or beside it in a repository."""
    packaged = Path(__file__).parent.parent / "_catalog" / "schemas"
    return packaged if packaged.is_dir() else Path(__file__).parent.parent.parent / "schemas"


def load_schema(kind: str) -> dict[str, Any]:
    """Return the JSON Schema of ``spec``, ``family``, ``tasks``, ``build`` or the shared ``defs``."""
    loaded: dict[str, Any] = json.loads((schema_directory() / f"{kind}.schema.json").read_text("utf-8"))
    return loaded


def bundle_schema(kind: str) -> dict[str, Any]:
    """Return the schema of ``kind`` as one self-contained document, for editors that follow no references."""
    text = json.dumps(load_schema(kind)).replace("defs.schema.json#/", "#/")
    bundled: dict[str, Any] = json.loads(text)
    return {**bundled, "$defs": load_schema("defs")["$defs"]}


@lru_cache(maxsize=1)
def _definitions() -> dict[str, Any]:
    definitions: dict[str, Any] = load_schema("defs")["$defs"]
    return definitions


def _follow(validator: Any, reference: str, instance: Any, _: Any) -> Iterator[ValidationError]:
    """Hold an instance against the definition that a ``$ref`` names, which is one of the shared ones in every schema.

    Looking each of some 10,000 references up in a registry took a tenth of the time of linting the catalogue.
    """
    yield from validator.descend(instance, _definitions()[reference.rpartition("/")[2]])


_Validator: Any = jsonschema.validators.extend(jsonschema.Draft202012Validator, {"$ref": _follow})  # type: ignore[no-untyped-call]


@lru_cache(maxsize=4)
def _validator(kind: str) -> Any:
    return _Validator(load_schema(kind))


def check_schema(document: Document) -> list[Diagnostic]:
    """Return one diagnostic per violation of the schema of the document's kind."""
    if document.root is None:
        return []
    root = document.root
    validator = _validator(document.kind())
    return [finding for error in validator.iter_errors(to_data(root)) for finding in _diagnose(error, root)]


def _diagnose(error: ValidationError, root: Mapping) -> Iterator[Diagnostic]:
    if error.context:  # `if`/`then` do not nest errors; only composite keywords of a future schema would
        for inner in error.context:
            yield from _diagnose(inner, root)
        return
    if isinstance(error.schema, dict) and error.validator == "pattern" and "x-parsed" in error.schema:
        return
    node, key = _locate(root, list(error.absolute_path))
    where = f" of '{key.value}'" if key is not None else ""
    purpose = error.schema.get("description") if isinstance(error.schema, dict) else None
    value: Any = error.validator_value
    match error.validator:
        case "additionalProperties":
            yield from _unknown_keys(error, node, where)
        case "required":
            yield from _missing_keys(error, node, key)
        case "type":
            kinds = [value] if isinstance(value, str) else [kind for kind in value if kind != "null"]
            words = " or ".join(_WORDS[kind] for kind in kinds)
            name = f"'{key.value}'" if key is not None else "the document"
            yield WRONG_TYPE.at(f"{name} is {_describe(node)}, not {words}", _place(node), help=purpose)
        case "enum":
            values = ", ".join(f"'{item}'" for item in value)
            hint = did_you_mean(str(error.instance), [str(item) for item in value]) or f"one of {values}"
            yield WRONG_VALUE.at(f"{_describe(node)} is not a value{where}", _place(node), help=hint)
        case "const":
            yield WRONG_VALUE.at(f"{_describe(node)} is not the value{where}", _place(node), help=f"write {value!r}")
        case _ if "propertyNames" in error.absolute_schema_path:
            name_node = node.key(str(error.instance)) if isinstance(node, Mapping) else None
            place = name_node.span if name_node is not None else _place(node)
            yield WRONG_VALUE.at(
                f"'{error.instance}' is not a name{where}",
                place,
                help="a name is lower_case letters, digits and underscores",
            )
        case _:
            limits = {
                "minimum": f"at least {value}",
                "maximum": f"at most {value}",
                "minLength": "more text than this",
                "minItems": f"at least {value} item",
                "pattern": f"text of the form {value}",
            }
            message = (
                f"{_describe(node)} is not valid{where}: expected {limits.get(str(error.validator), error.message)}"
            )
            yield WRONG_VALUE.at(message, _place(node), help=purpose)


def _unknown_keys(error: ValidationError, node: Node, where: str) -> Iterator[Diagnostic]:
    assert isinstance(error.schema, dict)
    allowed = list(error.schema.get("properties", {}))
    for name, _ in node.entries if isinstance(node, Mapping) else ():
        if name.value not in allowed:
            hint = did_you_mean(str(name.value), allowed, otherwise="the keys here are")
            yield UNKNOWN_KEY.at(f"unknown key '{name.value}'{where}", name.span, help=hint)


def _missing_keys(error: ValidationError, node: Node, key: Scalar | None) -> Iterator[Diagnostic]:
    assert isinstance(error.schema, dict)
    present = {name for name, _ in node.items()} if isinstance(node, Mapping) else set()
    # jsonschema reports each missing key in an error of its own; the message names it first.
    for missing in error.validator_value if isinstance(error.validator_value, list) else ():
        if missing not in present and error.message.startswith(repr(missing)):
            strangers = present - set(error.schema.get("properties", {}))
            if did_you_mean(missing, strangers):
                continue  # it is there, misspelt: unknown-key says so
            owner = f"'{key.value}'" if key is not None else "the document"
            property_ = error.schema.get("properties", {}).get(missing, {})
            span = key.span if key is not None else _first_line(node)
            yield MISSING_KEY.at(f"{owner} has no '{missing}'", span, help=_purpose(property_))


def _purpose(property_: dict[str, Any]) -> str | None:
    if "$ref" in property_ and "description" not in property_:
        name = property_["$ref"].rsplit("/", 1)[-1]
        property_ = _definitions().get(name, {})
    purpose: str | None = property_.get("description")
    return purpose


def _locate(root: Mapping, path: list[str | int]) -> tuple[Node, Scalar | None]:
    """Follow a path of keys and indices; return the node and the nearest key above it."""
    node: Node = root
    key: Scalar | None = None
    for step in path:
        if isinstance(node, Mapping):
            key, node = next((name, value) for name, value in node.entries if name.value == step)
        elif isinstance(node, Sequence):
            node = node.items[int(step)]
    return node, key


def _describe(node: Node) -> str:
    if isinstance(node, Mapping):
        return "a mapping"
    if isinstance(node, Sequence):
        return "a list"
    if node.value is None:
        return "empty"
    text = node.span.text
    return text if len(text) <= 40 else text[:37] + "..."


def _place(node: Node) -> Span:
    if isinstance(node, Scalar) and node.span.end > node.span.start:
        return node.span
    return _first_line(node)


def _first_line(node: Node) -> Span:
    text = node.span.text
    width = len(text.split("\n", 1)[0].rstrip())
    return node.span.within(0, max(width, 0))
