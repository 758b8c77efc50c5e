"""Parts of a plan in words."""

from __future__ import annotations

from dataclasses import replace

import exporter
from exporter.planning.plan import Axis, Bound, TensorPlan
from exporter.planning.words import bound_text, group_layers, recording_text, sizes_text, tensor_text


def tensor(name: str, *shape: int | str) -> TensorPlan:
    axes = tuple(axis if isinstance(axis, int) else Axis(axis) for axis in shape)
    return TensorPlan(name, "int64", axes, ())


def test_a_recording_is_its_opset_and_tracer_or_its_target():
    recording = exporter.plan("bert", "fill-mask").recording
    assert recording_text(recording) == "opset 18, torchscript tracer"
    assert recording_text(replace(recording, target="neuron", opset=None)) == "neuron"


def test_tensors_that_differ_by_their_layer_are_one_group():
    names = ["logits", "present.0.key", "present.0.value", "present.1.key", "present.1.value", "present.1.0.rest"]
    groups = group_layers(tensor(name) for name in names)
    assert {name: [member.name for member in group] for name, group in groups.items()} == {
        "logits": ["logits"],
        "present.0…1.key": ["present.0.key", "present.1.key"],
        "present.0…1.value": ["present.0.value", "present.1.value"],
        "present.1.0.rest": ["present.1.0.rest"],
    }


def test_the_only_layer_keeps_its_name():
    assert list(group_layers([tensor("present.0.key"), tensor("0"), tensor("a.0")])) == ["present.0.key", "0", "a.0"]


def test_a_tensor_is_written_as_in_specs():
    assert tensor_text(tensor("x", "batch", 4, "past + sequence")) == "int64[batch, 4, past + sequence]"
    assert tensor_text(tensor("x")) == "int64[]"


def test_a_bound_says_what_it_is_relative_to():
    assert bound_text(Bound(1e-5, 1e-4, "element", None)) == "1.0e-05 + 1.0e-04·|x|"
    assert bound_text(Bound(0.13, 0.05, "output", None)) == "1.3e-01 + 5.0e-02·max|x|"


def test_sizes_are_listed():
    assert sizes_text({"batch": 2, "sequence": 6}) == "batch 2, sequence 6"
    assert sizes_text({}) == "fixed sizes"
    assert sizes_text({}, "its one size") == "its one size"
