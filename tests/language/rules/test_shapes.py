"""EXP3: tensor lines, the sizes of dims, and fills."""

from __future__ import annotations

import pytest


def inputs(line: str) -> str:
    """Return a document with one more input."""
    return f"inputs: {{extra: {line}}}\n"


def outputs(line: str) -> str:
    """Return a document whose task has one more output."""
    return f"tasks: {{fill-mask: {{outputs: {{extra: {line}}}}}}}\n"


# A rule, a document, and how the message of each finding begins.
BAD = {
    "an unknown dtype": ("malformed-tensor", inputs("'«int46»[batch] = ones'"), "unknown dtype 'int46'"),
    "a comma left out": ("malformed-tensor", inputs("'int64[batch «sequence»] = ones'"), "expected ',' or ']'"),
    "a comma too many": ("malformed-tensor", inputs("'int64[batch,«]» = ones'"), "expected a dim name or an integer"),
    "a bracket nobody closes": ("malformed-tensor", inputs("'int64[batch«»'"), "expected ',' or ']'"),
    "no brackets": ("malformed-tensor", inputs("int64«»"), "expected '[' after the dtype, found the end"),
    "a fraction as a length": ("malformed-tensor", inputs("'int64[batch, «1.5»] = ones'"), "an axis has an integer"),
    "a minus in a sum": ("malformed-tensor", inputs("'int64[batch «-» 1] = ones'"), "expected ',' or ']'"),
    "an unknown fill": ("malformed-tensor", inputs("'int64[batch] = «rand_int»(9)'"), "unknown fill 'rand_int'"),
    "a fill with too few arguments": (
        "malformed-tensor",
        inputs("'int64[batch] = «randint»'"),
        "'randint' takes 1 to 2 arguments, not 0",
    ),
    "a fill with too many": (
        "malformed-tensor",
        inputs("'int64[batch] = «ones(2)»'"),
        "'ones' takes 0 arguments, not 1",
    ),
    "padding on no side": ("malformed-tensor", inputs("'int64[batch, 4] = padding(«both»)'"), "padding is 'left' or"),
    "something behind the fill": ("malformed-tensor", inputs("'int64[batch] = ones «twice»'"), "expected the end"),
    "an input without a fill": ("malformed-tensor", inputs("'«int64[batch]»'"), "the input 'extra' has no fill"),
    "an output with one": ("malformed-tensor", outputs("'float[batch] = «randn»'"), "the output 'extra' has a fill"),
    "positions as an input": (
        "malformed-tensor",
        inputs("'int64[batch, sequence] = «positions(attention_mask)»'"),
        "the input 'extra' is filled with 'positions'",
    ),
    "a random argument": (
        "malformed-tensor",
        "arguments: {extra: 'float[batch] = «randn»'}\n",
        "'extra' is made inside the graph, which 'randn' cannot be",
    ),
    "positions of no input": (
        "malformed-tensor",
        "arguments: {extra: 'int64[batch, sequence] = «positions(mask)»'}\n",
        "'extra' counts the positions of 'mask', which is no input",
    ),
    "half an expression": ("malformed-expression", "dims: {hidden: «config.width //»}\n", "malformed expression: "),
    "a call": ("malformed-expression", "dims: {hidden: config.«width»()}\n", "an expression cannot call anything"),
    "a template": ("malformed-expression", "dims: {hidden: '«{{ config.width }}»'}\n", "malformed expression: "),
    "two expressions": ("malformed-expression", "dims: {hidden: '«config.a }} {{ config.b»'}\n", ""),
    "a bracket closed too early": (
        "malformed-expression",
        "dims: {hidden: «config.a) * (config.b»}\n",
        "malformed expression: it ends too early",
    ),
    "a condition that is none": (
        "malformed-expression",
        "inputs: {extra: {type: 'int64[batch] = ones', when: «config.»}}\n",
        "malformed expression: ",
    ),
    "a derived dim with sizes of its own": (
        "malformed-expression",
        "dims: {«sequence»: {derived: batch * 2}}\n",
        "'sequence' is derived from other dims, so it has no sizes of its own",
    ),
    "a trace size of one": ("trace-size-too-small", "dims: {sequence: {trace: «1»}}\n", "'sequence' is traced at 1"),
    "a trace size of none": ("trace-size-too-small", "dims: {sequence: {trace: «0»}}\n", "'sequence' is traced at 0"),
    "one trace size for two dims": (
        "trace-sizes-collide",
        "dims: {sequence: {trace: «2», check: [5]}}\n",
        "'sequence' and 'batch' are both traced at 2",
    ),
    "a check size that is the trace size": (
        "check-equals-trace",
        "dims: {sequence: {check: [1, «8», 13, «8»]}}\n",
        "'sequence' is checked at 8, the size it is traced at",
    ),
    "integers where floats are made": (
        "fill-dtype-mismatch",
        inputs("'int64[batch] = «randn»'"),
        "'randn' cannot make int64 for 'extra'",
    ),
    "floats where ids are made": (
        "fill-dtype-mismatch",
        inputs("'float[batch] = «randint(9)»'"),
        "'randint' cannot make float for 'extra'",
    ),
    "a truth value as a mask": (
        "fill-dtype-mismatch",
        inputs("'bool[batch, sequence] = «padding»'"),
        "'padding' cannot make bool",
    ),
    "an integer no tokenizer gives": (
        "fill-dtype-mismatch",
        inputs("'«int32»[batch] = ones'"),
        "the input 'extra' is int32; tokenizers and processors give int64",
    ),
    "a float of one width": (
        "fill-dtype-mismatch",
        inputs("'«float16»[batch] = randn'"),
        "the input 'extra' is float16 in every build",
    ),
    "an end where there are no ids": (
        "fill-dtype-mismatch",
        inputs("'float[batch] = «randn ending(2)»'"),
        "'randn' has no ids to end with",
    ),
    "an input without a batch": (
        "no-batch-axis",
        inputs("'«int64[sequence] = ones»'"),
        "the first axis of the input 'extra' is not the batch",
    ),
    "an output without a batch": (
        "no-batch-axis",
        outputs("'«float[hidden]»'"),
        "the first axis of the output 'extra' is not the batch",
    ),
    "an output that is one number": ("no-batch-axis", outputs("'«float[]»'"), "the first axis of the output 'extra'"),
    "a batch on the second axis": ("no-batch-axis", inputs("'«float[sequence, batch] = randn»'"), "the first axis"),
    "an output of 32 bits": ("fixed-float", outputs("'«float32»[batch]'"), "the output 'extra' is float32 in every"),
    "an output of 16 bits": ("fixed-float", outputs("'«bfloat16»[batch]'"), "the output 'extra' is bfloat16 in every"),
    "columns before rows": (
        "width-before-height",
        "dims: {height: 5, width: 6}\n" + inputs("'«float[batch, width, height] = randn»'"),
        "'width' is before 'height' in the shape of 'extra'",
    ),
    "columns before rows with an axis between": (
        "width-before-height",
        "dims: {patch_height: 5, patch_width: 6}\n" + outputs("'«float[batch, patch_width, hidden, patch_height]»'"),
        "'patch_width' is before 'patch_height'",
    ),
    "patches across before patches down": (
        "width-before-height",
        "dims: {patches_high: 5, patches_wide: 6}\n" + outputs("'«float[batch, patches_wide, patches_high]»'"),
        "'patches_wide' is before 'patches_high'",
    ),
    "boxes of five numbers": (
        "fill-shape-mismatch",
        inputs("'int64[batch, sequence, 5] = «boxes(1000)»'"),
        "'boxes' needs a last axis of 4 in the shape of 'extra'",
    ),
    "padding of no rows": (
        "fill-shape-mismatch",
        inputs("'int64[batch] = «padding»'"),
        "'padding' needs an axis of rows",
    ),
    "a range along no axis": (
        "fill-shape-mismatch",
        inputs("'int64[] = «arange»'"),
        "'arange' needs an axis to run along",
    ),
}


@pytest.mark.parametrize(("rule", "text", "message"), BAD.values(), ids=BAD)
def test_a_mistake_is_found_at_its_place(find_marked, rule: str, text: str, message: str):
    for finding in find_marked(rule, text):
        assert finding.message.startswith(message)
        assert finding.help


BOTH = "dims: {height: 5, width: 6, image_height: 9}\n"
GOOD = {
    "a line without spaces": ("malformed-tensor", inputs("'int64[batch,sequence]=randint(2,vocab)'")),
    "an axis of a number": ("malformed-tensor", inputs("'int64[batch, 4] = zeros'")),
    "a tensor with two arguments and an end": (
        "malformed-tensor",
        inputs("'int64[batch, sequence] = randint(2, vocab) ending(1)'"),
    ),
    "positions inside the graph": (
        "malformed-tensor",
        "arguments: {x: 'int64[batch, sequence] = positions(attention_mask)'}\n",
    ),
    "an argument that is a word": ("malformed-tensor", "arguments: {attention: eager}\n"),
    "a condition of several": ("malformed-expression", "dims: {hidden: 'config.a if config.a is defined else 4'}\n"),
    "a number in quotes": ("malformed-expression", "dims: {hidden: '33'}\n"),
    "a derived dim that takes the sizes back": (
        "malformed-expression",
        "dims: {half: {derived: sequence // 2}, sequence: {trace: 9}}\n" + outputs("'float[batch, half]'"),
    ),
    "the smallest trace size": ("trace-size-too-small", "dims: {batch: {trace: 2}}\n"),
    "a small dim that is no axis": (
        "trace-size-too-small",
        "dims: {later: {trace: 0, check: [1]}, rest: {derived: sequence * later}}\n" + outputs("'float[batch, rest]'"),
    ),
    "one trace size in two tasks": (
        "trace-sizes-collide",
        (
            "dims: {other: {trace: 8, check: [5]}}\n"
            "tasks: {fill-mask: {}, image-classification: {inputs: {input_ids: null, attention_mask: null, "
            "pixels: 'float[batch, other] = randn'}, outputs: {logits: 'float[batch, labels]'}}}\n"
        ),
    ),
    "a check size that another dim is traced at": ("check-equals-trace", "dims: {sequence: {check: [2, 13]}}\n"),
    "truth values by chance": ("fill-dtype-mismatch", inputs("'bool[batch] = bernoulli(0.5)'")),
    "ids that end": ("fill-dtype-mismatch", inputs("'int64[batch, sequence] = randint(vocab) ending(1)'")),
    "floats of the build": ("fill-dtype-mismatch", inputs("'float[batch] = rand'")),
    "a batch under another name": (
        "no-batch-axis",
        "dims: {image_batch: {trace: 3, check: [1]}}\n" + inputs("'float[image_batch, hidden] = randn'"),
    ),
    "an input that the model is not given": (
        "no-batch-axis",
        inputs("{type: 'bool[1] = ones', argument: none, unused: true, because: clients send it}"),
    ),
    "a graph without a batch": (
        "no-batch-axis",
        (
            "inputs: {input_ids: 'int64[sequence] = randint(vocab)', attention_mask: null}\n"
            "tasks: {image-classification: {outputs: {logits: 'float[labels]'}}}\n"
        ),
    ),
    "an output of whole numbers": ("fixed-float", outputs("'int32[batch]'")),
    "a float of the build": ("fixed-float", outputs("'float[batch]'")),
    "rows first": ("width-before-height", BOTH + inputs("'float[batch, height, width] = randn'")),
    "columns alone": ("width-before-height", BOTH + inputs("'float[batch, width] = randn'")),
    "the rows of another image": ("width-before-height", BOTH + inputs("'float[batch, width, image_height] = randn'")),
    "boxes of four numbers": ("fill-shape-mismatch", inputs("'int64[batch, sequence, 4] = boxes(1000)'")),
    "padding of rows of rows": ("fill-shape-mismatch", inputs("'int64[batch, 2, sequence] = padding'")),
    "a range along one axis": ("fill-shape-mismatch", inputs("'int64[batch] = arange'")),
}


@pytest.mark.parametrize(("rule", "text"), GOOD.values(), ids=GOOD)
def test_what_only_resembles_a_mistake_is_not_found(find_marked, rule: str, text: str):
    find_marked(rule, text)


def test_a_collision_names_the_place_of_the_other_dim(find_marked):
    (finding,) = find_marked("trace-sizes-collide", "dims: {sequence: {trace: «2», check: [5]}}\n")
    assert finding.help == "choose another size for one of them; 'batch' is at specs/families/plain.yaml:5:18"


def test_of_three_dims_traced_at_one_size_every_pair_is_found_once(lint_text, complete):
    text = "dims: {sequence: {trace: 2}, other: {trace: 2, check: [5]}}\n" + inputs("'float[batch, other] = randn'")
    diagnostics = lint_text(complete(text + "tasks: {fill-mask: {}, text-classification: {}}\n"))
    assert [finding.message for finding in diagnostics] == [
        "'sequence' and 'batch' are both traced at 2",
        "'other' and 'batch' are both traced at 2",
        "'other' and 'sequence' are both traced at 2",
    ]


def test_a_dim_that_no_tensor_names_is_not_judged_by_its_sizes(lint_text, complete):
    diagnostics = lint_text(complete("dims: {spare: {trace: 1, check: [1]}}\n"))
    assert [finding.rule for finding in diagnostics] == ["unused-dim"]


def test_a_mistake_of_the_family_is_shown_in_the_family(lint_text, complete, family_text):
    family = family_text.replace('logits: "float[batch, labels]"', 'logits: "float16[batch, labels]"')
    text = complete("tasks: {fill-mask: {}, text-classification: {}}\n")
    (finding,) = lint_text(text, beside={"families/plain.yaml": family})
    assert (finding.rule, finding.span.source.name) == ("fixed-float", "specs/families/plain.yaml")
    assert finding.span.text == "float16"


CIRCULAR_DIM = {
    "itself": ("dims: {«hidden»: hidden + 1}\n", "hidden → hidden"),
    "two": ("dims: {«hidden»: labels + 1, labels: hidden - 1}\n", "hidden → labels → hidden"),
    "three, of which the last leads back": (
        "dims: {vocab: labels, «hidden»: width, width: labels * 2, labels: hidden // 2}\n",
        "hidden → width → labels → hidden",
    ),
    "through the family": ("dims: {«width»: hidden // 2, hidden: width * 2}\n", "width → hidden → width"),
    "derived": (
        "dims: {«rows»: {derived: columns // 2}, columns: {derived: rows * 2}}\n",
        "rows → columns → rows",
    ),
    "two circles": ("dims: {«hidden»: hidden + 1, «labels»: vocab, vocab: labels}\n", "hidden → hidden"),
}


@pytest.mark.parametrize(("text", "circle"), CIRCULAR_DIM.values(), ids=CIRCULAR_DIM)
def test_dims_in_a_circle_are_found_once(find_marked, text: str, circle: str):
    first, *_ = find_marked("circular-dim", text)
    assert first.message == f"the dims go in a circle: {circle}"


STRAIGHT_DIM = {
    "a chain": "dims: {vocab: hidden + labels, hidden: labels * 2, labels: config.labels}\n",
    "two ways to one dim": "dims: {vocab: hidden * labels, hidden: width, labels: width, width: 4}\n",
    "a key of the config that is called like the dim": "dims: {hidden: config.hidden}\n",
}


@pytest.mark.parametrize("text", STRAIGHT_DIM.values(), ids=STRAIGHT_DIM)
def test_dims_that_end_somewhere_are_no_circle(find_marked, text: str):
    find_marked("circular-dim", text)


def test_very_long_chains_of_dims_are_followed(find_marked):
    chain = ", ".join(f"d{number}: d{number + 1}" for number in range(400))
    find_marked("circular-dim", f"dims: {{{chain}, d400: 3}}\n")
    find_marked("circular-dim", f"dims: {{«d0»{chain.removeprefix('d0')}, d400: d0}}\n")
