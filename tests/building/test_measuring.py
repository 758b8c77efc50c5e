"""`exporter measure`: the worst difference, the bound that supports, and whether the spec's bound fits."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from commands import SPECS, read_answer

from exporter.building import measuring
from exporter.building.measuring import LOOSEST, MARGIN, Measurement, measure, measurement_of, round_up
from exporter.building.pool import Outcome
from exporter.building.requests import Build, plan_builds
from exporter.cli.main import cli
from exporter.cli.render.builds import measurement_line
from exporter.errors import ExportError
from exporter.verification.report import Comparison, Report, VerificationError


@pytest.mark.parametrize(
    ("value", "rounded"),
    [
        (0.0, 0.0),
        (-1.0, 0.0),
        (math.nan, 0.0),
        (math.inf, 0.0),
        (1.0, 1.0),
        (1e-6, 1e-6),
        (1.01e-6, 1.1e-6),
        (1.92e-6, 2e-6),
        (2e-6, 2e-6),
        (2.01e-6, 3e-6),
        (9.5e-6, 1e-5),
        (0.13, 0.13),
        (41.0, 50.0),
    ],
)
def test_a_bound_is_rounded_up_to_a_digit_or_two(value: float, rounded: float):
    assert round_up(value) == pytest.approx(rounded, rel=1e-12)
    assert round_up(value) >= value or not math.isfinite(value) or value < 0


def build_of_bert() -> Build:
    (build,) = plan_builds(["bert"], {"tasks": ("fill-mask",)})
    return build


def compared(output: str, scaled: float, share: float, problem: str | None = None) -> Comparison:
    return Comparison(
        "model",
        output,
        "trace",
        {"batch": 2},
        0,
        (2, 8),
        max_abs=scaled * 3,
        share=share,
        scaled=scaled,
        magnitude=2.0,
        problem=problem,
    )


def measured(*comparisons: Comparison, error: str | None = None) -> Measurement:
    report = Report("onnxruntime", 1e-5, 1e-5, comparisons, ())
    failure = VerificationError(error, report=report) if error is not None else None
    return measurement_of(Outcome(build_of_bert(), 0.1, report=report, error=failure))


def test_a_measurement_is_of_the_worst_comparison():
    measurement = measured(compared("logits", 2e-6, 0.3), compared("hidden", 3e-6, 0.2), compared("logits", 1e-6, 0.1))
    assert (measurement.architecture, measurement.task) == ("bert", "fill-mask")
    assert (measurement.output, measurement.worst, measurement.difference) == ("hidden", 3e-6, 9e-6)
    assert measurement.magnitude == 2.0
    # The bound of each output is its own, so the largest share may be another's.
    assert measurement.share == 0.3
    assert measurement.suggested == pytest.approx(3e-5)
    assert measurement.suggested >= MARGIN * measurement.worst
    assert measurement.error is None


@pytest.mark.parametrize(
    ("share", "verdict"),
    [
        (12.0, "too tight"),
        (1.0001, "too tight"),
        (1.0, "good"),
        (0.5, "good"),
        (1 / LOOSEST, "good"),
        (0.0999, "too loose"),
        (0.0, "too loose"),
        (math.inf, "too tight"),
    ],
)
def test_a_bound_is_good_between_the_worst_difference_and_ten_times_it(share: float, verdict: str):
    assert measured(compared("logits", 1e-6, share)).verdict == verdict


def test_what_cannot_be_compared_is_left_out():
    broken = compared("hidden", 0.0, 0.0, problem="values that are not finite")
    measurement = measured(broken, compared("logits", 1e-6, 0.4), error="the graph failed\nand more")
    assert (measurement.output, measurement.verdict) == ("logits", "good")
    assert measurement.error == "the graph failed\nand more"
    assert measurement_line(measurement).endswith("and more")


@pytest.mark.parametrize("comparisons", [(), (compared("hidden", 0.0, 0.0, problem="a wrong shape"),)])
def test_without_a_comparison_nothing_is_known(comparisons: tuple[Comparison, ...]):
    measurement = measured(*comparisons, error="a wrong shape")
    assert measurement.verdict == "unknown"
    assert math.isnan(measurement.worst)
    assert math.isnan(measurement.share)
    assert measurement.suggested == 0
    assert "not measured: a wrong shape" in measurement_line(measurement)


def test_a_build_that_fails_before_it_is_verified_is_not_measured():
    measurement = measurement_of(Outcome(build_of_bert(), 0.1, error=ExportError("the tracer failed")))
    assert (measurement.verdict, measurement.output, measurement.error) == ("unknown", "", "the tracer failed")


def test_builds_are_measured_in_a_place_that_is_gone_afterwards(monkeypatch: pytest.MonkeyPatch):
    built: list[Build] = []

    def run(builds: list[Build], on_stage: Any) -> Iterator[Outcome]:
        for build in builds:
            built.append(build)
            build.output.mkdir(parents=True)
            on_stage(build, "measuring")
            yield Outcome(build, 0.1, report=Report("onnxruntime", 1, 1, (compared("logits", 1e-6, 0.5),), ()))

    monkeypatch.setattr(measuring, "run_builds", run)
    stages: list[tuple[str, str]] = []
    given = {"tasks": ("fill-mask", "default"), "opset": 17}
    measurements = list(measure(["bert"], given, lambda build, text: stages.append((build.task, text))))
    assert [each.task for each in measurements] == ["fill-mask", "feature-extraction"]
    assert stages == [("fill-mask", "measuring"), ("feature-extraction", "measuring")]
    for build in built:
        assert build.request.verify
        assert build.request.options.opset == 17
        assert not build.output.exists()
        assert not build.output.is_relative_to(Path.cwd())


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    """A directory for copies of a spec, beside the families it extends."""
    shutil.copytree(SPECS / "families", tmp_path / "specs" / "families")
    return tmp_path / "specs"


def write_builds(catalogue: Path, specs: dict[str, str]) -> Path:
    """Write a build file with an entry for each of some specs."""
    lines = ["spec_version: 1", "kind: build", "builds:"]
    for name, text in specs.items():
        (catalogue / f"{name}.yaml").write_text(text, "utf-8")
        lines.append(f"- {{spec: {name}.yaml, output: {name}, tasks: [fill-mask]}}")
    path = catalogue / "builds.yaml"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


@pytest.mark.usefixtures("shared_worker")
def test_measure_tells_which_bounds_fit(catalogue: Path):
    bert = (SPECS / "bert.yaml").read_text("utf-8")

    def with_bound(atol: float, rtol: float) -> str:
        return bert.replace(
            "  fill-mask: {}", f"  fill-mask: {{tolerances: {{float32: {{atol: {atol}, rtol: {rtol}}}}}}}"
        )

    path = write_builds(
        catalogue,
        {
            "loose": with_bound(1e-4, 1e-3),
            "tight": with_bound(1e-12, 1e-12),
            "unsound": bert.replace("config.type_vocab_size", "config.no_such_size"),
        },
    )
    result = CliRunner().invoke(cli, ["measure", str(path), "--json"], standalone_mode=False)
    assert result.return_value == 1, result.output
    loose, tight, unsound = read_answer(result.stdout, ok=False)["measurements"]
    assert [each["verdict"] for each in (loose, tight, unsound)] == ["too loose", "too tight", "unknown"]
    assert "no_such_size" in unsound["error"]
    assert "failed verification" in tight["error"]
    assert loose["error"] is None
    assert (loose["output"], loose["worst"] < 1e-4, loose["worst"] > 0) == ("logits", True, True)
    assert not (catalogue / "artifacts").exists()

    # The bound that one measurement suggests is good in the next.
    path = write_builds(catalogue, {"good": with_bound(loose["suggested"], loose["suggested"])})
    result = CliRunner().invoke(cli, ["measure", str(path)], standalone_mode=False)
    assert result.return_value == 0, result.output
    (line,) = result.stdout.splitlines()
    assert line.startswith("bert fill-mask ")
    assert "the spec's bound is good" in line
