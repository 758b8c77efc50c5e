"""The lines of the earlier system, from a report."""

from __future__ import annotations

from dataclasses import replace

from exporter.onnx.lines import validation_lines
from exporter.verification.report import Comparison, Report

GOOD = Comparison("model", "logits", "trace", {"batch": 2}, 0, (2, 7), max_abs=1e-7, share=0.1, magnitude=3.0)
FAR = Comparison("model", "logits", "check 1", {"batch": 1}, 0, (1, 7), max_abs=1.0, share=99.0, outside=7)
OTHER = Comparison("model", "boxes", "trace", {"batch": 2}, 0, (2, 4), problem="the shape is [2, 4]")


def test_a_failed_verification_says_which_values_and_which_shape():
    problems = ("model.onnx has opset 12, and 11 was asked for",)
    report = Report("onnxruntime", 1e-4, 0.0, (GOOD, OTHER, FAR), problems)
    assert list(validation_lines(report)) == [
        "Validating ONNX model...",
        '\t- Validating ONNX Model output "logits":',
        "\t\t-[✓] (2, 7) matches (2, 7)",
        "\t\t-[x] values not close enough (atol: 0.0001)",
        '\t- Validating ONNX Model output "boxes":',
        "\t\t-[x] the shape is [2, 4]",
        "\t-[x] model.onnx has opset 12, and 11 was asked for",
    ]


def test_every_graph_is_validated_apart(ticked):
    encoder = replace(GOOD, graph="encoder", output="last_hidden_state")
    report = Report("onnxruntime", 1e-4, 0.0, (encoder, GOOD), ())
    expected = [*ticked({"last_hidden_state": (2, 7)}, "0.0001"), *ticked({"logits": (2, 7)}, "0.0001")]
    assert list(validation_lines(report)) == expected


def test_a_report_without_comparisons_has_its_problems_only():
    assert list(validation_lines(Report("onnxruntime", 1e-4, 0.0, (), ("no file",)))) == ["\t-[x] no file"]
