"""What a composed spec says of itself: its variants, its graphs, its notes, and configs laid over one another."""

from __future__ import annotations

from dataclasses import replace

import pytest

from exporter.errors import UsageError
from exporter.language.composing import compose_spec
from exporter.language.document import Data, parse_document
from exporter.language.spec import Expression, Note, Spec, TaskSpec, overlay_config
from exporter.language.text import Text

NOWHERE = Text("x.yaml", "").span(0, 0)


def compose(text: str) -> Spec:
    """Return the spec of an encoder-decoder with this reference and these tasks."""
    composed = compose_spec(parse_document(Text("specs/example.yaml", text)))
    assert composed.spec is not None
    assert not composed.diagnostics
    return composed.spec


SPEC = """\
spec_version: 1
architecture: example
extends: encoder-decoder
tasks: {text2text-generation: {}, text2text-generation-with-past: {}, text-generation: {}}
reference:
  config: {d_model: 32, vocab_size: 99, text: {width: 3, depth: 4}}
  variants: [{d_model: 40}, {text: {depth: 5}, tied: true}]
"""


@pytest.fixture(scope="module")
def spec() -> Spec:
    return compose(SPEC)


def graphs(task: TaskSpec) -> list[str]:
    return [graph.component_stem for graph in task.all_graphs]


def test_the_path_is_that_of_the_document(spec: Spec):
    assert spec.path == "specs/example.yaml"


def test_every_graph_of_every_form_is_listed_once(spec: Spec):
    assert graphs(spec.tasks["text-generation"]) == ["model"]
    assert graphs(spec.tasks["text2text-generation"]) == ["encoder_model", "decoder_model", "model"]
    # The encoder of the merged form is that of the other.
    assert graphs(spec.tasks["text2text-generation-with-past"]) == [
        "encoder_model",
        "decoder_model",
        "decoder_with_past_model",
        "model",
        "decoder_model_merged",
    ]


@pytest.mark.parametrize(
    ("component", "stem"),
    [
        ("model", "model"),
        ("encoder", "encoder_model"),
        ("decoder_with_past", "decoder_with_past_model"),
        ("decoder_model_merged", "decoder_model_merged"),
        ("remodel", "remodel_model"),
    ],
)
def test_a_component_has_the_file_name_that_runtimes_look_for(spec: Spec, component: str, stem: str):
    assert replace(spec.tasks["text-generation"].graphs[0], component=component).component_stem == stem


def test_a_variant_changes_the_reference_alone(spec: Spec):
    assert spec.with_variant(None) is spec
    assert spec.with_variant(1).reference == {**spec.reference, "d_model": 40}
    second = spec.with_variant(2)
    assert second.reference == {**spec.reference, "text": {"width": 3, "depth": 5}, "tied": True}
    assert replace(second, reference=spec.reference) == spec
    assert spec.reference["text"] == {"width": 3, "depth": 4}


@pytest.mark.parametrize("number", [0, -1, 3])
def test_a_variant_nobody_declares_is_refused(spec: Spec, number: int):
    with pytest.raises(UsageError) as failure:
        spec.with_variant(number)
    assert failure.value.message == f"the spec of 'example' has no variant {number}"
    assert failure.value.help == "it has 2, counted from 1"


def test_without_variants_the_answer_says_where_they_go(spec: Spec):
    with pytest.raises(UsageError) as failure:
        replace(spec, variants=()).with_variant(1)
    assert failure.value.help == "declare some under 'reference.variants'"


@pytest.mark.parametrize(
    ("text", "dims", "filled"),
    [
        ("up to {positions} tokens", ["positions"], "up to 512 tokens"),
        ("{heads} heads of {size}, {heads} times", ["heads", "size", "heads"], "4 heads of 8, 4 times"),
        ("no size at all", [], "no size at all"),
        ("a set {} and {a, b}", [], "a set {} and {a, b}"),
    ],
)
def test_a_note_tells_the_sizes_of_its_dims(text: str, dims: list[str], filled: str):
    note = Note(text, None, NOWHERE)
    assert note.dims == dims
    assert note.fill({"positions": 512, "heads": 4, "size": 8}) == filled


def test_places_make_no_two_specs_differ(spec: Spec):
    moved = compose(SPEC.replace("tasks: {", "tasks: {  ").replace("reference:", "\n\nreference:"))
    assert moved.digest != spec.digest
    assert moved.span != spec.span or moved.reference_spans != spec.reference_spans
    assert replace(moved, digest=spec.digest) == spec
    assert Expression("config.a", NOWHERE) == Expression("config.a", Text("y.yaml", "abc").span(1, 2))


@pytest.mark.parametrize(
    ("layers", "overlaid"),
    [
        ((), {}),
        (({"a": 1}, {"b": 2}), {"a": 1, "b": 2}),
        (({"a": 1}, {"a": 2}, {"a": 3}), {"a": 3}),
        (({"a": {"b": 1, "c": 2}}, {"a": {"c": 3}}), {"a": {"b": 1, "c": 3}}),
        (({"a": {"b": {"c": 1, "d": 2}}}, {"a": {"b": {"d": 3}}}), {"a": {"b": {"c": 1, "d": 3}}}),
        (({"a": [1, 2]}, {"a": [3]}), {"a": [3]}),
        (({"a": {"b": 1}}, {"a": 2}), {"a": 2}),
        (({"a": 1}, {"a": {"b": 2}}), {"a": {"b": 2}}),
        # In a config null is a value, such as the id of a token that a model does not have.
        (({"a": 1}, {"a": None}), {"a": None}),
        # The keys of one architecture mean nothing in another.
        (
            ({"a": {"model_type": "x", "b": 1}}, {"a": {"model_type": "y", "c": 2}}),
            {"a": {"model_type": "y", "c": 2}},
        ),
        (
            ({"a": {"model_type": "x", "b": 1}}, {"a": {"model_type": "x", "c": 2}}),
            {"a": {"model_type": "x", "b": 1, "c": 2}},
        ),
        (({"a": {"b": 1}}, {"a": {"model_type": "x"}}), {"a": {"b": 1, "model_type": "x"}}),
        (({"a": {"model_type": "x"}}, {"a": {"c": 2}}), {"a": {"model_type": "x", "c": 2}}),
    ],
)
def test_configs_are_laid_over_one_another_by_key(layers: tuple[dict[str, Data], ...], overlaid: dict[str, Data]):
    before = repr(layers)
    assert overlay_config(*layers) == overlaid
    assert repr(layers) == before
