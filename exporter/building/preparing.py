"""The start of a build: its plan, and the checkpoint whose weights are loaded.

`prepare` plans for ``exporter plan`` and for builds alike, so a build has the plan that was shown for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from exporter.building.request import Request, choose_task
from exporter.errors import UsageError
from exporter.language.loading import load_spec
from exporter.language.spec import Spec, overlay_config
from exporter.models.checkpoints import FRAMEWORKS, Checkpoint, check_architecture, open_checkpoint, open_directory
from exporter.models.checkpoints.embedding import embedding_remarks, head_files, read_head
from exporter.models.configs import load_config, load_processor, make_config
from exporter.models.merging import make_loadable
from exporter.models.references import save_reference
from exporter.planning.choices import Choice
from exporter.planning.heads import hidden_size, pool_hidden_states
from exporter.planning.plan import HeadStep, Plan
from exporter.planning.planner import find_task, plan_task

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A plan and its checkpoint. A plan for the reference has None: the reference is not made yet."""

    plan: Plan
    checkpoint: Checkpoint | None


def prepare(
    request: Request, progress: Progress = lambda _: None, *, spec: Spec | None = None, config: Any = None
) -> Prepared:
    """Make the plan of a request for one spec, one task and one target.

    Args:
        request: the request.
        progress: called with each step.
        spec: the composed spec, where the caller has it. Default: loaded by the name in the request.
        config: a transformers config in place of the reference's, or a mapping laid over the reference's values.

    Raises:
        UsageError: the request cannot be served; the message gives the reason.
        SpecError: an expression of the spec does not hold for the config.
        CheckpointError: the checkpoint, or its config, cannot be opened.
    """
    spec = (spec or load_spec(str(request.spec))).with_variant(request.options.variant)
    task = find_task(spec, request.task)
    choice = choose_task(spec, task, request.options, request.target)
    if request.source is not None:
        if config is not None:
            raise UsageError("a config and a checkpoint are given, which has its own", help="leave one of them out")
        progress("opening the checkpoint")
        checkpoint = open_checkpoint(request.source)
        check_architecture(checkpoint, spec.architecture)
        loaded = load_config(checkpoint, task.config)
        plan = plan_task(choice, loaded, processor=load_processor(checkpoint), is_reference=False)
        return _with_modules(plan, checkpoint, choice)
    if config is None or isinstance(config, Mapping):
        values = overlay_config(spec.reference, task.reference_config, config or {}, task.config)
        config = make_config(spec.architecture, values)
    return Prepared(plan_task(choice, config), None)


def _with_modules(plan: Plan, checkpoint: Checkpoint, choice: Choice) -> Prepared:
    """Let the modules of a checkpoint make the embedding of a pooled task, and say what a graph has of them."""
    head: tuple[HeadStep, ...] = ()
    if plan.model.head:
        head = read_head(checkpoint, hidden_size(plan))
        plan = choice.arrangement.arrange(pool_hidden_states(plan, head)) if head else plan
        checkpoint = replace(checkpoint, module_files=head_files(checkpoint, head))
    return Prepared(plan, checkpoint.remarked(*embedding_remarks(checkpoint, plan.model.head)))


def loadable_checkpoint(prepared: Prepared, scratch: Path, progress: Progress = lambda _: None) -> Checkpoint:
    """Return a checkpoint that PyTorch loads.

    Without a checkpoint the reference is made; weights of TensorFlow or Flax are converted.

    Args:
        prepared: the plan, and its checkpoint.
        scratch: an empty directory, for a reference or converted weights.
        progress: called with each step.

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
    if checkpoint.adapter is not None:
        progress(f"merging the {checkpoint.adapter.method} adapter")
    return make_loadable(plan, checkpoint, scratch)
