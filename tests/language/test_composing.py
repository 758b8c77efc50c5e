"""Composition: what `extends`, `cache`, `components`, null and the order of layers mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.language.catalog import list_specs
from exporter.language.composing import compose_spec
from exporter.language.document import Data, load_document, parse_document
from exporter.language.spec import overlay_config
from exporter.language.text import Text

HEAD = "spec_version: 1\narchitecture: example\n"
TAIL = "reference:\n  config: {hidden_size: 32}\n"


def compose(text: str):
    composition = compose_spec(parse_document(Text("example.yaml", HEAD + text + TAIL)))
    assert not composition.diagnostics, composition.diagnostics
    return composition.spec


def names(tensors) -> list[str]:
    return [tensor.name for tensor in tensors]


def test_a_spec_takes_tasks_dims_and_tolerances_from_its_family():
    spec = compose("extends: encoder\ntasks: {fill-mask: {}}\n")
    (graph,) = spec.tasks["fill-mask"].graphs
    assert names(graph.inputs) == ["input_ids", "attention_mask", "token_type_ids"]
    assert names(graph.outputs) == ["logits"]
    assert spec.dims["batch"].trace == 2
    assert spec.tasks["fill-mask"].tolerances["bfloat16"].atol > spec.tasks["fill-mask"].tolerances["float32"].atol > 0
    assert spec.tasks["fill-mask"].auto_class == "AutoModelForMaskedLM"
    assert spec.tasks["fill-mask"].feature == "masked-lm"


def test_an_input_of_the_spec_comes_after_the_familys_and_null_removes_one():
    spec = compose(
        "extends: encoder\n"
        "inputs: {extra: 'int64[batch, sequence] = zeros'}\n"
        "tasks: {fill-mask: {inputs: {attention_mask: null}}, text-classification: {}}\n"
    )
    assert names(spec.tasks["fill-mask"].graphs[0].inputs) == ["input_ids", "token_type_ids", "extra"]
    assert names(spec.tasks["text-classification"].graphs[0].inputs) == [
        "input_ids",
        "attention_mask",
        "token_type_ids",
        "extra",
    ]


def test_a_partial_override_of_a_dim_keeps_the_rest():
    spec = compose("extends: encoder\ndims: {sequence: {check: [5, 21]}}\ntasks: {fill-mask: {}}\n")
    assert (spec.dims["sequence"].trace, spec.dims["sequence"].check) == (8, (5, 21))


def test_a_derived_dim_takes_the_place_of_a_fixed_one():
    spec = compose(
        "extends: image\n"
        "dims: {height: {trace: 8, check: [9]}, tokens: {derived: height // 2}}\n"
        "tasks: {feature-extraction: {}}\n"
    )
    assert spec.dims["tokens"].value.text == "height // 2"
    assert spec.dims["height"].trace == 8


def test_the_cache_comes_last_in_a_with_past_graph_and_not_at_all_in_the_other():
    spec = compose("extends: decoder\ntasks: {text-generation: {}, text-generation-with-past: {}}\n")
    plain, past = (spec.tasks[name].graphs[0] for name in ("text-generation", "text-generation-with-past"))
    assert names(plain.inputs) == ["input_ids", "attention_mask"]
    assert plain.constants == {"use_cache": False}
    assert names(past.inputs) == [
        "input_ids",
        "attention_mask",
        "past_key_values.{layer}.key",
        "past_key_values.{layer}.value",
    ]
    assert names(past.outputs) == ["logits", "present.{layer}.key", "present.{layer}.value"]
    assert [str(dim) for dim in past.inputs[1].type.dims] == ["batch", "past_sequence + sequence"]
    assert past.constants == {"use_cache": True}
    assert past.outputs[1].field == "past_key_values.{layer}.key"


def test_components_start_from_what_the_family_offers():
    spec = compose("extends: encoder-decoder\ntasks: {text2text-generation: {}, text2text-generation-with-past: {}}\n")
    plain, past = (spec.tasks[name].graphs for name in ("text2text-generation", "text2text-generation-with-past"))
    assert [graph.component for graph in plain] == ["encoder", "decoder"]
    assert [graph.component_stem for graph in past] == [
        "encoder_model",
        "decoder_model",
        "decoder_with_past_model",
    ]
    assert not plain[1].constants["use_cache"]
    assert past[1].constants["use_cache"]
    assert past[0].module == "encoder"
    assert names(past[2].built) == ["encoder_outputs.last_hidden_state"]


def test_the_merged_form_is_declared_once_for_the_family():
    spec = compose("extends: encoder-decoder\ntasks: {text2text-generation: {}, text2text-generation-with-past: {}}\n")
    assert spec.tasks["text2text-generation"].merged == ()
    merged = spec.tasks["text2text-generation-with-past"].merged
    assert [graph.component_stem for graph in merged] == ["encoder_model", "decoder_model_merged"]
    encoder, decoder = merged
    assert (encoder.patches, list(decoder.patches)) == ({}, ["split-axes"])
    assert list(decoder.refused) == ["dynamo"]
    states = next(tensor for tensor in decoder.inputs if tensor.name == "encoder_hidden_states")
    assert (states.argument, states.beyond) == ("encoder_outputs.last_hidden_state", "past_encoder_sequence")
    branch = next(tensor for tensor in decoder.inputs if tensor.name == "use_cache_branch")
    assert branch.argument == ""
    assert branch.unused


def test_a_task_can_define_itself():
    spec = compose(
        "extends: encoder\n"
        "dims: {spans: config.spans}\n"
        "tasks: {object-detection: {class: MyModel, outputs: {boxes: 'float[batch, spans]'}}}\n"
    )
    task = spec.tasks["object-detection"]
    assert (task.model_class, task.auto_class) == ("MyModel", None)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("extends: encoder\ndims: {sequence: {derived: batch + 1}}\ntasks: {fill-mask: {}}\n", "malformed-expression"),
        ("extends: encoder\ntasks: {image-classification: {}}\n", "unknown-task"),
        ("extends: encoder\ntasks: {fill-mask-with-past: {}}\n", "unknown-task"),
        ("extends: nothing\ntasks: {fill-mask: {}}\n", "unknown-family"),
        ("extends: encoder\ndims: {extra: {trace: 3}}\ntasks: {fill-mask: {}}\n", "missing-key"),
        ("extends: encoder\ntolerances: {float64: {atol: 1}}\ntasks: {fill-mask: {}}\n", "missing-key"),
    ],
)
def test_what_cannot_be_composed_is_a_finding(text, rule):
    composition = compose_spec(parse_document(Text("example.yaml", HEAD + text + TAIL)))
    assert [finding.rule for finding in composition.diagnostics] == [rule]


@pytest.mark.parametrize("path", list_specs(), ids=lambda path: path.stem)
def test_composing_is_deterministic_and_depends_on_both_texts(path: Path, tmp_path: Path):
    first, second = (compose_spec(load_document(path)).spec for _ in range(2))
    assert first == second
    assert first.digest == second.digest
    changed = compose_spec(parse_document(Text(str(path), path.read_text("utf-8") + "# more\n", path))).spec
    assert changed.digest != first.digest


def test_a_family_beside_the_spec_comes_first(specs: Path):
    family = specs / "families" / "encoder.yaml"
    family.write_text(
        family.read_text("utf-8").replace("{trace: 8, check: [13, 1]}", "{trace: 9, check: [13, 1]}"), "utf-8"
    )
    assert compose_spec(load_document(specs / "bert.yaml")).spec.dims["sequence"].trace == 9


def test_configs_overlay_by_key_and_a_part_of_another_architecture_replaces():
    under: dict[str, Data] = {"size": 1, "part": {"model_type": "one", "depth": 2, "width": 3}}
    assert overlay_config(under, {"part": {"depth": 4}}) == {
        **under,
        "part": {"model_type": "one", "depth": 4, "width": 3},
    }
    assert overlay_config(under, {"part": {"model_type": "one", "depth": 4}})["part"] == {
        "model_type": "one",
        "depth": 4,
        "width": 3,
    }
    assert overlay_config(under, {"part": {"model_type": "two", "depth": 4}})["part"] == {
        "model_type": "two",
        "depth": 4,
    }
