"""EXP2: names that point at nothing, or at something else."""

from __future__ import annotations

import pytest

UNKNOWN_FAMILY = {
    "a misspelt name": ("extends: «plian»\n", "did you mean 'plain'?"),
    "a name longer than a file's": (f"extends: «{'a' * 300}»\n", None),
    "a name in quotes": ("extends: «'encoders'»\n", "did you mean 'encoder'?"),
}


@pytest.mark.parametrize(("text", "help_"), UNKNOWN_FAMILY.values(), ids=UNKNOWN_FAMILY)
def test_a_family_nobody_has_is_found(find_marked, text: str, help_: str | None):
    (finding,) = find_marked("unknown-family", text)
    if help_ is not None:
        assert finding.help == help_


def test_a_family_unlike_any_other_is_answered_with_all_of_them(find_marked):
    (finding,) = find_marked("unknown-family", "extends: «zzz»\n")
    assert finding.help.startswith("the families are: ")
    assert "plain" in finding.help
    assert "encoder-decoder" in finding.help


def test_a_family_of_the_catalogue_can_be_extended_from_anywhere(find_marked):
    find_marked("unknown-family", "extends: encoder\n")


UNKNOWN_TASK = {
    "a misspelt task": ("tasks: {«fil-mask»: {}}\n", "did you mean 'fill-mask'?"),
    "a feature name of the earlier system": ("tasks: {«masked-lm»: {}}\n", "write 'fill-mask', the name on the Hub"),
    "another name of a task": (
        "tasks: {«zero-shot-classification»: {}}\n",
        "write 'text-classification', the name on the Hub",
    ),
    "a task the family does not offer": (
        "tasks: {«image-classification»: {}}\n",
        "the family 'plain' offers: fill-mask, text-classification",
    ),
    "a form with a cache nobody declares": (
        "tasks: {«fill-mask-with-past»: {}}\n",
        "declare 'cache:', or pick the task without '-with-past'",
    ),
    "a suffix alone": ("tasks: {fill-mask: {}, «-with-past»: {}}\n", None),
    "two at once": ("tasks: {«masked-lm»: {}, «default»: {}}\n", None),
}


@pytest.mark.parametrize(("text", "help_"), UNKNOWN_TASK.values(), ids=UNKNOWN_TASK)
def test_a_task_that_cannot_be_had_is_found(find_marked, text: str, help_: str | None):
    for finding in find_marked("unknown-task", text):
        if help_ is not None:
            assert finding.help == help_


KNOWN_TASK = {
    "a task that defines its outputs": "tasks: {image-classification: {outputs: {logits: 'float[batch, labels]'}}}\n",
    "a form with a cache that the spec declares": (
        "dims: {past: {trace: 5, check: [2]}}\n"
        "cache:\n"
        "  inputs: {past_key_values.0.key: 'float[batch, past] = randn'}\n"
        "  outputs: {present.0.key: 'float[batch, past + sequence]'}\n"
        "tasks: {fill-mask-with-past: {inputs: {attention_mask: 'int64[batch, past + sequence] = padding'}}}\n"
    ),
    "a task taken back": "tasks: {fill-mask: {}, masked-lm: null}\n",
}


@pytest.mark.parametrize("text", KNOWN_TASK.values(), ids=KNOWN_TASK)
def test_a_task_that_can_be_had_is_not_found(find_marked, text: str):
    find_marked("unknown-task", text)


@pytest.mark.parametrize(
    ("text", "fixed"),
    [
        ("tasks:\n  masked-lm: {}  # why\n", "tasks:\n  fill-mask: {}  # why\n"),
        ("tasks: {sequence-classification: {}}\n", "tasks: {text-classification: {}}\n"),
        (
            "tasks: {masked-lm: {}, zero-shot-classification: {}}\n",
            "tasks: {fill-mask: {}, text-classification: {}}\n",
        ),
        (
            "extends: decoder\ntasks: {causal-lm-with-past: {}}\n",
            "extends: decoder\ntasks: {text-generation-with-past: {}}\n",
        ),
    ],
)
def test_a_retired_name_is_renamed_by_its_fix(fix_text, text: str, fixed: str):
    assert fix_text(text) == fixed


@pytest.mark.parametrize(
    "text",
    [
        "tasks: {fil-mask: {}}\n",
        "tasks: {fill-mask: {}, masked-lm: {}}\n",
        "tasks: {summarization: {}, translation: {}}\n",
    ],
    ids=["a misspelt task", "a task that is there already", "two names of one task"],
)
def test_what_has_no_name_of_its_own_is_a_persons_to_rename(fix_text, text: str):
    assert fix_text(text) == text


UNKNOWN_DIM = {
    "in a shape": (
        "tasks: {fill-mask: {outputs: {logits: 'float[batch, «sequense», vocab]'}}}\n",
        "did you mean 'sequence'?",
    ),
    "in a sum": ("inputs: {x: 'int64[batch, sequence + «past»] = zeros'}\n", None),
    "in a fill": ("inputs: {x: 'int64[batch] = randint(2, «vocabulary»)'}\n", None),
    "in the end of a fill": ("inputs: {x: 'int64[batch] = randint(vocab) ending(«eos»)'}\n", None),
    "in a line of its own key": ("inputs: {x: {type: 'int64[batch, «x»] = zeros', argument: y}}\n", None),
    "in a tensor built inside the graph": ("arguments: {x: 'float[batch, «wide»] = zeros'}\n", None),
    "several in one line": ("inputs: {x: 'int64[batch, «a», «b»] = zeros'}\n", None),
    "in an expression": ("dims: {hidden: config.width // «heads»}\n", None),
    "in an expression, after an attribute that ends with it": ("dims: {hidden: config.n_head // «head»}\n", None),
    "in an expression in quotes": ('dims: {hidden: "config.width // «heads»"}\n', None),
    "in a condition": (
        "inputs: {x: {type: 'int64[batch] = zeros', when: «hiden» > 3}}\n",
        "did you mean 'hidden'?",
    ),
    "in a refusal": (
        "refused: {odd: {when: «hiden» % 2, because: the halves are of one size}}\n",
        "did you mean 'hidden'?",
    ),
    "in a note": ("notes: {length: 'up to «{spare}» tokens of {hidden}'}\n", None),
    "in a note of its own condition": (
        "notes: {length: {text: 'states of «{hiden}» numbers', when: config.wide}}\n",
        "did you mean 'hidden'?",
    ),
    "dynamic, in a note": ("notes: {length: 'texts of «{sequence}» tokens'}\n", None),
    "dynamic, in the expression of a fixed dim": ("dims: {hidden: «sequence» * 2}\n", None),
    "a layer that nobody counts": (
        "inputs:\n  «past_{layer}»: 'float[batch] = randn'\n",
        "bind 'layers' under 'dims:', as in 'layers: config.num_hidden_layers'",
    ),
    "a fixed dim that a target would bake in": (
        "targets: {neuron: «{static: [labels], because: it is so small}»}\n",
        "the dynamic dims are: batch, sequence",
    ),
    "what an input goes on beyond": (
        "inputs: {«x»: {type: 'float[batch] = randn', beyond: sequense}}\n",
        "did you mean 'sequence'?",
    ),
}


@pytest.mark.parametrize(("text", "help_"), UNKNOWN_DIM.values(), ids=UNKNOWN_DIM)
def test_a_dim_nobody_binds_is_found(find_marked, text: str, help_: str | None):
    for finding in find_marked("unknown-dim", text):
        if help_ is not None:
            assert finding.help == help_


KNOWN_DIM = {
    "the word of a fill that names no dim": "inputs: {x: 'int64[batch, sequence] = padding(left)'}\n",
    "the input whose positions are counted": "arguments: {x: 'int64[batch, sequence] = positions(attention_mask)'}\n",
    "a dynamic dim that another is derived from": (
        "dims: {half: {derived: sequence // 2}}\ntasks: {fill-mask: {outputs: {logits: 'float[batch, half, vocab]'}}}\n"
    ),
    "a fixed dim in an expression": "dims: {labels: hidden // 2}\n",
    "attributes of the config": "dims:\n  labels: config.heads.sizes[0]\n",
    "a fixed dim in a note": "notes: {length: 'states of {hidden} numbers'}\n",
    "a number": "inputs: {x: 'int64[batch, 4] = zeros'}\n",
    "a dynamic dim that a target bakes in": "targets: {neuron: {static: [sequence], because: it is so long}}\n",
}


@pytest.mark.parametrize("text", KNOWN_DIM.values(), ids=KNOWN_DIM)
def test_a_name_that_is_bound_is_not_found(find_marked, text: str):
    find_marked("unknown-dim", text)


def test_a_dynamic_dim_has_no_one_size(find_marked):
    (finding,) = find_marked("unknown-dim", "dims: {hidden: «sequence» * 2}\n")
    assert finding.message == "'sequence' in an expression is dynamic and has no one size"


def test_a_malformed_expression_is_not_judged_by_its_names(lint_text, complete):
    diagnostics = lint_text(complete("dims: {hidden: config.x // heads //}\n"))
    assert {finding.rule for finding in diagnostics} - {"unused-dim"} == {"malformed-expression"}


FILE_NAMES = [
    ("example.yaml", "architecture: example\n", []),
    ("example.yml", "architecture: example\n", []),
    ("Example.yaml", "architecture: example\n", ["file-name-mismatch"]),
    ("example.old.yaml", "architecture: example\n", ["file-name-mismatch"]),
    ("example-2.yaml", "architecture: example-2\n", []),
    ("x.1.yaml", "architecture: x.1\n", []),
]


@pytest.mark.parametrize(("name", "text", "rules"), FILE_NAMES, ids=[name for name, *_ in FILE_NAMES])
def test_a_spec_is_in_a_file_of_its_name(lint_text, complete, name: str, text: str, rules: list[str]):
    diagnostics = lint_text(complete(text), name)
    assert [finding.rule for finding in diagnostics] == rules
    for finding in diagnostics:
        assert finding.span.text == "example"
        assert finding.help == "rename the file to 'example.yaml'"


def test_a_family_is_in_a_file_of_its_name_and_a_build_file_in_any(lint_text, family_text):
    (finding,) = lint_text(family_text.replace("family: plain", "family: other"), "families/third.yaml")
    assert finding.message == "the family 'other' is in a file named 'third.yaml'"
    assert lint_text("spec_version: 1\nkind: build\nbuilds: [{spec: bert}]\n", "any name.yaml") == ()


def test_of_specs_of_one_architecture_every_one_but_the_first_is_found(lint_all, complete):
    names = ["a.yaml", "b.yaml", "c.yaml"]
    findings = [
        finding for finding in lint_all(dict.fromkeys(names, complete(""))) if finding.rule == "duplicate-architecture"
    ]
    assert [finding.span.source.name for finding in findings] == ["specs/b.yaml", "specs/c.yaml"]
    for finding in findings:
        assert finding.span.text == "example"
        assert [label.span.source.name for label in finding.labels] == ["specs/a.yaml"]
        assert finding.help.startswith("keep one; the other is specs/a.yaml:")


def test_other_architectures_and_families_of_the_name_are_no_duplicates(lint_all, complete, family_text):
    specs = {name: complete(f"architecture: {name}\n") for name in ("a", "b")}
    texts = {f"{name}.yaml": text for name, text in specs.items()}
    assert lint_all({**texts, "families/a.yaml": family_text.replace("family: plain", "family: a")}) == ()


COMPONENTS = """\
components:
  encoder:
    inputs: {input_ids: 'int64[batch, sequence] = randint(vocab)'}
    outputs: {states: 'float[batch, sequence, hidden]'}
"""
UNKNOWN_COMPONENT = {
    "misspelt": (f"{COMPONENTS}tasks: {{fill-mask: {{components: {{«encodr»: {{}}}}}}}}\n", "did you mean 'encoder'?"),
    "where none is offered": ("tasks: {fill-mask: {components: {«encoder»: {}}}}\n", None),
    "beside one that is offered": (
        f"{COMPONENTS}tasks: {{fill-mask: {{components: {{encoder: {{}}, «head»: {{}}}}}}}}\n",
        "the components are: encoder",
    ),
    "with outputs and no inputs": (
        "tasks: {fill-mask: {components: {«head»: {outputs: {x: 'float[batch]'}}}}}\n",
        None,
    ),
}


@pytest.mark.parametrize(("text", "help_"), UNKNOWN_COMPONENT.values(), ids=UNKNOWN_COMPONENT)
def test_a_component_nobody_offers_is_found(find_marked, text: str, help_: str | None):
    (finding,) = find_marked("unknown-component", text)
    assert finding.help == help_


def test_a_component_can_define_itself(find_marked):
    defined = "{inputs: {x: 'int64[batch] = zeros'}, outputs: {y: 'float[batch]'}}"
    find_marked(
        "unknown-component", f"{COMPONENTS}tasks: {{fill-mask: {{components: {{encoder: {{}}, head: {defined}}}}}}}\n"
    )
