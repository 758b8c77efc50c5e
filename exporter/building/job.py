"""Build one artifact: the whole pipeline of one task, in the process it is called in.

``load → plan → trace → write → verify → manifest``, into a staging directory somebody else swaps into place.
"""

from __future__ import annotations

import gc
import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from exporter import artifact, models, verification
from exporter.arrays import to_numpy, to_torch
from exporter.checkpoints import FRAMEWORKS, Checkpoint, open_checkpoint, open_directory
from exporter.diagnostics import CheckpointError, ExportError, VerificationError
from exporter.dummies import make_dummies
from exporter.examination import examine_outputs
from exporter.export import import_toolchain, load_exporter
from exporter.flatten import FlatModel
from exporter.golden import write_golden
from exporter.layouts import find_layout
from exporter.loading import load_spec
from exporter.patches import applied_patches
from exporter.planning import GraphPlan, Options, Plan, describe_recording, find_task, plan_task
from exporter.probing import probe_dims
from exporter.report.card import write_card
from exporter.runtime import open_session
from exporter.signature import NOT_PROBED, write_signature
from exporter.spec import overlay_config
from exporter.targets import find_target

Array = np.ndarray[Any, Any]
Emit = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker is asked to build, as plain data: it travels as JSON."""

    spec: str
    task: str
    model: str | None
    revision: str | None
    framework: str | None
    cache_dir: str | None
    trust_remote_code: bool
    options: Options
    verify: bool
    staging: str

    @staticmethod
    def from_data(data: Mapping[str, Any]) -> Job:
        """Return the job that was sent as data."""
        return Job(**{**data, "options": Options(**data["options"])})


@dataclass(frozen=True, slots=True)
class Built:
    """What came out: the plan, the report (None without verification) and the bytes of each file."""

    plan: Plan
    report: verification.Report | None
    files: Mapping[str, int]
    model_class: str


def build_artifact(job: Job, emit: Emit) -> Built:
    """Build, verify and describe one artifact in ``job.staging``.

    Args:
        job: what to build.
        emit: told what is being done, in a few words.

    Raises:
        ExporterError: a usage, spec, checkpoint, export or verification error; see diagnostics.py.
    """
    spec = load_spec(job.spec).with_variant(job.options.variant)
    task = find_task(spec, job.task)
    import_toolchain(find_target(job.options.target), job.options.settings)
    staging = Path(job.staging)
    with ExitStack() as stack:
        if job.model is None:
            emit("making the reference")
            values = overlay_config(spec.reference, task.reference_config, task.config)
            config = models.make_config(spec.architecture, values)
            plan = plan_task(spec, task, config, job.options)
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="exporter-")))
            models.save_reference(plan, scratch)
            checkpoint = open_directory(scratch, "the reference")
        else:
            emit("opening the checkpoint")
            checkpoint = open_checkpoint(
                job.model,
                revision=job.revision,
                code=job.trust_remote_code,
                framework=job.framework,
                cache_dir=job.cache_dir,
            )
            config = models.load_config(checkpoint, task.config, trust_remote_code=job.trust_remote_code)
            check_architecture(checkpoint, spec.architecture)
            plan = plan_task(spec, task, config, job.options, rtol_of="output")
            if checkpoint.framework != "pt":
                emit(f"converting {FRAMEWORKS[checkpoint.framework]} weights")
                scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="exporter-")))
                checkpoint = models.convert_weights(plan, checkpoint, scratch, trust_remote_code=job.trust_remote_code)
        return _build(plan, checkpoint, job, staging, emit)


def check_architecture(checkpoint: Checkpoint, architecture: str) -> None:
    """Fail when a checkpoint is of another architecture than the spec.

    Raises:
        CheckpointError: names both.
    """
    found = checkpoint.read_config().get("model_type")
    if found != architecture:
        raise CheckpointError(
            f"'{checkpoint.name}' is a checkpoint of the architecture '{found}', and the spec is of '{architecture}'",
            help=f"leave the spec out: exporter build --model {checkpoint.name}",
        )


def _build(plan: Plan, checkpoint: Checkpoint, job: Job, staging: Path, emit: Emit) -> Built:
    emit("loading the model")
    truth, missing = models.load_model(plan, checkpoint, trust_remote_code=job.trust_remote_code)
    oracles = {graph.component: make_oracle(FlatModel(truth, graph)) for graph in plan.graphs}
    for graph in plan.graphs:
        check_outputs(truth, graph, plan)
    exporter = load_exporter(plan.target)
    model, _ = models.load_model(
        plan, checkpoint, attention=exporter.attention_of(plan), trust_remote_code=job.trust_remote_code
    )
    for path in checkpoint.companions():
        copy = staging / path.relative_to(checkpoint.path)
        copy.parent.mkdir(exist_ok=True)
        shutil.copyfile(path, copy)
    used: set[str] = set()
    for graph in plan.graphs:
        emit(f"exporting {graph.component} ({describe_recording(plan)})")
        with applied_patches(plan.patches, model):
            weights = exporter.export_graph(model, graph, plan, staging)
        used |= parameter_names(model, weights)
        models.check_missing(missing, used, checkpoint, type(model).__name__)
    model_class = type(model).__name__
    del model
    gc.collect()
    find_layout(plan.layout).finish(staging, plan, checkpoint, truth.config)
    emit("computing golden vectors")
    write_vectors(staging, plan, oracles)
    report = _verify(staging, plan, oracles, emit, is_reference=job.model is None) if job.verify else None
    if report is None and plan.opset is None:
        for graph in plan.graphs:
            write_signature(staging, graph, plan, dict.fromkeys(plan.probes, NOT_PROBED))
    emit("writing the manifest")
    summary = summarize_report(report) if report is not None else None
    artifact.write_manifest(staging, plan, checkpoint, is_reference=job.model is None, report=summary)
    write_card(staging)
    files = {
        path.relative_to(staging).as_posix(): path.stat().st_size
        for path in sorted(staging.rglob("*"))
        if path.is_file()
    }
    return Built(plan, report, files, model_class)


def _verify(
    staging: Path, plan: Plan, oracles: Mapping[str, verification.Oracle], emit: Emit, *, is_reference: bool
) -> verification.Report:
    comparisons: list[verification.Comparison] = []
    problems: list[str] = []
    runtime = ""
    for graph in plan.graphs:
        if plan.opset is None:
            problems += _probe(staging, graph, plan, oracles[graph.component], emit)
        problems += verification.check_structure(staging / graph.file, graph, plan)
        for file in plan.programs(graph):
            runtime, found = verification.verify_graph(
                staging / file, graph, plan, oracles[graph.component], lambda text: emit(f"verifying {text}")
            )
            comparisons += found
    if is_reference:
        # A trained model's outputs are what they are; a reference is ours to make expressive.
        problems += verification.feeble_outputs(comparisons, plan)
    report = verification.Report(runtime, plan.atol, plan.rtol, tuple(comparisons), tuple(problems))
    if not report.passed:
        raise VerificationFailure(report, plan)
    return report


def _probe(staging: Path, graph: GraphPlan, plan: Plan, oracle: verification.Oracle, emit: Emit) -> list[str]:
    """Probe the dims of a torch program, tell the verdict in its sidecar, and return what was baked in."""
    session = open_session(staging / graph.file, plan.dtype, target=plan.target, settings=plan.settings)
    verdicts, problems = probe_dims(session, graph, plan, oracle, emit)
    write_signature(staging, graph, plan, verdicts)
    return problems


class VerificationFailure(VerificationError):
    """The artifact is not what was planned, or does not compute what PyTorch computes; carries the report."""

    def __init__(self, report: verification.Report, plan: Plan) -> None:
        lines = "".join(f"\n  {line}" for line in report.failures()[:20])
        super().__init__(
            f"{plan.architecture} {plan.task} failed verification (atol {plan.atol:g}, rtol {plan.rtol:g}):{lines}",
            help="nothing was written; a bound can be raised with --atol and --rtol once the difference is understood",
        )
        self.report = report


def check_outputs(model: Any, graph: GraphPlan, plan: Plan) -> None:
    """Check, before any tracing, that what a graph's model returns is what the spec declares.

    Raises:
        ExportError: the model refuses the inputs, returns a tensor nobody declared, or one of another shape or dtype.
    """
    for mismatch in examine_outputs(model, graph, plan, plan.trace):
        raise ExportError(mismatch.message, help=mismatch.help)


def make_oracle(flat: FlatModel) -> verification.Oracle:
    """Return a function from input arrays to the arrays an untouched model computes."""
    flat.eval()

    def oracle(inputs: Mapping[str, Array]) -> list[Array]:
        with torch.no_grad(), models.quiet_libraries():
            return [to_numpy(output) for output in flat(*map(to_torch, inputs.values()))]

    return oracle


def write_vectors(staging: Path, plan: Plan, oracles: Mapping[str, verification.Oracle]) -> None:
    """Write the golden vectors of every graph at every point."""
    for graph in plan.graphs:
        for index, point in enumerate(plan.points):
            inputs = make_dummies(graph, point, plan.seed)
            try:
                outputs = oracles[graph.component](inputs)
            except Exception as error:
                sizes = ", ".join(f"{name} {size}" for name, size in point.sizes.items())
                raise ExportError(
                    f"the model itself fails on '{graph.component}' of {plan.architecture} {plan.task} at {sizes}: {_shorten(error)}",
                    help="choose sizes under 'dims:' that the model accepts",
                ) from error
            write_golden(staging, index, graph, inputs, outputs)


def summarize_report(report: verification.Report) -> dict[str, Any]:
    """Return the part of a report the manifest keeps: the worst comparison of each output."""
    return {
        "runtime": report.runtime,
        "atol": report.atol,
        "rtol": report.rtol,
        "passed": report.passed,
        "comparisons": len(report.comparisons),
        "worst": [
            {
                "graph": one.graph,
                "output": one.output,
                "point": one.point,
                "max_abs": one.max_abs,
                "max_rel": one.max_rel,
                "share": one.share,
            }
            for one in report.worst().values()
        ],
    }


def parameter_names(model: torch.nn.Module, tensors: list[torch.Tensor]) -> set[str]:
    """Return the names, in the model, of the parameters that share storage with the given tensors."""
    used = {
        tensor.untyped_storage().data_ptr() + tensor.storage_offset() * tensor.element_size()
        for tensor in tensors
        if tensor.numel()
    }
    return {name for name, parameter in model.named_parameters(remove_duplicate=False) if parameter.data_ptr() in used}


def _shorten(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return f"{type(error).__name__}: {lines[0][:300]}"
