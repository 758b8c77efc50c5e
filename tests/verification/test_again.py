"""An artifact that may be a stranger's is verified again: what it says is checked first, and a bound has to tell."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import exporter
from exporter import api
from exporter.artifacts.golden import write_vectors
from exporter.artifacts.manifest import MANIFEST, read_manifest, write_manifest
from exporter.errors import UntrustedError, UsageError
from exporter.models.checkpoints import Checkpoint
from exporter.planning.plan import Plan
from exporter.planning.target import Target
from exporter.targets import registry
from exporter.verification.again import LOOSEST, Asked, verify_again
from exporter.verification.report import Report

COMPUTED: dict[str, Any] = {"answer": None, "inspected": []}


class Runtime:
    name = "stub 1"

    def run(self, inputs: Any) -> list[np.ndarray]:
        answer: list[np.ndarray] = COMPUTED["answer"](inputs)
        return answer


def compute(inputs: Any) -> list[np.ndarray]:
    """Stand for a model that gives hidden states of two values, from 1 to 6."""
    return [(inputs["input_ids"][..., None] % 5 + [[[1, 2]]]).astype("float32")]


def inspect(path: Path) -> None:
    COMPUTED["inspected"].append(path.name)
    if path.read_bytes() == b"code":
        raise UntrustedError(path.name, "it is code")


@pytest.fixture
def plan(monkeypatch: pytest.MonkeyPatch) -> Plan:
    """A plan of a trained model for a target of which nothing is known but this."""
    target = Target(
        name="stub",
        suffix=".stub",
        library="stub",
        card_template=Path("card.md.jinja"),
        load_exporter=lambda: pytest.fail("nothing is exported here"),
        open_session=lambda path, plan, shipped=False: Runtime(),
        check_structure=lambda directory, graph, plan: [],
        inspect=inspect,
    )
    monkeypatch.setattr(registry, "TARGETS", {"stub": target})
    COMPUTED.update(answer=compute, inspected=[])
    planned = ORIGINAL
    (graph,) = planned.graphs
    (output,) = graph.outputs
    graph = dataclasses.replace(
        graph,
        file="model.stub",
        files=("model.stub",),
        outputs=(dataclasses.replace(output, shape=(*output.shape[:2], 2)),),
    )
    return dataclasses.replace(
        planned,
        graphs=(graph,),
        recording=dataclasses.replace(planned.recording, target="stub"),
        model=dataclasses.replace(planned.model, is_reference=False),
        sizes=dataclasses.replace(planned.sizes, probes={}),
    )


ORIGINAL = exporter.plan("distilbert", "feature-extraction", target="torchscript")


def make(folder: Path, plan: Plan, content: bytes = b"a graph", oracle: Any = compute) -> Path:
    source = folder / "source"
    source.mkdir(parents=True)
    (source / "config.json").write_text("{}", "utf-8")
    artifact = folder / "artifact"
    artifact.mkdir()
    (artifact / "model.stub").write_bytes(content)
    write_vectors(artifact, plan, {"model": oracle})
    write_manifest(artifact, plan, Checkpoint(source, str(source), ()), None)
    return artifact


def verify(artifact: Path, **asked: Any) -> Report:
    return verify_again(artifact, Asked(**asked), lambda _: None)


def with_bound(plan: Plan, atol: float, rtol: float = 0.0) -> Plan:
    return dataclasses.replace(plan, bound=dataclasses.replace(plan.bound, atol=atol, rtol=rtol))


def test_a_good_one_passes_without_a_remark(plan: Plan, tmp_path: Path) -> None:
    report = verify(make(tmp_path, plan))
    assert report.passed
    assert report.remarks == ()
    assert COMPUTED["inspected"] == ["model.stub"]


def test_a_file_with_code_is_refused_and_opened_only_on_trust(plan: Plan, tmp_path: Path) -> None:
    artifact = make(tmp_path, plan, b"code")
    COMPUTED["answer"] = lambda inputs: pytest.fail("it was opened")
    with pytest.raises(UntrustedError, match=r"model\.stub is not opened: it is code") as refused:
        verify(artifact)
    assert "--trust-artifact" in str(refused.value.help)
    COMPUTED["answer"] = compute
    report = verify(artifact, trust=True)
    assert report.passed
    assert report.remarks == ("opened without looking for code in its files (--trust-artifact)",)


def test_a_file_that_was_changed_is_told_before_it_is_looked_at(plan: Plan, tmp_path: Path) -> None:
    artifact = make(tmp_path, plan)
    (artifact / "model.stub").write_bytes(b"code")
    assert verify(artifact).problems == ("model.stub has changed since it was built",)


@pytest.mark.parametrize("atol", [1e9, 10.0])
def test_a_bound_that_everything_is_within_proves_nothing(atol: float, plan: Plan, tmp_path: Path) -> None:
    artifact = make(tmp_path, with_bound(plan, atol))
    COMPUTED["answer"] = lambda inputs: [0 * compute(inputs)[0]]
    report = verify(artifact)
    assert not report.passed
    assert "zeros would pass for 'last_hidden_state'" in report.problems[0]
    assert "is the artifact's own, and looser than any of exporter's for float32" in report.remarks[0]


def test_a_loose_bound_that_tells_something_is_said_and_passes(plan: Plan, tmp_path: Path) -> None:
    report = verify(make(tmp_path, with_bound(plan, 0.5)))
    assert report.passed
    assert "atol 5.0e-01" in report.remarks[0]
    assert "the one given" in verify(make(tmp_path / "b", plan), atol=0.5).remarks[0]


def test_the_loosest_bound_of_the_catalogue_is_no_loose_one() -> None:
    for spec in api.load_specs():
        for task in spec.tasks.values():
            for dtype, tolerance in task.tolerances.items():
                assert max(tolerance.atol, tolerance.rtol) <= LOOSEST[dtype], spec.architecture


def test_outputs_without_an_element_prove_nothing(plan: Plan, tmp_path: Path) -> None:
    points = tuple(dataclasses.replace(point, sizes=dict.fromkeys(point.sizes, 0)) for point in plan.sizes.points)
    empty = dataclasses.replace(plan, sizes=dataclasses.replace(plan.sizes, points=points))
    report = verify(make(tmp_path, empty))
    assert not report.passed
    assert report.problems == ("model: nothing of 'last_hidden_state' was compared",)


def test_what_the_manifest_does_not_name_is_said(plan: Plan, tmp_path: Path) -> None:
    artifact = make(tmp_path, plan)
    (artifact / "sub").mkdir()
    (artifact / "sub" / "more.bin").write_bytes(b"")
    manifest = read_manifest(artifact)
    (artifact / MANIFEST).write_text(json.dumps({**manifest, "later": 1}), "utf-8")
    report = verify(artifact)
    assert report.passed
    assert report.remarks == (
        "passed over in the manifest: later",
        "not looked at, since the manifest does not name them: sub/more.bin",
    )


@pytest.mark.parametrize("place", ["file", "folder"])
def test_a_link_that_leaves_is_refused(place: str, plan: Plan, tmp_path: Path) -> None:
    artifact = make(tmp_path, plan)
    outside = tmp_path / "outside"
    path = artifact / ("model.stub" if place == "file" else "test_data_set_0")
    path.rename(outside)
    path.symlink_to(outside)
    with pytest.raises(UsageError, match="is a link that leaves the artifact"):
        verify(artifact)


def test_links_of_a_hub_cache_are_followed(plan: Plan, tmp_path: Path) -> None:
    artifact = make(tmp_path, plan)
    snapshot, blobs = tmp_path / "models--a" / "snapshots" / "0", tmp_path / "models--a" / "blobs"
    snapshot.parent.mkdir(parents=True)
    blobs.mkdir()
    artifact.rename(snapshot)
    (snapshot / "model.stub").rename(blobs / "ab")
    (snapshot / "model.stub").symlink_to("../../blobs/ab")
    assert verify(snapshot).passed


def test_a_graph_that_is_not_among_the_files_is_refused(plan: Plan, tmp_path: Path) -> None:
    artifact = make(tmp_path, plan)
    manifest = read_manifest(artifact)
    manifest["files"] = {}
    (artifact / MANIFEST).write_text(json.dumps(manifest), "utf-8")
    with pytest.raises(UsageError, match=r"the graph 'model\.stub' is not among its files"):
        verify(artifact)
