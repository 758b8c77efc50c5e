"""Plans, outcomes, reports and measurements as text and as data."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from exporter.building.measuring import Measurement
from exporter.building.pool import Outcome
from exporter.building.requests import Build
from exporter.cli.render.builds import (
    headline,
    measurement_data,
    measurement_line,
    outcome_data,
    outcome_line,
    plan_text,
    report_text,
    summarize,
)
from exporter.errors import UsageError
from exporter.models.checkpoints import Source
from exporter.planning.plan import Plan
from exporter.planning.words import sizes_text
from exporter.verification.report import Report


def test_a_headline_gathers_the_tasks_of_an_architecture(planned: Build):
    other = replace(planned, request=replace(planned.request, tasks=("text-generation",)))
    source = replace(planned, request=replace(planned.request, source=Source("there")), task_reason="from its config")
    assert headline([planned, other, source]) == [
        "Building bert from its reference, a tiny model with random weights (give --model for a checkpoint)",
        "  tasks: fill-mask, text-generation (asked for)",
        "Building bert from the checkpoint there",
        "  task: fill-mask (from its config)",
    ]


def test_an_outcome_is_a_line(built: Outcome):
    assert outcome_line(built) == "✓ bert fill-mask  2.3 s  verified, largest difference 10% of its bound  → out"
    assert outcome_line(replace(built, report=None)) == "✓ bert fill-mask  2.3 s  NOT VERIFIED  → out"
    assert outcome_line(replace(built, error=UsageError("no"))) == "✗ bert fill-mask  2.3 s"


UNPROVED = ("model: no output depends on 'attention_mask'", "model: no output depends on 'token_type_ids'")


def test_what_proves_nothing_is_never_called_verified(built: Outcome, report: Report):
    idle = replace(report, unproved=UNPROVED)
    line = outcome_line(replace(built, report=idle))
    assert line == f"! bert fill-mask  2.3 s  NOT PROVED: {UNPROVED[0]} (and 1 more)  → out"
    assert outcome_line(replace(built, report=replace(idle, unproved=UNPROVED[:1]))).endswith("'attention_mask'  → out")
    *_, verdict, first, second = summarize(replace(built, report=idle))
    assert verdict.startswith("  not proved in onnxruntime 1.0: 3 comparisons within ")
    assert (first.strip(), second.strip()) == UNPROVED
    _, verdict, *reasons = report_text(idle)
    assert verdict == "not proved in onnxruntime 1.0: 3 comparisons, atol 1.0e-05, rtol 1.0e-05"
    assert reasons == [f"not proved: {reason}" for reason in UNPROVED]
    data = outcome_data(replace(built, report=idle))
    assert (data["ok"], data["report"]["verdict"]) == (True, "not proved")


def test_a_summary_has_every_tensor_and_how_far_the_outputs_are(built: Outcome, plan: Plan):
    first, file, *rows, verified = summarize(built)
    assert first == "out  (BertForMaskedLM, float32, opset 18, torchscript tracer)"
    assert file == "  model.onnx  12.3 kB"
    assert [row.split()[:2] for row in rows] == [
        ["in", "input_ids"],
        ["in", "attention_mask"],
        ["in", "token_type_ids"],
        ["out", "logits"],
    ]
    assert rows[-1].endswith("  max difference 1.0e-06, 10% of its bound")
    sizes = "; ".join(sizes_text(point.sizes) for point in plan.sizes.points)
    assert verified.startswith("  verified in onnxruntime 1.0: 3 comparisons within 1.0e-05 + 1.0e-05·")
    assert verified.endswith(f" at {sizes}")


def test_a_summary_counts_weights_beside_the_graph_and_tells_of_notes_and_patches(built: Outcome, plan: Plan):
    recording = replace(plan.recording, patches={"kept-masks": "a mask would be dropped"})
    noted = replace(plan, notes=("the pooler is left out",), recording=recording)
    files = {"model.onnx": 1_000, "model.onnx_data": 2_000_000}
    lines = list(summarize(replace(built, plan=noted, report=None, files=files, remarks=("2 weights are left out",))))
    assert "  the checkpoint: 2 weights are left out" in lines
    assert lines[1] == "  model.onnx  2.0 MB"
    assert lines[-3:] == [
        "  note: the pooler is left out",
        "  recorded with the patch kept-masks: a mask would be dropped",
        "  not verified (--no-verify): nothing says that this graph computes what the model computes",
    ]


def test_a_build_that_failed_has_no_summary(built: Outcome):
    assert list(summarize(replace(built, plan=None, error=UsageError("no")))) == []


def test_a_report_shows_the_worst_of_each_output_and_its_verdict_if_good(report: Report):
    first, verdict = report_text(report)
    assert first == "model  logits  max difference 1.0e-06, 10% of its bound, at trace"
    assert verdict == "verified in onnxruntime 1.0: 3 comparisons, atol 1.0e-05, rtol 1.0e-05"
    worst = replace(report.comparisons[1], share=2.0, max_abs=2e-5)
    bad = replace(report, comparisons=(report.comparisons[0], worst))
    assert list(report_text(bad)) == ["model  logits  max difference 2.0e-05, 200% of its bound, at check 1"]


def test_a_plan_says_its_sizes_and_its_bound(plan: Plan):
    lines = list(plan_text(plan))
    assert lines[0] == "bert fill-mask  (AutoModelForMaskedLM, float32, opset 18, torchscript tracer)"
    assert lines[-4:-1] == [f"  {point.name}: {sizes_text(point.sizes)}" for point in plan.sizes.points]
    assert lines[-1].startswith("  within 1.0e-05 + 1.0e-05·")
    fixed = replace(plan, sizes=replace(plan.sizes, points=(replace(plan.sizes.trace, sizes={}),)))
    assert "  trace: fixed sizes" in list(plan_text(fixed))


@pytest.mark.parametrize(
    ("path", "beyond", "ending"),
    [
        (("input_ids",), None, ""),
        (("encoder_outputs", 0), None, "  as encoder_outputs.0"),
        (("encoder_outputs", 0), "past_encoder_sequence", "  as encoder_outputs.0, beyond past_encoder_sequence"),
        ((), None, "  for clients alone"),
    ],
)
def test_a_plan_says_what_the_model_is_passed_of_an_input(
    plan: Plan, path: tuple[int | str, ...], beyond: str | None, ending: str
):
    graph = plan.graphs[0]
    tensor = replace(graph.inputs[0], path=path, beyond=beyond)
    lines = list(plan_text(replace(plan, graphs=(replace(graph, inputs=(tensor,)),))))
    assert lines[2] == f"    in    input_ids: int64[batch, sequence] = randint(99){ending}"


GOOD = Measurement("bert", "fill-mask", 1e-6, 0.5, "logits", 2.0, 1e-6, None)


@pytest.mark.parametrize(
    ("measurement", "ending"),
    [
        (GOOD, "the spec's bound is good (50% used)"),
        (replace(GOOD, share=0.01), "the spec's bound is too loose (1% used)"),
        # The verification failed because the bound is too tight, which is the verdict.
        (replace(GOOD, share=2.0, error="it failed:\n  logits differ"), "the spec's bound is too tight (200% used)"),
        (replace(GOOD, error="it failed:\n  an axis is baked in\n"), "is good (50% used); an axis is baked in"),
    ],
)
def test_a_measurement_says_what_bound_it_supports(measurement: Measurement, ending: str):
    line = measurement_line(measurement)
    assert line.startswith("bert fill-mask  ")
    assert "logits differs by 1.0e-06, values reach 2; supports {atol: 7.0e-06, rtol: 7.0e-06}; " in line
    assert line.endswith(ending)


def test_what_could_not_be_measured_says_why():
    lost = replace(GOOD, output="", worst=math.nan, share=math.nan, error="\nthe tracer fails\nsomewhere")
    assert measurement_line(lost).split(None, 2)[2] == "not measured: the tracer fails"
    assert measurement_line(replace(lost, error=None)).endswith("not measured: no comparison")
    assert measurement_data(lost)["verdict"] == "unknown"


def test_data_of_a_measurement_and_an_outcome_is_json(built: Outcome):
    assert json.loads(json.dumps(measurement_data(GOOD)))["suggested"] == 7e-06
    data = json.loads(json.dumps(outcome_data(built)))
    assert (data["ok"], data["output"], data["seconds"]) == (True, str(Path("out")), 2.345)
    assert Plan.from_data(data["plan"]) == built.plan
    assert Report.from_data(data["report"]) == built.report
    failed = outcome_data(replace(built, plan=None, report=None, error=UsageError("no", help="ask again")))
    assert failed["error"] == {"kind": "UsageError", "message": "no", "help": "ask again", "findings": []}
    assert (failed["ok"], failed["plan"], failed["report"]) == (False, None, None)
