"""EXP4: what a spec and its family give together, and caches."""

from __future__ import annotations

import pytest

from exporter.language.diagnostics import Severity

COLLISION = {
    "an input named like an output": (
        "inputs: {«logits»: 'float[batch, vocab] = randn'}\n",
        "'logits' names two tensors of the graph 'model'",
    ),
    "an output named like an input of the family": (
        "tasks: {fill-mask: {outputs: {«input_ids»: 'int64[batch, sequence]'}}}\n",
        "'input_ids' names two tensors",
    ),
    "a layer by its number and all of them": (
        (
            "dims: {layers: 3}\n"
            "inputs:\n"
            "  state.{layer}: {type: 'float[batch, hidden] = randn', argument: states}\n"
            "  «state.0»: {type: 'float[batch, hidden] = randn', argument: first}\n"
        ),
        "'state.0' names two tensors",
    ),
}


@pytest.mark.parametrize(("text", "message"), COLLISION.values(), ids=COLLISION)
def test_one_name_for_two_tensors_is_found_in_the_spec(find_marked, text: str, message: str):
    (finding,) = find_marked("name-collision", text)
    assert finding.message.startswith(message)
    assert [label.text for label in finding.labels] == ["the other"]


NO_COLLISION = {
    "one name in two graphs": "tasks: {fill-mask: {}, text-classification: {}}\n",
    "one field under another name": (
        "inputs: {given_logits: {type: 'float[batch, vocab] = randn', argument: logits}}\n"
    ),
    "an input changed by its task": (
        "inputs: {x: 'int64[batch] = ones'}\ntasks: {fill-mask: {inputs: {x: 'int64[batch] = zeros'}}}\n"
    ),
    "an argument named like an input of another task": (
        "arguments: {x: 'float[batch] = zeros'}\n"
        "tasks: {fill-mask: {arguments: {x: null}, inputs: {x: 'float[batch] = randn'}}, text-classification: {}}\n"
    ),
}


@pytest.mark.parametrize("text", NO_COLLISION.values(), ids=NO_COLLISION)
def test_a_name_of_its_own_is_not_found(find_marked, text: str):
    find_marked("name-collision", text)


PAST = "float[batch, heads, past, head_dim]"


def cached(
    key: str = "float[batch, heads, past + sequence, head_dim]",
    value: str = "float[batch, heads, past + sequence, head_dim]",
    mask: str = "int64[batch, past + sequence] = padding(left)",
    rest: str = "",
) -> str:
    """Return a spec of one task with a cache, whose presents and mask have these types."""
    return (
        "dims: {past: {trace: 5, check: [0, 12]}, layers: 3, heads: 4, head_dim: 10, text: {trace: 6, check: [9]}}\n"
        "cache:\n"
        "  inputs:\n"
        f"    attention_mask: {mask}\n"
        f"    past_key_values.{{layer}}.key: {PAST} = randn\n"
        f"    past_key_values.{{layer}}.value: {PAST} = randn\n"
        "  outputs:\n"
        f"    present.{{layer}}.key: {key}\n"
        f"    present.{{layer}}.value: {value}\n"
        f"{rest}"
        "tasks: {fill-mask-with-past: {}}\n"
    )


SAME = "float[batch, heads, past, head_dim]"
CACHE = {
    "a key that is not past and new": (
        cached(
            key="float[batch, heads, «sequence», head_dim]", value="«float[batch, heads, past + sequence, head_dim]»"
        ),
        ["axis 2 of 'present.{layer}.key' is 'sequence'", "'present.{layer}.value' has another shape"],
    ),
    "a sum the other way around": (
        cached(
            key="float[batch, heads, «sequence + past», head_dim]",
            value="float[batch, heads, «sequence + past», head_dim]",
        ),
        ["axis 2 of 'present.{layer}.key' is 'sequence + past'", "axis 2 of 'present.{layer}.value'"],
    ),
    "a cache that does not grow": (
        cached(key=f"«{SAME}»", value=f"«{SAME}»", mask="int64[batch, sequence] = padding"),
        ["'present.{layer}.key' is no longer than", "'present.{layer}.value' is no longer than"],
    ),
    "a cache that loses an axis": (
        cached(key="«float[batch, past + sequence, head_dim]»", value="«float[batch, past + sequence, head_dim]»"),
        ["'present.{layer}.key' has 3 axes, and 'past_key_values.{layer}.key' has 4", "'present.{layer}.value' has 3"],
    ),
    "a mask of the new tokens alone": (
        cached(mask="«int64[batch, sequence] = padding»"),
        ["'attention_mask' does not cover the past: no axis is past + sequence"],
    ),
    "a mask of the past alone": (
        cached(mask="«int64[batch, past] = padding»"),
        ["'attention_mask' does not cover the past: no axis is past + sequence"],
    ),
    "a past that nothing gives back": (
        cached(rest="    present.{layer}.value: null\n")
        .replace(f"  past_key_values.{{layer}}.value: {PAST}", f"  «past_key_values.{{layer}}.value»: {PAST}")
        .replace("    present.{layer}.value: float[batch, heads, past + sequence, head_dim]\n", ""),
        ["'past_key_values.{layer}.value' is taken in, and no 'present' gives it back"],
    ),
    "an input beyond no past": (
        cached(rest="").replace(
            "tasks:", "inputs: {«states»: {type: 'float[batch, sequence] = randn', beyond: text}}\ntasks:"
        ),
        ["'states' goes on beyond 'text', and no past of the graph is as long"],
    ),
}


@pytest.mark.parametrize(("text", "messages"), CACHE.values(), ids=CACHE)
def test_a_cache_that_does_not_fit_together_is_found(find_marked, text: str, messages: list[str]):
    findings = find_marked("cache-length-mismatch", text)
    assert len(findings) == len(messages)
    for finding, message in zip(findings, messages, strict=True):
        assert finding.message.startswith(message)


GOOD_CACHE = {
    "past and new": cached(),
    "a mask of something else": cached(mask="int64[batch, text] = padding"),
    "a past given back elsewhere, with the reason": cached(
        rest="  outputs_ignored: {past_key_values: the runtime keeps the cache itself}\n"
    ).replace("    present.{layer}.value: float[batch, heads, past + sequence, head_dim]\n", ""),
    "a graph without a past": "tasks: {fill-mask: {}}\n",
}


@pytest.mark.parametrize("text", GOOD_CACHE.values(), ids=GOOD_CACHE)
def test_a_cache_that_fits_is_not_found(find_marked, text: str):
    find_marked("cache-length-mismatch", text)


def test_a_cache_of_cross_attention_is_given_back_as_it_came(find_marked):
    cross = "float[batch, heads, text, head_dim]"
    text = cached().replace(
        "  outputs:\n",
        f"    past_key_values.{{layer}}.cross.key: {cross} = randn\n"
        f"  outputs:\n    present.{{layer}}.cross.key: {cross}\n",
    )
    find_marked("cache-length-mismatch", text)


REMOVAL = {
    "an input": ("inputs: {«atention_mask»: null}\n", "did you mean 'attention_mask'?"),
    "a dim": ("dims: {«hiden»: null}\n", "did you mean 'hidden'?"),
    "an argument": ("arguments: {«return_dct»: null}\n", "did you mean 'return_dict'?"),
    "a reason": ("outputs_ignored: {«pooler»: null}\n", "did you mean 'pooler_output'?"),
    "of a part the family does not have": ("patches: {«split-axes»: null}\n", None),
}


@pytest.mark.parametrize(("text", "help_"), REMOVAL.values(), ids=REMOVAL)
def test_a_null_that_removes_nothing_is_found(find_marked, text: str, help_: str | None):
    (finding,) = find_marked("removes-nothing", text)
    assert finding.help == help_


@pytest.mark.parametrize(
    "text",
    [
        "inputs: {attention_mask: null}\n",
        "arguments: {return_dict: null}\n",
        "outputs_ignored: {pooler_output: null}\n",
        "tasks: {fill-mask: {inputs: {attention_mask: null}}}\n",
    ],
)
def test_a_null_that_removes_something_is_not(find_marked, text: str):
    find_marked("removes-nothing", text)


UNUSED = {
    "that nobody names": "dims: {«spare»: config.spare}\n",
    "of a family, bound anew": "dims: {«labels»: 9}\n",
    "dynamic": "dims: {«spare»: {trace: 5, check: [1]}}\n",
    "derived": "dims: {«spare»: {derived: sequence // 2}}\n",
    "named in a word only": "dims: {«eager»: 3}\narguments: {attention: eager}\n",
}


@pytest.mark.parametrize("text", UNUSED.values(), ids=UNUSED)
def test_a_dim_of_no_use_is_found(find_marked, text: str):
    find_marked("unused-dim", text)


USED = {
    "in a shape": "dims: {spare: config.spare}\ninputs: {x: 'float[batch, spare] = randn'}\n",
    "in a fill": "dims: {spare: config.spare}\ninputs: {x: 'int64[batch] = randint(spare)'}\n",
    "in the end of a fill": "dims: {spare: config.spare}\ninputs: {x: 'int64[batch, 4] = randint(9) ending(spare)'}\n",
    "in an expression": "dims: {spare: config.spare, hidden: spare * 2}\n"
    "tasks: {fill-mask: {outputs: {states: 'float[batch, hidden]'}}}\n",
    "in a condition": "dims: {spare: config.spare}\ninputs: {x: {type: 'int64[batch] = ones', when: spare > 1}}\n",
    "in a note": "dims: {spare: config.spare}\nnotes: {length: 'texts of up to {spare} tokens'}\n",
    "in the condition of a note": (
        "dims: {spare: config.spare}\nnotes: {length: {text: only for short texts, when: spare}}\n"
    ),
    "in the condition of a refusal": (
        "dims: {spare: config.spare}\nrefused: {odd: {when: spare % 2, because: halves are of one size}}\n"
    ),
    "as the number of layers": (
        "dims: {layers: config.depth}\ninputs:\n  x.{layer}: {type: 'float[batch] = randn', argument: y}\n"
    ),
    "in a tensor built inside the graph": (
        "dims: {spare: config.spare}\narguments: {x: 'float[batch, spare] = zeros'}\n"
    ),
}


@pytest.mark.parametrize("text", USED.values(), ids=USED)
def test_a_dim_of_use_is_not_found(find_marked, text: str):
    find_marked("unused-dim", text)


REDUNDANT = {
    "a dim": "dims: {«labels»: 7}\n",
    "a dynamic dim, in another order": "dims: {«sequence»: {check: [13, 1], trace: 8}}\n",
    "an input": "inputs: {«attention_mask»: 'int64[batch, sequence] = padding'}\n",
    "an argument": "arguments: {«return_dict»: true}\n",
    "a reason": "outputs_ignored: {«pooler_output»: made of weights that no checkpoint has}\n",
    "a tolerance": "tolerances: {«float32»: {atol: 1.0e-05, rtol: 0.00001}}\n",
    "two of three": "dims: {«hidden»: config.hidden_size, labels: 8, «vocab»: config.vocab_size}\n",
}


@pytest.mark.parametrize("text", REDUNDANT.values(), ids=REDUNDANT)
def test_what_the_family_says_already_is_found(find_marked, text: str):
    for finding in find_marked("redundant-override", text):
        assert finding.message.endswith("is what the family 'plain' says already")


DIFFERENT = {
    "another value": "dims: {labels: 8}\n",
    "part of a dynamic dim": "dims: {sequence: {check: [5]}}\n",
    "a check size in another order": "dims: {sequence: {trace: 8, check: [1, 13]}}\n",
    "a text for a number": "dims: {labels: '8'}\n",
    "a number for a truth value": "arguments: {return_dict: 1}\n",
    "a removal": "outputs_ignored: {pooler_output: null}\n",
    "an entry of a task": "tasks: {fill-mask: {inputs: {attention_mask: 'int64[batch, sequence] = padding'}}}\n",
}


@pytest.mark.parametrize("text", DIFFERENT.values(), ids=DIFFERENT)
def test_what_differs_from_the_family_is_not_found(find_marked, text: str):
    find_marked("redundant-override", text)


@pytest.mark.parametrize(
    ("text", "fixed"),
    [
        ("dims:\n  labels: 7  # as ever\n  hidden: 9\n", "dims:\n  hidden: 9\n"),
        ("dims:\n  hidden: 9\n  # The family's.\n  labels: 7\n", "dims:\n  hidden: 9\n  # The family's.\n"),
        (
            "dims:\n  sequence: {trace: 8, check: [13, 1]}\n  hidden: 9\n",
            "dims:\n  hidden: 9\n",
        ),
    ],
    ids=["a line and its comment", "the last line", "a mapping on one line"],
)
def test_the_fix_deletes_the_line_of_what_is_redundant(fix_text, text: str, fixed: str):
    assert fix_text(text) == fixed


NOT_FIXED = {
    "the only entry": "dims:\n  labels: 7\n",
    "an entry of several lines": "dims:\n  hidden: 9\n  sequence:\n    trace: 8\n    check: [13, 1]\n",
    "every entry": "dims:\n  labels: 7\n  hidden: config.hidden_size\n",
    "the last entry of braces": "dims: {hidden: 9,\n  labels: 7}\n",
    "an entry that shares a line within braces": "dims: {\n  labels: 7, hidden: 9,\n  vocab: 5}\n",
    "an entry of a line with others": "dims: {hidden: 9, labels: 7}\n",
    "a text of several lines": (
        "outputs_ignored:\n  pooler_output: >-\n    made of weights that no checkpoint has\n  other: no use\n"
    ),
}


@pytest.mark.parametrize("text", NOT_FIXED.values(), ids=NOT_FIXED)
def test_what_has_no_line_of_its_own_is_a_persons_to_delete(fix_text, text: str):
    assert fix_text(text) == text


def test_a_task_with_past_that_takes_none_is_found(find_marked):
    cache = "cache: {arguments: {use_cache: true}}\n"
    (finding,) = find_marked(
        "with-past-without-cache", f"{cache}tasks: {{«fill-mask-with-past»: {{}}, fill-mask: {{}}}}\n"
    )
    assert finding.message == "no graph of 'fill-mask-with-past' takes past_key_values"


def test_a_past_under_any_name_is_one(find_marked):
    renamed = cached().replace(
        f"past_key_values.{{layer}}.key: {PAST} = randn",
        f"old.{{layer}}: {{type: '{PAST} = randn', argument: 'past_key_values.{{layer}}.key'}}",
    )
    find_marked("with-past-without-cache", renamed)


EMPTY = {
    "no output left": ("tasks: {«fill-mask»: {outputs: {logits: null}}}\n", ["outputs"]),
    "no input left": (
        "tasks: {«fill-mask»: {inputs: {input_ids: null, attention_mask: null}}, text-classification: {}}\n",
        ["inputs"],
    ),
}


@pytest.mark.parametrize(("text", "parts"), EMPTY.values(), ids=EMPTY)
def test_a_graph_of_nothing_is_found(find_marked, text: str, parts: list[str]):
    findings = find_marked("empty-graph", text)
    assert [finding.help for finding in findings] == [f"declare '{part}:'" for part in parts]


@pytest.mark.parametrize("tasks", ["{masked-lm: {}}", "{fill-mask: {inputs: {x: 'float[batch, spare = randn'}}}"])
def test_a_dim_of_what_cannot_be_read_is_not_called_unused(lint_text, complete, tasks: str):
    diagnostics = lint_text(complete(f"dims: {{spare: 3}}\ntasks: {tasks}\n"))
    assert [finding.rule for finding in diagnostics if finding.severity is Severity.WARNING] == []


def test_a_graph_whose_one_output_cannot_be_read_is_not_called_empty(lint_text, complete):
    text = complete("tasks: {fill-mask: {outputs: {logits: 'float[batch'}}}\n")
    assert [finding.rule for finding in lint_text(text)] == ["malformed-tensor"]
