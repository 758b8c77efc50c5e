"""Load ``schemas/`` and turn every violation into a diagnostic with a place.

The schemas are written so that one mistake violates one keyword: forms are chosen by ``if: {type: …}``, never by a bare
``oneOf``. A string marked ``x-parsed`` is read by a parser of ours, which gives a better message than its pattern.
A collection or text that is larger than its schema allows is one finding, and what is in it is not looked at.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import jsonschema
from jsonschema.exceptions import ValidationError

from exporter.language.diagnostics import Diagnostic
from exporter.language.document import Document, Mapping, Node, Scalar, Sequence, to_data
from exporter.language.effort import spend, suggest
from exporter.language.findings import MISSING_KEY, TOO_LARGE, UNKNOWN_KEY, WRONG_TYPE, WRONG_VALUE
from exporter.language.text import Span

KINDS = ("spec", "family", "tasks", "build")
# The names there are, which editors read and the linter does not: its rules know those beside a spec, too.
VOCABULARY = "vocabulary"
_SUFFIX = ".schema.json"
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


def output_kinds() -> list[str]:
    """Return the names of the schemas of what commands print as JSON: ``output``, which all have in common, and more.

    The schema of ``exporter build --json`` is ``build-output``.
    """
    return sorted(path.name.removesuffix(_SUFFIX) for path in schema_directory().glob(f"*output{_SUFFIX}"))


def load_schema(kind: str) -> dict[str, Any]:
    """Return the JSON Schema of a kind of document, of a kind of output, or of the parts they share."""
    loaded: dict[str, Any] = json.loads((schema_directory() / f"{kind}{_SUFFIX}").read_text("utf-8"))
    return loaded


def bundle_schema(kind: str, names: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the schema of ``kind`` as one self-contained document, for editors that follow no references.

    Args:
        kind: of a document or an output.
        names: the parts of the schema `VOCABULARY`. Without them, families and tasks may have any name.
    """
    parts = "output-defs" if kind in output_kinds() else "defs"
    whole = {**load_schema(kind), "$defs": {**load_schema(parts)["$defs"], **(names or {})}}
    opened = whole if names is not None else _without_names(whole)
    text = re.sub(rf'"(?:{parts}|{VOCABULARY}){re.escape(_SUFFIX)}#/', '"#/', json.dumps(opened))
    bundled: dict[str, Any] = json.loads(text)
    return bundled


def _without_names(schema: Any) -> Any:
    """Return a schema without its references to the names there are."""
    if isinstance(schema, list):
        return [_without_names(part) for part in schema if not _is_of_names(part)]
    if isinstance(schema, dict):
        parts = {key: _without_names(part) for key, part in schema.items()}
        return {key: part for key, part in parts.items() if key != "allOf" or part}
    return schema


def _is_of_names(part: Any) -> bool:
    return isinstance(part, dict) and str(part.get("$ref", "")).startswith(VOCABULARY)


@lru_cache(maxsize=1)
def _definitions() -> dict[str, Any]:
    definitions: dict[str, Any] = load_schema("defs")["$defs"]
    return definitions


def _follow(validator: Any, reference: str, instance: Any, _: Any) -> Iterator[ValidationError]:
    """Hold an instance against the definition that a ``$ref`` names, which is one of the shared ones in every schema.

    The names that editors complete are left to the rules.

    Looking each of some 10,000 references up in a registry took a tenth of the time of linting the catalogue.
    """
    if not reference.startswith(VOCABULARY):
        yield from validator.descend(instance, _definitions()[reference.rpartition("/")[2]])


Keyword = Callable[[Any, Any, Any, Any], Iterator[ValidationError]]


def _counted(keyword: Keyword) -> Keyword:
    """Return a keyword whose use is counted, and which does not look into what is larger than its schema allows."""

    def validate(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        spend(10)
        if not isinstance(schema, dict) or not _is_too_large(instance, schema):
            yield from keyword(validator, value, instance, schema)

    return validate


def _is_too_large(instance: Any, schema: dict[str, Any]) -> bool:
    bounds: dict[type, str] = {dict: "maxProperties", list: "maxItems", str: "maxLength"}
    bound = schema.get(bounds[type(instance)]) if type(instance) in bounds else None
    return bound is not None and len(instance) > int(bound)


def _limit(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    """Hold a size against its bound. The library's own keywords repeat the whole collection in their message."""
    if isinstance(instance, dict | list | str) and len(instance) > value:
        yield ValidationError(f"{len(instance):,}")


def _limit_values(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    """Hold the number of values at any depth against a bound: ``x-max-values``, of what has no schema of its own."""
    if sum(1 for _ in zip(range(value + 1), _inner_values(instance), strict=False)) > value:
        yield ValidationError(f"more than {value:,}")


def _limit_numbers(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    """Hold whole numbers at any depth against a bound: ``x-max-number``, of what has no schema of its own."""
    bound = schema["x-max-values"]
    for _, each in zip(range(bound), _inner_values(instance), strict=False):
        if type(each) is int and abs(each) > value:
            yield ValidationError(f"{each:,}")
            return


def _inner_values(instance: Any) -> Iterator[Any]:
    """Yield what collections hold, and what the collections in them hold."""
    waiting = [instance]
    while waiting:
        spend()
        each = waiting.pop()
        inner = list(each.values()) if isinstance(each, dict) else each if isinstance(each, list) else []
        yield from inner
        waiting += (value for value in inner if isinstance(value, dict | list))


_BASE = jsonschema.Draft202012Validator
_LIMITS = ("maxProperties", "maxItems", "maxLength")
_UNITS = {**dict(zip(_LIMITS, ("entries", "items", "characters"), strict=True)), "x-max-values": "values within"}
_Validator: Any = jsonschema.validators.extend(  # type: ignore[no-untyped-call]
    _BASE,
    {
        **{name: _counted(keyword) for name, keyword in _BASE.VALIDATORS.items()},
        **dict.fromkeys(_LIMITS, _limit),
        "x-max-values": _limit_values,
        "x-max-number": _limit_numbers,
        "$ref": _counted(_follow),
    },
    # `8.0` is no size, and a bound that is not a number bounds nothing.
    type_checker=_BASE.TYPE_CHECKER.redefine_many(
        {
            "integer": lambda _, value: type(value) is int,
            "number": lambda _, value: type(value) in (int, float) and math.isfinite(value),
        }
    ),
)


@lru_cache(maxsize=4)
def _validator(kind: str) -> Any:
    return _Validator(load_schema(kind))


def check_schema(document: Document) -> list[Diagnostic]:
    """Return one diagnostic per violation of the schema of the document's kind."""
    return list(find_violations(document))


def find_violations(document: Document) -> Iterator[Diagnostic]:
    """Yield what `check_schema` returns, each finding as soon as it is made."""
    if document.root is not None:
        for error in _validator(document.kind()).iter_errors(to_data(document.root)):
            yield from _diagnose(error, document.root)


def _diagnose(error: ValidationError, root: Mapping) -> Iterator[Diagnostic]:
    if error.context:  # `if`/`then` do not nest errors; only composite keywords of a future schema would
        for inner in error.context:
            yield from _diagnose(inner, root)
        return
    if isinstance(error.schema, dict) and error.validator == "pattern" and "x-parsed" in error.schema:
        return
    spend(20)
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
        case "maxProperties" | "maxItems" | "maxLength" | "x-max-values":
            name = f"'{key.value}'" if key is not None else "the document"
            unit = _UNITS[str(error.validator)]
            message = f"{name} has {error.message} {unit}; at most {value:,} are allowed"
            yield TOO_LARGE.at(message, _place(node) if key is None else key.span, help=purpose)
        case "x-max-number":
            name = f"'{key.value}'" if key is not None else "the document"
            message = f"{name} has the number {error.message}; at most {value:,} is allowed"
            yield WRONG_VALUE.at(message, _place(node) if key is None else key.span, help=purpose)
        case "enum":
            values = ", ".join(f"'{item}'" for item in value)
            hint = suggest(str(error.instance), [str(item) for item in value]) or f"one of {values}"
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
    allowed = error.schema.get("properties", {})
    for name, _ in node.entries if isinstance(node, Mapping) else ():
        if name.value not in allowed:
            hint = suggest(str(name.value), allowed, otherwise="the keys here are")
            yield UNKNOWN_KEY.at(f"unknown key '{name.value}'{where}", name.span, help=hint)


def _missing_keys(error: ValidationError, node: Node, key: Scalar | None) -> Iterator[Diagnostic]:
    assert isinstance(error.schema, dict)
    present = {name for name, _ in node.items()} if isinstance(node, Mapping) else set()
    # jsonschema reports each missing key in an error of its own; the message names it first.
    for missing in error.validator_value if isinstance(error.validator_value, list) else ():
        if missing not in present and error.message.startswith(repr(missing)):
            strangers = present - set(error.schema.get("properties", {}))
            if suggest(missing, strangers):
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
            key, node = node.key(str(step)) or key, node.get(str(step)) or node
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
    text = node.span.within(0, 41).text
    return text if len(text) <= 40 else text[:37] + "..."


def _place(node: Node) -> Span:
    if isinstance(node, Scalar) and node.span.end > node.span.start:
        return node.span
    return _first_line(node)


def _first_line(node: Node) -> Span:
    source, start = node.span.source, node.span.start
    end = source.text.find("\n", start, node.span.end)
    return source.span(start, start + len(source.text[start : end if end >= 0 else node.span.end].rstrip()))
