"""What verification measured, and the verdict: what passes, and how a failure is told."""

from __future__ import annotations

import dataclasses
import math

import exporter
from exporter.verification.report import Comparison, Report, VerificationError

SIZES = {"trace": {"batch": 2}, "check 1": {"batch": 1}, "check 2": {"batch": 3}}


def comparison(output: str, point: str, share: float, problem: str | None = None) -> Comparison:
    """Return a comparison whose worst element is ``share`` times its bound of 1e-3 away."""
    return Comparison(
        graph="model",
        output=output,
        point=point,
        sizes=SIZES[point],
        seed=0,
        shape=(2, 3),
        max_abs=share * 1e-3,
        share=share,
        outside=int(share > 1),
        magnitude=1.0,
        where=(0, 0),
        problem=problem,
    )


def report(*comparisons: Comparison, problems: tuple[str, ...] = ()) -> Report:
    return Report("onnxruntime 1", 1e-3, 0.0, comparisons, problems)


def test_a_failure_says_which_sizes_pass():
    shares = {"trace": 0.1, "check 1": 40, "check 2": 50}
    baked = report(*(comparison("logits", point, share) for point, share in shares.items()))
    (line,) = baked.failures()
    assert "passes at the traced sizes only: an axis was baked in" in line
    assert "50 times its bound" in line
    assert "batch 3" in line
    nowhere = report(comparison("logits", "trace", 2))
    assert "passes nowhere" in nowhere.failures()[0]
    assert not nowhere.passed
    elsewhere = report(comparison("logits", "trace", 2), comparison("logits", "check 1", 0.5))
    assert elsewhere.failures()[0].endswith("it passes at check 1")


def test_the_worst_failures_come_first():
    failed = report(
        comparison("a", "trace", 2),
        comparison("b", "trace", 30),
        comparison("c", "trace", 0, problem="the runtime fails: out of memory"),
    )
    lines = failed.failures()
    assert lines[0] == "model: 'c' at batch 2: the runtime fails: out of memory"
    assert "'b' differs" in lines[1]
    assert "'a' differs" in lines[2]


def test_structure_problems_come_first_and_fail():
    opset = "model.onnx has opset 17, and 18 was asked for"
    wrong = report(comparison("logits", "trace", 0.1), problems=(opset,))
    assert not wrong.passed
    assert wrong.failures() == [opset]


def test_a_report_without_comparisons_never_passes():
    assert not report().passed
    assert report().failures() == ["nothing was compared"]
    assert report(problems=("model.pt has changed",)).failures() == ["model.pt has changed"]


def test_a_difference_as_large_as_its_bound_passes():
    assert comparison("logits", "trace", 1.0).passed
    assert not comparison("logits", "trace", math.nextafter(1.0, 2.0)).passed
    assert comparison("logits", "trace", 0.0, problem="wrong shape").badness == math.inf


def test_the_worst_of_each_output_is_reported():
    shares = (("a", "trace", 0.2), ("a", "check 1", 0.7), ("b", "trace", 0.1))
    measured = report(*(comparison(name, point, share) for name, point, share in shares))
    assert {output: worst.share for (_, output), worst in measured.worst().items()} == {"a": 0.7, "b": 0.1}
    summary = measured.summary
    assert (summary["passed"], summary["comparisons"]) == (True, 3)
    assert [(worst["output"], worst["point"]) for worst in summary["worst"]] == [("a", "check 1"), ("b", "trace")]


def test_a_report_survives_being_data():
    open_dims = {"model": {"batch": "dynamic"}}
    measured = dataclasses.replace(report(comparison("a", "trace", 0.2)), open_dims=open_dims)
    data = measured.to_data()
    assert data["passed"] is True
    assert Report.from_data(data) == measured


def test_the_error_carries_the_report_and_tells_the_worst():
    plan = exporter.plan("distilbert", "feature-extraction")
    failed = report(*(comparison(f"output {number}", "trace", number + 2) for number in range(30)))
    error = VerificationError.of(failed, plan)
    lines = error.message.splitlines()
    assert lines[0] == "distilbert feature-extraction failed verification (atol 0.001, rtol 0):"
    assert "'output 29'" in lines[1]
    assert len(lines) == 21
    assert error.report is failed
    assert error.exit_code == 1


def test_good_comparisons_that_prove_nothing_pass_and_are_not_called_verified():
    good = report(comparison("logits", "trace", 0.1))
    idle = dataclasses.replace(good, unproved=("model: 'logits' is zero, whatever the inputs",))
    assert (good.verdict, idle.verdict, report().verdict) == ("verified", "not proved", "failed")
    assert idle.passed
    assert (idle.summary["verdict"], idle.summary["unproved"]) == ("not proved", list(idle.unproved))
    data = idle.to_data()
    assert data["verdict"] == "not proved"
    assert Report.from_data(data) == idle
