"""One way to verify: structure, probes, every file at every sample, the session that ships, and feeble references."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

import exporter
from exporter.planning.plan import Plan
from exporter.planning.target import Target
from exporter.steps import Step
from exporter.targets import registry
from exporter.verification.comparison import Sample
from exporter.verification.expected import LiveModel
from exporter.verification.verify import verify_artifact

FILES = ("model.stub", "model.compiled.stub")
# The ids and the mask, each of which is changed alone to see whether the outputs depend on it.
CHANGES = 2


def compute(inputs):
    """Stand for a model that gives hidden states ``[batch, sequence, 2]``, all of them 1 or more."""
    states = inputs["input_ids"] % 5 + inputs["attention_mask"]
    return [(states[..., None] + [[[1, 2]]]).astype("float32")]


@dataclasses.dataclass
class Runtime:
    """What the stub target did, and how its sessions and checks are to behave."""

    opened: list[tuple[str, bool]] = dataclasses.field(default_factory=list)
    ran: list[tuple[str, bool, tuple[int, ...]]] = dataclasses.field(default_factory=list)
    answer: Callable[..., Any] = compute
    problems: list[str] = dataclasses.field(default_factory=list)
    ships_another: bool = True

    def open_session(self, path: Path, plan: Plan, *, shipped: bool = False):
        self.opened.append((path.name, shipped))
        return StubSession(self, path.name, shipped)

    def record(self, **more: object) -> Target:
        return Target(
            name="stub",
            suffix=".stub",
            library="stub",
            card_template=Path("card.md.jinja"),
            load_exporter=lambda: pytest.fail("nothing is exported here"),
            open_session=self.open_session,
            check_structure=lambda directory, graph, plan: self.problems,
            has_shipped_form=lambda path, plan: self.ships_another,
            **more,
        )


class StubSession:
    def __init__(self, runtime: Runtime, file: str, shipped: bool) -> None:
        self.name = "stub 1.0, shipped" if shipped else "stub 1.0"
        self.runtime, self.file, self.shipped = runtime, file, shipped

    def run(self, inputs):
        self.runtime.ran.append((self.file, self.shipped, inputs["input_ids"].shape))
        return self.runtime.answer(inputs)


@pytest.fixture(scope="module")
def plan() -> Plan:
    """A small plan of one graph in two files, for a reference, with probes."""
    plan = exporter.plan("distilbert", "feature-extraction", target="torchscript")
    (graph,) = plan.graphs
    (output,) = graph.outputs
    outputs = (dataclasses.replace(output, shape=(*output.shape[:2], 2)),)
    graph = dataclasses.replace(graph, file=FILES[0], files=FILES, outputs=outputs)
    recording = dataclasses.replace(plan.recording, target="stub")
    return dataclasses.replace(plan, graphs=(graph,), recording=recording)


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Runtime:
    runtime = Runtime()
    monkeypatch.setattr(registry, "TARGETS", {"stub": runtime.record()})
    return runtime


EXPECTED = LiveModel({"model": compute})


@dataclasses.dataclass
class Remembered:
    """Stands for golden vectors: samples without a model."""

    remembered: list[Sample]
    is_live = False

    def samples(self, graph, sizes):
        yield from self.remembered

    def count(self, sizes):
        return len(self.remembered)

    def probe(self, graph, point, seed):
        return None


def test_every_file_runs_at_every_point_and_the_shipped_session_at_the_traced_one(runtime, plan, tmp_path):
    report = verify_artifact(tmp_path, plan, EXPECTED)
    assert report.passed
    assert report.runtime == "stub 1.0, stub 1.0, shipped"
    assert runtime.opened == [(file, shipped) for file in FILES for shipped in (False, True)]
    traced = tuple(plan.sizes.trace.sizes.values())
    for file in FILES:
        shapes = [shape for ran, shipped, shape in runtime.ran if ran == file and not shipped]
        points = [tuple(point.sizes.values()) for point in plan.sizes.points for _ in range(2)]
        assert shapes == ([traced] * CHANGES if file == FILES[0] else []) + points
        assert [shape for ran, shipped, shape in runtime.ran if ran == file and shipped] == [traced]
    assert len(report.comparisons) == len(runtime.ran) - CHANGES
    assert report.open_dims == {}


def test_a_session_of_its_own_is_opened_only_where_users_get_one(runtime, plan, tmp_path):
    runtime.ships_another = False
    report = verify_artifact(tmp_path, plan, EXPECTED)
    assert report.passed
    assert report.runtime == "stub 1.0"
    assert runtime.opened == [(file, False) for file in FILES]


def test_a_structure_that_is_not_as_planned_fails_beside_good_numbers(runtime, plan, tmp_path):
    runtime.problems = ["model.stub has another name"]
    report = verify_artifact(tmp_path, plan, EXPECTED)
    assert not report.passed
    assert report.problems == ("model.stub has another name",)
    assert all(comparison.passed for comparison in report.comparisons)


def test_only_a_probed_target_is_probed_and_only_beside_the_model(runtime, plan, tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "TARGETS", {"stub": runtime.record(probed=True)})
    report = verify_artifact(tmp_path, plan, EXPECTED)
    assert report.open_dims == {"model": {"batch": "dynamic", "sequence": "dynamic"}}
    assert runtime.opened[0] == (FILES[0], False)

    @dataclasses.dataclass(frozen=True)
    class Remembered:
        is_live = False
        samples = EXPECTED.samples
        count = EXPECTED.count

    assert verify_artifact(tmp_path, plan, Remembered()).open_dims == {}


def test_a_dim_that_was_baked_in_is_a_problem(runtime, plan, tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "TARGETS", {"stub": runtime.record(probed=True)})
    traced = plan.sizes.trace.sizes["sequence"]

    def baked(inputs):
        if inputs["input_ids"].shape[1] != traced:
            raise RuntimeError("sizes do not fit")
        return compute(inputs)

    runtime.answer = baked
    report = verify_artifact(tmp_path, plan, EXPECTED)
    assert not report.passed
    assert any(f"'sequence' was baked in at {traced}" in problem for problem in report.problems)
    assert report.open_dims["model"] == {"batch": "dynamic", "sequence": "static"}


def test_a_feeble_reference_is_a_problem_and_a_feeble_checkpoint_is_not(runtime, plan, tmp_path):
    def feeble(inputs):
        return [(1e-7 * compute(inputs)[0]).astype("float32")]

    runtime.answer = feeble
    expected = LiveModel({"model": feeble})
    report = verify_artifact(tmp_path, plan, expected)
    assert not report.passed
    assert ["is feeble" in problem for problem in report.problems] == [True, False]
    trained = dataclasses.replace(plan, model=dataclasses.replace(plan.model, is_reference=False))
    of_trained = verify_artifact(tmp_path, trained, expected)
    assert (of_trained.passed, of_trained.verdict) == (True, "not proved")
    (line,) = of_trained.unproved
    assert line.startswith("model: 'last_hidden_state' depends on no input")


@pytest.mark.parametrize("live", [True, False])
def test_an_input_that_changes_nothing_is_told(runtime, plan, tmp_path, live):
    def maskless(inputs):
        return compute({**inputs, "attention_mask": 1})

    runtime.answer = maskless
    samples = list(LiveModel({"model": maskless}).samples(plan.graphs[0], plan.sizes))
    expected = LiveModel({"model": maskless}) if live else Remembered(samples)
    trained = dataclasses.replace(plan, model=dataclasses.replace(plan.model, is_reference=False))
    report = verify_artifact(tmp_path, trained, expected)
    assert (report.verdict, report.unproved) == ("not proved", ("model: no output depends on 'attention_mask'",))
    of_reference = verify_artifact(tmp_path, plan, expected)
    assert (of_reference.verdict, of_reference.problems) == ("failed", report.unproved)
    half = dataclasses.replace(plan, model=dataclasses.replace(plan.model, dtype="float16"))
    assert verify_artifact(tmp_path, half, expected).verdict == "not proved"


def test_a_runtime_that_fails_on_one_changed_input_is_told(runtime, plan, tmp_path):
    calls = iter(range(100))

    def answer(inputs):
        if next(calls) == 1:
            raise RuntimeError("\nno such kernel\nat line 3")
        return compute(inputs)

    runtime.answer = answer
    report = verify_artifact(tmp_path, plan, EXPECTED)
    assert "model: the runtime fails where one input changes: no such kernel" in report.problems


def test_nothing_compared_never_passes(runtime, plan, tmp_path):
    none = dataclasses.replace(plan, sizes=dataclasses.replace(plan.sizes, points=()))
    report = verify_artifact(tmp_path, none, EXPECTED)
    assert (report.comparisons, report.problems) == ((), ())
    assert not report.passed
    assert report.failures() == ["nothing was compared"]
    assert not runtime.ran


def test_another_number_fails(runtime, plan, tmp_path):
    runtime.answer = lambda inputs: [compute(inputs)[0] * 1.001]
    report = verify_artifact(tmp_path, plan, EXPECTED)
    assert not report.passed
    assert "passes nowhere" in report.failures()[0]


def test_a_session_that_fails_without_a_word_is_told_by_its_error(runtime, plan, tmp_path):
    def fail(inputs):
        raise AssertionError

    runtime.answer = fail
    report = verify_artifact(tmp_path, plan, EXPECTED)
    assert {comparison.problem for comparison in report.comparisons} == {"the runtime fails: AssertionError"}
    assert not report.passed


def test_it_is_told_what_is_being_done(runtime, plan, tmp_path):
    told: list[str] = []
    verify_artifact(tmp_path, plan, EXPECTED, told.append)
    assert told[0].startswith("verifying model at batch ")
    assert told[1] == "changing each input of model"
    assert len(told) == len(runtime.ran) - CHANGES + 1


@pytest.mark.parametrize("probed", [True, False])
def test_what_is_compared_is_counted_beforehand(runtime, plan, tmp_path, monkeypatch, probed: bool):
    runtime.ships_another = probed
    monkeypatch.setattr(registry, "TARGETS", {"stub": runtime.record(probed=probed)})
    told: list[Step] = []
    verify_artifact(tmp_path, plan, EXPECTED, lambda text: told.append(cast("Step", text)))
    assert [step.done for step in told] == list(range(len(told)))
    assert {step.total for step in told} == {len(told)}


def test_a_target_that_is_none_of_ours_is_refused(plan, tmp_path):
    with pytest.raises(exporter.ExporterError, match="unknown target 'stub'"):
        verify_artifact(tmp_path, plan, EXPECTED)
