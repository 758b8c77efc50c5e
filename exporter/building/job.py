"""Build one artifact: the whole pipeline of one task, in the process it is called in.

``plan → load → trace → write → verify → manifest``, into a staging directory that the pool swaps into its place.
"""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Mapping
from pathlib import Path

from exporter.artifacts.card import write_card
from exporter.artifacts.copying import copy_companions
from exporter.artifacts.golden import write_vectors
from exporter.artifacts.layouts import find_layout
from exporter.artifacts.manifest import write_manifest
from exporter.building.events import Built, Job
from exporter.building.preparing import loadable_checkpoint, prepare
from exporter.models.checkpoints import Checkpoint, find_companions, left_text
from exporter.models.examination import check_outputs
from exporter.models.flat_model import FlatModel
from exporter.models.loading import load_model, parameter_names
from exporter.models.oracle import make_oracle
from exporter.models.patches import applied_patches
from exporter.planning.dtypes import Oracle
from exporter.planning.plan import Plan
from exporter.planning.words import recording_text
from exporter.steps import Progress
from exporter.targets.registry import find_target, import_toolchain
from exporter.verification.expected import LiveModel
from exporter.verification.probing import NOT_PROBED
from exporter.verification.report import Report, VerificationError
from exporter.verification.verify import verify_artifact


def build_artifact(job: Job, emit: Progress) -> Built:
    """Build, verify and describe one artifact in ``job.staging``.

    Args:
        job: what to build.
        emit: called with each step, in a few words.

    Raises:
        ExporterError: a usage, spec, checkpoint, export or verification error; see errors.py.
    """
    request = job.request
    import_toolchain(find_target(request.target), request.options.settings)
    with tempfile.TemporaryDirectory(prefix="exporter-") as scratch:
        prepared = prepare(request, emit)
        checkpoint = loadable_checkpoint(prepared, Path(scratch), emit)
        return _build(prepared.plan, checkpoint, job, emit)


def _build(plan: Plan, checkpoint: Checkpoint, job: Job, emit: Progress) -> Built:
    staging = job.staging
    companions = find_companions(checkpoint)
    emit("loading the model")
    loaded = load_model(plan, checkpoint)
    checkpoint, truth = checkpoint.remarked(*loaded.remarks), loaded.model
    oracles = {graph.component: make_oracle(FlatModel(truth, graph)) for graph in plan.graphs}
    for graph in plan.graphs:
        check_outputs(truth, graph, plan)
    model_class = _export(plan, checkpoint, staging, emit)
    gc.collect()
    layout = find_layout(plan.recording.layout)
    left = copy_companions(companions, staging, layout.files)
    if left:
        checkpoint = checkpoint.remarked(left_text(left))
    find_target(plan.recording.target).finish(staging, plan)
    layout.finish(staging, plan, checkpoint, truth.config)
    emit("computing golden vectors")
    write_vectors(staging, plan, oracles)
    report = _verify(plan, oracles, staging, emit) if job.request.verify else None
    emit("writing the manifest")
    write_manifest(staging, plan, checkpoint, report.summary if report is not None else None, left)
    write_card(staging)
    files = {
        path.relative_to(staging).as_posix(): path.stat().st_size
        for path in sorted(staging.rglob("*"))
        if path.is_file()
    }
    return Built(plan, report, files, model_class, checkpoint.remarks, left)


def _export(plan: Plan, checkpoint: Checkpoint, staging: Path, emit: Progress) -> str:
    """Record and write every graph of a plan from a model loaded for it, and return the name of the model's class."""
    target = find_target(plan.recording.target)
    exporter = target.load_exporter()
    loaded = load_model(plan, checkpoint, attention=exporter.attention_of(plan))
    model = loaded.model
    used: set[str] = set()
    for graph in plan.graphs:
        emit(f"exporting {graph.component} ({recording_text(plan.recording)})")
        with applied_patches(plan.recording.patches, model):
            weights = exporter.export_graph(model, graph, plan, staging)
        target.describe_open_dims(staging, graph, plan, dict.fromkeys(plan.sizes.probes, NOT_PROBED))
        used |= parameter_names(model, weights)
        loaded.check_used(used, checkpoint)
    return type(model).__name__


def _verify(plan: Plan, oracles: Mapping[str, Oracle], staging: Path, emit: Progress) -> Report:
    """Verify the graphs in the staging directory, and write down the open dims of graphs that do not name their own.

    An ONNX file names its open dims. A torch program does not, so each of its dims was tried, and the verdicts go into
    the file beside the program.
    """
    report = verify_artifact(staging, plan, LiveModel(oracles), emit)
    if not report.passed:
        raise VerificationError.of(report, plan)
    for graph in plan.graphs:
        if graph.component in report.open_dims:
            verdicts = report.open_dims[graph.component]
            find_target(plan.recording.target).describe_open_dims(staging, graph, plan, verdicts)
    return report
