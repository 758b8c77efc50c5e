from __future__ import annotations

from exporter.drafting.draft import Draft, places_of


def test_dropping_a_value_drops_what_it_leaves_empty():
    draft = Draft("a", "encoder")
    draft.put(("inputs", "mask"), None, "why")
    draft.put(("tasks", "fill-mask", "tolerances"), {})
    draft.drop(("inputs", "mask"))
    assert "inputs" not in draft.parts
    assert draft.remarks == {}


def test_a_task_stays_when_nothing_is_said_of_it_any_more():
    draft = Draft("a", "encoder")
    draft.put(("tasks", "fill-mask", "tracer"), {})
    draft.drop(("tasks", "fill-mask", "tracer"))
    assert draft.tasks == {"fill-mask": {}}


def test_a_task_is_left_out_with_its_remarks():
    draft = Draft("a", "encoder")
    draft.put(("tasks", "fill-mask", "tracer"), {}, "why")
    draft.leave_out("fill-mask")
    assert draft.tasks == {}
    assert draft.remarks == {}


def test_inputs_are_found_wherever_a_document_has_them():
    document = {
        "inputs": {"mask": "int64[batch]"},
        "cache": {"inputs": {"mask": "int64[batch]"}},
        "tasks": {"fill-mask": {"inputs": {"mask": None, "ids": "int64[batch]"}}},
    }
    assert list(places_of(document, "inputs", "mask")) == [("inputs", "mask"), ("cache", "inputs", "mask")]
