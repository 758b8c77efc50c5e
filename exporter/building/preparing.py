"""What a build starts from: its plan, and the checkpoint that is loaded. ``exporter plan`` and a build both come here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporter.building.request import Request, choose_task
from exporter.language.loading import load_spec
from exporter.language.spec import overlay_config
from exporter.models.checkpoints import FRAMEWORKS, Checkpoint, check_architecture, open_checkpoint, open_directory
from exporter.models.configs import load_config, make_config
from exporter.models.loading import convert_weights
from exporter.models.references import save_reference
from exporter.planning.plan import Plan
from exporter.planning.planner import find_task, plan_task

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A plan, and the checkpoint it is for; None for the reference, which is not made yet."""

    plan: Plan
    checkpoint: Checkpoint | None


def prepare(request: Request, progress: Progress = lambda _: None) -> Prepared:
    """Make the plan of a request for one spec, one task and one target.

    Raises:
        UsageError: it cannot be had; the message gives the reason.
        SpecError: an expression of the spec does not hold for the config.
        CheckpointError: the checkpoint, or its config, cannot be opened.
    """
    spec = load_spec(str(request.spec)).with_variant(request.options.variant)
    task = find_task(spec, request.task)
    choice = choose_task(spec, task, request.options, request.target)
    if request.source is None:
        values = overlay_config(spec.reference, task.reference_config, task.config)
        return Prepared(plan_task(choice, make_config(spec.architecture, values)), None)
    progress("opening the checkpoint")
    checkpoint = open_checkpoint(request.source)
    check_architecture(checkpoint, spec.architecture)
    config: Any = load_config(checkpoint, task.config)
    return Prepared(plan_task(choice, config, is_reference=False), checkpoint)


def loadable_checkpoint(prepared: Prepared, scratch: Path, progress: Progress = lambda _: None) -> Checkpoint:
    """Return the checkpoint in a form that PyTorch loads: a reference made, another framework's weights converted.

    Args:
        prepared: what a build starts from.
        scratch: an empty directory for what has to be made.
        progress: told what is being done.

    Raises:
        CheckpointError: the weights are damaged, or the package that reads them is not installed.
        ExportError: the reference cannot be built.
    """
    plan, checkpoint = prepared.plan, prepared.checkpoint
    if checkpoint is None:
        progress("making the reference")
        save_reference(plan, scratch)
        return open_directory(scratch, "the reference")
    if checkpoint.framework != "pt":
        progress(f"converting {FRAMEWORKS[checkpoint.framework]} weights")
    return convert_weights(plan, checkpoint, scratch)
