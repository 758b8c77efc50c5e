"""The schemas: valid, described, and of one mind with the code."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.artifacts.layouts import LAYOUTS
from exporter.language import spec as meaning
from exporter.language.composing import check_family, compose_spec
from exporter.language.document import parse_document
from exporter.language.schema import KINDS, bundle_schema, check_schema, load_schema
from exporter.language.tensor_type import BUILT, FILLS
from exporter.language.text import Text
from exporter.models.patches import PATCHES
from exporter.planning.choices import INTERNALS
from exporter.planning.dummies import _FILLS
from exporter.planning.options import DEFAULT_TARGET, Options
from exporter.targets.registry import TARGETS


@pytest.mark.parametrize("kind", [*KINDS, "defs"])
def test_schemas_are_valid_2020_12(kind):
    schema = load_schema(kind)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(schema)


def walk(schema: Any, path: str = ""):
    if isinstance(schema, dict):
        for name, entry in schema.get("properties", {}).items():
            yield f"{path}/{name}", entry
        for key, value in schema.items():
            yield from walk(value, f"{path}/{key}")
    elif isinstance(schema, list):
        for index, value in enumerate(schema):
            yield from walk(value, f"{path}/{index}")


@pytest.mark.parametrize("kind", [*KINDS, "defs"])
def test_every_property_is_described(kind):
    definitions = load_schema("defs")["$defs"]
    bare = []
    for path, entry in walk(load_schema(kind)):
        target = definitions.get(entry.get("$ref", "").rsplit("/", 1)[-1], {}) if "$ref" in entry else {}
        if not entry.get("description") and not target.get("description"):
            bare.append(path)
    assert not bare


@pytest.mark.parametrize("kind", KINDS)
def test_the_bundle_needs_no_other_file(kind):
    text = json.dumps(bundle_schema(kind))
    assert "defs.schema.json" not in text.replace(load_schema("defs")["$id"], "")
    assert "vocabulary.schema.json" not in text
    validator = jsonschema.Draft202012Validator(bundle_schema(kind))
    list(validator.iter_errors({}))


BUILD = load_schema("build")["properties"]["builds"]["items"]["properties"]
DEFINITIONS = load_schema("defs")["$defs"]


def test_schema_and_code_agree_on_dtypes_and_tracers():
    assert set(DEFINITIONS["tolerances"]["properties"]) == set(meaning.DTYPES)
    refused = {*meaning.DTYPES, *meaning.TRACERS, "merged", *INTERNALS} - {"float32"}
    assert set(DEFINITIONS["refused"]["properties"]) == refused
    tracer = DEFINITIONS["tracer"]
    assert tracer["else"]["enum"] == tracer["then"]["properties"]["use"]["enum"] == list(meaning.TRACERS)
    assert BUILD["tracer"]["enum"] == list(meaning.TRACERS)
    assert BUILD["dtype"]["enum"] == list(meaning.DTYPES)


def test_a_build_file_may_ask_for_every_option():
    # A build file lists several targets, of which each build has one.
    assert {field.name for field in dataclasses.fields(Options)} - {"seed", "target"} <= set(BUILD)
    assert BUILD["targets"]["items"]["enum"] == list(TARGETS)
    assert BUILD["layout"]["enum"] == list(LAYOUTS)


def test_a_spec_may_limit_every_target_but_the_default():
    assert set(DEFINITIONS["targets"]["properties"]) == set(TARGETS) - {DEFAULT_TARGET}


FLAGS = {flag.name: flag for target in TARGETS.values() for flag in target.flags}
ANY_VALUE_OF: dict[type, Sequence[bool | str]] = {bool: [True, False], str: ["a text"]}


def is_valid(value: Any, schema: dict[str, Any]) -> bool:
    return jsonschema.Draft202012Validator(schema).is_valid(value)


@pytest.mark.parametrize("name", FLAGS)
def test_a_build_file_takes_every_value_of_every_setting(name: str):
    kind = FLAGS[name].kind
    values: Sequence[bool | str] = ANY_VALUE_OF[kind] if isinstance(kind, type) else kind
    for value in values:
        assert is_valid({name: value}, BUILD["settings"])
    assert not is_valid({name: ["a list"]}, BUILD["settings"])


@pytest.mark.parametrize("name", DEFINITIONS["target"]["properties"]["settings"]["properties"])
def test_a_setting_of_a_spec_is_one_of_a_target_and_has_its_words(name: str):
    schema = DEFINITIONS["target"]["properties"]["settings"]["properties"][name]
    kind = FLAGS[name].kind
    if isinstance(kind, type):
        assert schema["type"] == {bool: "boolean", str: "string"}[kind]
    else:
        assert schema["enum"] == list(kind)


def test_every_fill_of_the_language_can_be_made():
    assert set(_FILLS) == set(FILLS) - {"positions"}
    assert set(FILLS) >= BUILT


def test_every_patch_of_the_language_exists():
    assert set(load_schema("defs")["$defs"]["patches"]["properties"]) == set(PATCHES)


VALID = {
    "spec_version": 1,
    "architecture": "x",
    "extends": "encoder",
    "tasks": {"fill-mask": {}},
    "reference": {"config": {"hidden_size": 32}},
}


def document(data: Any):
    return parse_document(Text("x.yaml", json.dumps(data, indent=1)))


def test_a_small_spec_is_valid():
    assert check_schema(document(VALID)) == []


@pytest.mark.parametrize(
    ("change", "rule", "text"),
    [
        ({"task": {}}, "unknown-key", '"task"'),
        ({"architecture": None}, "wrong-type", "null"),
        ({"architecture": 3}, "wrong-type", "3"),
        ({"spec_version": 2}, "wrong-value", "2"),
        ({"dims": {"batch": {"trace": "8", "check": [1]}}}, "wrong-type", '"8"'),
        ({"tolerances": {"float32": {"atol": -1, "rtol": 0}}}, "wrong-value", "-1"),
        ({"tracer": "torch"}, "wrong-value", '"torch"'),
        ({"reference": {}}, "missing-key", '"reference"'),
    ],
)
def test_one_mistake_gives_one_finding_at_its_place(change, rule, text):
    findings = check_schema(document({**VALID, **change}))
    assert [(finding.rule, finding.span.text.split("\n")[0]) for finding in findings] == [(rule, text)]


leaf = (
    st.none()
    | st.booleans()
    | st.integers(-3, 99)
    | st.sampled_from(["float[batch]", "int64[batch, x] = randint(v)", "config.a", "x", "["])
)
keys = st.sampled_from(
    [
        "dims",
        "monolith",
        "patches",
        "variants",
        "inputs",
        "outputs",
        "tasks",
        "fill-mask",
        "text-generation-with-past",
        "cache",
        "components",
        "encoder",
        "config",
        "reference",
        "tolerances",
        "float32",
        "atol",
        "rtol",
        "trace",
        "check",
        "batch",
        "type",
        "when",
        "tracer",
        "use",
        "because",
        "arguments",
        "outputs_ignored",
        "refused",
        "dynamo",
        "opset",
        "minimum",
        "{layer}",
        "a.b",
    ]
)
trees = st.recursive(
    leaf, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4), max_leaves=20
)


@given(st.dictionaries(keys, trees, max_size=6), st.sampled_from(["encoder", "decoder", "encoder-decoder", "image"]))
def test_no_document_makes_schema_or_composition_raise(data, family):
    spec = document({**VALID, **data, "extends": family})
    check_schema(spec)
    first, second = compose_spec(spec), compose_spec(spec)
    assert first.spec == second.spec
    assert first.diagnostics == second.diagnostics
    check_family(document({"spec_version": 1, "family": "x", **data}))


@pytest.mark.parametrize("kind", [*KINDS, "defs"])
def test_every_reference_is_to_a_shared_definition(kind: str):
    text = json.dumps(load_schema(kind))
    references = re.findall(r'"\$ref": "([^"]*)"', text)
    assert references
    definitions = load_schema("defs")["$defs"]
    for reference in references:
        document, _, name = reference.partition("#/$defs/")
        if document == "vocabulary.schema.json":
            assert name in load_schema("vocabulary")["$defs"]
            continue
        assert document == ("" if kind == "defs" else "defs.schema.json")
        assert name in definitions
    assert ('"$defs"' in text) is (kind == "defs")


@pytest.mark.parametrize("kind", [*KINDS, "defs"])
def test_everything_a_stranger_may_repeat_is_bounded(kind: str):
    def bare(schema: Any, path: str):
        if not isinstance(schema, dict):
            return
        kinds = schema.get("type", ())
        kinds = {kinds} if isinstance(kinds, str) else set(kinds)
        is_open = "object" in kinds and schema.get("additionalProperties") is not False
        needed = {"maxItems": "array" in kinds, "maxLength": "string" in kinds, "maxProperties": is_open}
        # An `if` chooses between forms and takes nothing in.
        if not path.endswith("/if") and any(needed[name] and name not in schema for name in needed):
            yield path
        for key, value in schema.items():
            yield from bare(value, f"{path}/{key}")

    assert list(bare(load_schema(kind), "")) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dims": {f"d{at}": 1 for at in range(501)}}, "'dims' has 501 entries; at most 500 are allowed"),
        ({"description": "x" * 4001}, "'description' has 4,001 characters; at most 4,000 are allowed"),
        (
            {"dims": {"a": {"trace": 2, "check": [1] * 65}}},
            "'check' has 65 items; at most 64 are allowed",
        ),
        (
            {"reference": {"config": {"a": [[1] * 6000, [1] * 6000]}}},
            "'config' has more than 10,000 values within; at most 10,000 are allowed",
        ),
    ],
)
def test_what_is_too_large_is_one_finding(change, message):
    (finding,) = check_schema(document({**VALID, **change}))
    assert (finding.rule, finding.message) == ("too-large", message)


def test_a_number_of_a_config_is_one_of_a_tiny_model():
    (finding,) = check_schema(document({**VALID, "reference": {"config": {"a": [{"layers": 10**9}]}}}))
    assert finding.message == "'config' has the number 1,000,000,000; at most 1,000,000 is allowed"
