"""EXP1: keys and values that the schema of a document does not have."""

from __future__ import annotations

import pytest

UNKNOWN_KEY = {
    "at the top": ("«task»: {fill-mask: {}}\n", "did you mean 'tasks'?"),
    "of a tensor": (
        "inputs: {x: {type: 'int64[batch] = ones', «arguments»: y}}\n",
        "did you mean 'argument'?",
    ),
    "of a dim": ("dims: {sequence: {trace: 8, «checks»: [1]}}\n", "did you mean 'check'?"),
    "of a task": ("tasks: {fill-mask: {«output»: {}}}\n", "did you mean 'outputs'?"),
    "of the tolerances": ("tolerances: {«floot32»: {atol: 1, rtol: 1}}\n", "did you mean 'float32'?"),
    "of the targets": ("targets: {«neurons»: {refused: it has no such operator}}\n", "did you mean 'neuron'?"),
    "that is a number": ("«2»: x\n", None),
    "twice": ("«one»: 1\n«two»: 2\n", None),
}


@pytest.mark.parametrize(("text", "help_"), UNKNOWN_KEY.values(), ids=UNKNOWN_KEY)
def test_a_key_nobody_reads_is_found(find_marked, text: str, help_: str | None):
    for finding in find_marked("unknown-key", text):
        if help_ is not None:
            assert finding.help == help_


WRONG_TYPE = {
    "a quoted number": ("dims: {sequence: {trace: «'8'», check: [1]}}\n", "'trace' is '8', not an integer"),
    "a fraction": ("dims: {sequence: {trace: «8.5», check: [1]}}\n", "'trace' is 8.5, not an integer"),
    "a list for a mapping": ("inputs: «[a, b]»\n", "'inputs' is a list, not a mapping"),
    "a mapping for a text": ("description: «{a: b}»\n", "'description' is a mapping, not text"),
    "a number for a list": ("dims: {sequence: {trace: 8, check: «1»}}\n", "'check' is 1, not a list"),
    "a truth value as a dim": ("dims: {x: «true»}\n", "'x' is true, not an integer or text"),
    "nothing where something has to be": ("extends: «null»\n", "'extends' is empty, not text"),
    "a block, of which the first line is shown": ("description:\n  «a: b»\n  c: d\n", "'description' is a mapping"),
    "a word for a bound": ("tolerances: {float32: {atol: «tiny», rtol: 0}}\n", "'atol' is tiny, not a number"),
    "one of several items": ("dims: {sequence: {trace: 8, check: [1, «a», 3]}}\n", "'check' is a, not an integer"),
}


@pytest.mark.parametrize(("text", "message"), WRONG_TYPE.values(), ids=WRONG_TYPE)
def test_a_value_of_another_kind_is_found_alone(find_marked, text: str, message: str):
    (finding,) = find_marked("wrong-type", text)
    assert message in finding.message


def test_a_long_value_is_shown_cut(find_marked):
    (finding,) = find_marked("wrong-type", f"dims: {{sequence: {{trace: «{'x' * 60}», check: [1]}}}}\n")
    assert finding.message == f"'trace' is {'x' * 37}..., not an integer"


WRONG_VALUE = {
    "a word that is not one of a few": ("tracer: «torch»\n", "torch is not a value of 'tracer'"),
    "a version to come": ("spec_version: «2»\n", "2 is not the value of 'spec_version'"),
    "a number below its bound": (
        "tolerances: {float32: {atol: «-1», rtol: 0}}\n",
        "-1 is not valid of 'atol': expected at least 0",
    ),
    "a name with capitals": ("dims: {«Hidden»: 3}\n", "'Hidden' is not a name of 'dims'"),
    "a reason that gives none": (
        "outputs_ignored: {hidden_states: «huge»}\n",
        "huge is not valid of 'hidden_states': expected more text than this",
    ),
    "a list of nothing": ("dims: {sequence: {trace: 8, check: «[]»}}\n", "a list is not valid of 'check'"),
    "a path for a family": ("extends: «../plain»\n", "../plain is not valid of 'extends': expected text of the form"),
}


@pytest.mark.parametrize(("text", "message"), WRONG_VALUE.values(), ids=WRONG_VALUE)
def test_a_value_outside_its_range_is_found_alone(find_marked, text: str, message: str):
    (finding,) = find_marked("wrong-value", text)
    assert message in finding.message


MISSING_KEY = {
    "of the document": (
        "«spec_version: 1»\narchitecture: example\nextends: plain\ntasks: {fill-mask: {}}\n",
        "reference",
    ),
    "of a mapping": ("«reference»: {gain: 0.5}\n", "config"),
    "of a tensor": ("inputs: {«x»: {argument: y}}\n", "type"),
    "of a tracer": ("«tracer»: {use: dynamo}\n", "because"),
    "of a dim, once it is laid over the family's": ("dims: {«x»: {trace: 8}}\n", "check"),
    "of a tolerance, once it is laid over the family's": ("tolerances: {«bfloat16»: {atol: 0.1}}\n", "rtol"),
}


@pytest.mark.parametrize(("text", "key"), MISSING_KEY.values(), ids=MISSING_KEY)
def test_a_key_that_is_absent_is_found_at_its_owner(find_marked, text: str, key: str):
    (finding,) = find_marked("missing-key", text)
    assert finding.message.endswith(f"has no '{key}'")
    assert finding.help


GOOD = {
    "missing-key": {
        "a dim that keeps the family's check sizes": "dims: {sequence: {trace: 9}}\n",
        "a tolerance that keeps the family's rtol": "tolerances: {float32: {atol: 2.0e-5}}\n",
    },
    "wrong-type": {
        "an integer for a number": "tolerances: {float32: {atol: 0, rtol: 0}}\n",
        "a null that removes": "dims: {labels: null}\n",
    },
    "wrong-value": {"a word of the few": "tracer: torchscript\n"},
    "unknown-key": {"a config has keys of its own": "reference: {config: {hidden_size: 8, vocab_size: 9, any: 1}}\n"},
}


@pytest.mark.parametrize(
    ("rule", "text"),
    [(rule, text) for rule, texts in GOOD.items() for text in texts.values()],
    ids=[case for texts in GOOD.values() for case in texts],
)
def test_a_document_of_the_schema_is_not_found(find_marked, rule: str, text: str):
    find_marked(rule, text)


def test_a_misspelt_key_is_not_called_missing_too(lint_text, complete):
    text = complete("").replace("reference:", "referense:")
    assert [finding.rule for finding in lint_text(text)] == ["unknown-key"]


@pytest.mark.parametrize(
    "text", ["tolerances: {float8: {atol: 1, rtol: 1}}\n", "tasks: {fill-mask: {outputs: {logits: 3}}}\n"]
)
def test_what_the_schema_refuses_is_found_once(lint_text, complete, text: str):
    assert len(lint_text(complete(text))) == 1


def test_no_other_rule_judges_what_the_schema_refuses(lint_text, complete):
    # Composed all the same, the trace size would be 0, which is too small.
    assert [finding.rule for finding in lint_text(complete("dims: {sequence: {trace: '8'}}\n"))] == ["wrong-type"]


@pytest.mark.parametrize(
    ("name", "text", "rules"),
    [
        ("families/other.yaml", "spec_version: 1\nfamily: other\n", ["missing-key"]),
        ("tasks.yaml", "spec_version: 1\nkind: tasks\ntasks: {x: {feature: y}}\n", ["missing-key"]),
        ("builds.yaml", "spec_version: 1\nkind: build\nbuilds: [{specs: bert}]\n", ["unknown-key"]),
        ("builds.yaml", "spec_version: 1\nkind: build\nbuilds: [{spec: bert, opset: '18'}]\n", ["wrong-type"]),
    ],
)
def test_every_kind_of_document_has_its_schema(lint_text, name: str, text: str, rules: list[str]):
    assert sorted({finding.rule for finding in lint_text(text, name)}) == rules
