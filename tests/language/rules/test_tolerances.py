"""EXP5: bounds without a reason, and references that cannot tell one dim from another."""

from __future__ import annotations

import pytest

LOOSE = {
    "an absolute bound": ("tolerances: {«float32»: {atol: 1.1e-4}}\n", "atol 0.00011, rtol 1e-05"),
    "a relative bound": ("tolerances: {«float32»: {rtol: 1.1e-3}}\n", "atol 1e-05, rtol 0.0011"),
    "a bound of half precision": ("tolerances: {«float16»: {atol: 0.021}}\n", "atol 0.021, rtol 0.01"),
    "a bound of the other half precision": (
        "tolerances: {«bfloat16»: {atol: 0.1, rtol: 0.11}}\n",
        "atol 0.1, rtol 0.11",
    ),
    "no bound at all": ("tolerances: {«float32»: {atol: .inf}}\n", "atol inf, rtol 1e-05"),
    "a bound of one task": (
        "tasks: {fill-mask: {tolerances: {«float32»: {atol: 1}}}, text-classification: {}}\n",
        "atol 1, rtol 1e-05",
    ),
}


@pytest.mark.parametrize(("text", "bound"), LOOSE.values(), ids=LOOSE)
def test_a_loose_bound_without_a_reason_is_found(find_marked, text: str, bound: str):
    (finding,) = find_marked("loose-tolerance", text)
    assert f"({bound}) is above its ceiling" in finding.message


TIGHT = {
    "just the ceiling": "tolerances: {float32: {atol: 1.0e-4, rtol: 1.0e-3}, float16: {atol: 2.0e-2, rtol: 2.0e-2}}\n",
    "the other ceiling": "tolerances: {bfloat16: {atol: 0.1, rtol: 0.1}}\n",
    "a reason": "tolerances: {float32: {atol: 1, because: scores are sums of 30000 terms}}\n",
    "none of either": "tolerances: {float32: {atol: 0, rtol: 0}}\n",
}


@pytest.mark.parametrize("text", TIGHT.values(), ids=TIGHT)
def test_a_tight_bound_or_one_with_its_reason_is_not_found(find_marked, text: str):
    find_marked("loose-tolerance", text)


def test_a_bound_of_several_tasks_is_found_once(find_marked):
    find_marked(
        "loose-tolerance",
        "tolerances: {«float32»: {atol: 1}}\ntasks: {fill-mask: {}, text-classification: {}}\n",
    )


def test_the_reason_of_a_family_holds_until_the_spec_takes_it_back(find_marked, family_text):
    family = family_text.replace("{atol: 1.0e-5, rtol: 1.0e-5}", "{atol: 1.0, rtol: 1.0e-5, because: it was measured}")
    find_marked("loose-tolerance", "", {"families/plain.yaml": family})
    find_marked("loose-tolerance", "tolerances: {«float32»: {because: null}}\n", {"families/plain.yaml": family})


WIDE = "tasks: {fill-mask: {outputs: {states: 'float[batch, wide]'}}}\n"
AMBIGUOUS = {
    "a fixed dim and the trace size of a dynamic one": (
        "reference: {config: {hidden_size: 32, «vocab_size»: 8}}\n",
        "'sequence' and 'vocab' are both 8",
    ),
    "two fixed dims": (
        f"dims: {{wide: config.width}}\n{WIDE}reference: {{config: {{vocab_size: 99, «width»: 99, hidden_size: 8}}}}\n",
        "'vocab' and 'wide' are both 99",
    ),
    "an expression": (
        f"dims: {{wide: config.width // 2}}\n{WIDE}reference: {{config: {{vocab_size: 99, «width»: 198}}}}\n",
        "'vocab' and 'wide' are both 99",
    ),
    "a key that begins like another": (
        f"dims: {{wide: config.width}}\n{WIDE}reference: {{config: {{vocab_size: 99, w: 1, wid: 2, «width»: 99}}}}\n",
        "'vocab' and 'wide' are both 99",
    ),
    "a number, which no key of the reference gives": (
        f"dims: {{wide: 8}}\n{WIDE}«reference»: {{config: {{vocab_size: 99}}}}\n",
        "'sequence' and 'wide' are both 8",
    ),
    "a dim through another": (
        (
            f"dims: {{half: config.width // 2, wide: half * 2 + 1}}\n{WIDE}"
            "«reference»: {config: {vocab_size: 99, width: 99}}\n"
        ),
        "'vocab' and 'wide' are both 99",
    ),
    "a derived dim": (
        f"dims: {{wide: {{derived: sequence * 2}}}}\n{WIDE}«reference»: {{config: {{vocab_size: 16}}}}\n",
        "'vocab' and 'wide' are both 16",
    ),
    "a config of the task alone": (
        (
            "tasks: {fill-mask: {reference: {config: {vocab_size: 8}}}}\n"
            "reference: {config: {hidden_size: 32, «vocab_size»: 99}}\n"
        ),
        "'sequence' and 'vocab' are both 8",
    ),
    "a part of a config": (
        f"dims: {{wide: config.text.width}}\n{WIDE}reference: {{config: {{vocab_size: 9, «text»: {{width: 9}}}}}}\n",
        "'vocab' and 'wide' are both 9",
    ),
}


@pytest.mark.parametrize(("text", "message"), AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_two_dims_of_one_size_are_found_at_the_key_that_sets_it(find_marked, text: str, message: str):
    (finding,) = find_marked("ambiguous-reference", text)
    assert finding.message.startswith(message)


UNAMBIGUOUS = {
    "dims of different sizes": "",
    "two dims bound alike": (f"dims: {{wide: config.vocab_size}}\n{WIDE}reference: {{config: {{vocab_size: 99}}}}\n"),
    "a size that no graph has": "reference: {config: {hidden_size: 8, vocab_size: 99}}\n",
    "one size in two tasks": (
        "dims: {labels: config.labels}\n"
        "tasks: {fill-mask: {}, text-classification: {}}\n"
        "reference: {config: {vocab_size: 99, labels: 99}}\n"
    ),
    "a size that the config's defaults tell": (
        f"dims: {{wide: config.width}}\n{WIDE}reference: {{config: {{vocab_size: 99}}}}\n"
    ),
    "as many layers as rows in a batch": (
        "dims: {layers: config.depth}\n"
        "inputs:\n  x.{layer}: {type: 'float[batch, sequence] = randn', argument: y}\n"
        "reference: {config: {vocab_size: 99, depth: 2}}\n"
    ),
}


@pytest.mark.parametrize("text", UNAMBIGUOUS.values(), ids=UNAMBIGUOUS)
def test_dims_that_a_swap_would_show_are_not_found(find_marked, text: str):
    find_marked("ambiguous-reference", text)


def test_as_many_layers_as_another_fixed_dim_are_found(find_marked):
    (finding,) = find_marked(
        "ambiguous-reference",
        "dims: {layers: config.depth}\n"
        "inputs:\n  x.{layer}: {type: 'float[batch, sequence] = randn', argument: y}\n"
        "reference: {config: {vocab_size: 4, «depth»: 4}}\n",
    )
    assert finding.message.startswith("'vocab' and 'layers' are both 4")


def override(dim: str, config: str) -> str:
    """Return a spec that binds ``hidden`` anew and has an output with it, and the config of its reference."""
    task = "{fill-mask: {outputs: {states: 'float[batch, hidden]'}}}"
    return f"dims: {{{dim}}}\ntasks: {task}\nreference: {{config: {{{config}}}}}\n"


UNTESTED = {
    "another key of the same size": override("«hidden»: config.width", "hidden_size: 5, width: 5"),
    "an expression of the same value": override("«hidden»: config.heads * 2", "hidden_size: 6, heads: 3"),
    "a number for a key": override("«hidden»: 5", "hidden_size: 5"),
}


@pytest.mark.parametrize("text", UNTESTED.values(), ids=UNTESTED)
def test_an_override_that_changes_nothing_in_the_reference_is_found(find_marked, text: str):
    (finding,) = find_marked("untested-override", text)
    assert "in the reference by the family's 'config.hidden_size' as well" in finding.message


TESTED = {
    "another size": override("hidden: config.width", "hidden_size: 5, width: 4"),
    "a size only transformers knows": override("hidden: config.width", "hidden_size: 5"),
    "a family's size only transformers knows": override("hidden: config.width", "width: 5"),
    "a dynamic dim for a fixed one": override("hidden: {trace: 5, check: [4]}", "hidden_size: 5"),
    "a dim of the spec alone": f"dims: {{wide: config.width}}\n{WIDE}reference: {{config: {{width: 5}}}}\n",
    "a dim taken away": "dims: {labels: null}\n",
}


@pytest.mark.parametrize("text", TESTED.values(), ids=TESTED)
def test_an_override_that_the_reference_shows_is_not_found(find_marked, text: str):
    find_marked("untested-override", text)
