from __future__ import annotations

import math

import pytest

from exporter.building.measuring import Measurement
from exporter.drafting.draft import Draft
from exporter.drafting.making import Wish, draft_spec, record_proof
from exporter.drafting.proving import Proof
from exporter.errors import UsageError


def never(question: str, choices: list[str], option: str) -> str:
    raise AssertionError(question)


def measured(share: float, worst: float = 2e-5, error: str | None = None) -> Measurement:
    return Measurement("a", "fill-mask", worst, share, "logits", 3.0, 1e-4, error)


def test_a_draft_has_no_findings_and_says_what_was_left_out():
    drafted = draft_spec(Wish("distilbert", build=False), never)
    assert drafted.passed
    assert "fill-mask: {}" in drafted.text
    assert drafted.draft.family == "encoder"
    assert "Drafted from the model" in drafted.text


def test_tasks_are_those_that_are_asked_for_by_any_of_their_names():
    drafted = draft_spec(Wish("distilbert", tasks=("masked-lm", "text-classification"), build=False), never)
    assert list(drafted.draft.tasks) == ["fill-mask", "text-classification"]


def test_an_unknown_family_is_refused():
    with pytest.raises(UsageError, match="there is no family 'encodr'"):
        draft_spec(Wish("distilbert", family="encodr", build=False), never)


def test_a_bound_that_was_exceeded_becomes_the_one_that_was_measured():
    draft = Draft("a", "encoder", {"tasks": {"fill-mask": {}}})
    record_proof(draft, Proof("fill-mask", "torchscript", measured(1.5, error="out of bounds")))
    assert draft.tasks["fill-mask"]["tolerances"]["float32"]["atol"] == pytest.approx(1.4e-4)
    assert "because" in draft.tasks["fill-mask"]["tolerances"]["float32"]


def test_the_tracer_is_named_where_it_is_not_the_usual_one():
    draft = Draft("a", "encoder", {"tasks": {"fill-mask": {}}})
    record_proof(draft, Proof("fill-mask", "dynamo", measured(0.5)))
    assert draft.tasks["fill-mask"]["tracer"]["use"] == "dynamo"


def test_a_task_that_no_tracer_builds_keeps_the_reason():
    draft = Draft("a", "encoder", {"tasks": {"fill-mask": {}}})
    record_proof(draft, Proof("fill-mask", None, measured(math.nan, error="an operator is missing")))
    assert "an operator is missing" in draft.remarks[("tasks", "fill-mask")]
