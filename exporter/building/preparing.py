"""The start of a build: its plan, and the checkpoint whose weights are loaded.

`prepare` plans for ``exporter plan`` and for builds alike, so a build has the plan that was shown for it. `foresee`
makes the same plan in a moment, from what can be told of a config without transformers, and none where that is not
enough.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from exporter.building.request import Request, choose_task
from exporter.errors import UsageError
from exporter.language.loading import load_spec
from exporter.language.spec import Spec, TaskSpec, overlay_config
from exporter.models.checkpoints import FRAMEWORKS, Checkpoint, check_architecture, open_checkpoint, open_directory
from exporter.models.checkpoints.embedding import embedding_remarks, head_files, read_head
from exporter.models.checkpoints.processor import load_processor
from exporter.models.told_config import told_config, told_config_of
from exporter.planning.choices import Choice
from exporter.planning.heads import hidden_size, pool_hidden_states
from exporter.planning.plan import HeadStep, Plan
from exporter.planning.planner import find_task, plan_task
from exporter.steps import Progress


@dataclass(frozen=True, slots=True)
class Prepared:
    """A plan and its checkpoint. A plan for the reference has None: the reference is not made yet."""

    plan: Plan
    checkpoint: Checkpoint | None


class _Configs(Protocol):
    """Where configs are from: transformers, or what can be told without it."""

    def of_checkpoint(self, checkpoint: Checkpoint, task_config: Mapping[str, Any]) -> Any:
        """Return the config of a checkpoint with the task's settings applied."""

    def of_values(self, architecture: str, values: Mapping[str, Any]) -> Any:
        """Return the config of an architecture with given values."""


class _FromTransformers:
    """The configs of transformers, which is imported for the first."""

    def of_checkpoint(self, checkpoint: Checkpoint, task_config: Mapping[str, Any]) -> Any:
        from exporter.models.configs import load_config

        return load_config(checkpoint, task_config)

    def of_values(self, architecture: str, values: Mapping[str, Any]) -> Any:
        from exporter.models.configs import make_config

        return make_config(architecture, values)


class _Told:
    """The configs that can be told without transformers."""

    def of_checkpoint(self, checkpoint: Checkpoint, task_config: Mapping[str, Any]) -> Any:
        return told_config_of(checkpoint, task_config)

    def of_values(self, architecture: str, values: Mapping[str, Any]) -> Any:
        return told_config(architecture, values)


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
        return _prepare_checkpoint(choice, checkpoint, _FromTransformers())
    if config is None or isinstance(config, Mapping):
        config = _reference_config(spec, task, config or {}, _FromTransformers())
    return Prepared(plan_task(choice, config), None)


def foresee(choice: Choice, checkpoint: Checkpoint | None, values: Mapping[str, Any] | None = None) -> Prepared:
    """Make the plan of a choice without transformers.

    Args:
        choice: the choice.
        checkpoint: its checkpoint; None for the reference of the spec.
        values: laid over the values of the reference.

    Raises:
        UntoldError: the plan hangs on a value that only transformers gives.
        UsageError, SpecError, CheckpointError: as `prepare` would raise.
    """
    if checkpoint is not None:
        return _prepare_checkpoint(choice, checkpoint, _Told())
    return Prepared(plan_task(choice, _reference_config(choice.spec, choice.task, values or {}, _Told())), None)


def _prepare_checkpoint(choice: Choice, checkpoint: Checkpoint, configs: _Configs) -> Prepared:
    loaded = configs.of_checkpoint(checkpoint, choice.task.config)
    plan = plan_task(choice, loaded, processor=load_processor(checkpoint), is_reference=False)
    return _with_modules(plan, checkpoint, choice)


def _reference_config(spec: Spec, task: TaskSpec, values: Mapping[str, Any], configs: _Configs) -> Any:
    return configs.of_values(
        spec.architecture, overlay_config(spec.reference, task.reference_config, values, task.config)
    )


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
    from exporter.models.merging import make_loadable  # imports torch, which planning does without
    from exporter.models.references import save_reference

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
