"""Which task the weights of a checkpoint can serve, where its config does not name the class it was saved from."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from exporter.errors import ExporterError
from exporter.language.spec import WITH_PAST, Spec, TaskSpec
from exporter.models.accounting import make_skeleton
from exporter.models.checkpoints.conversion import convert_checkpoint
from exporter.models.checkpoints.directory import Checkpoint
from exporter.models.checkpoints.weights import open_weights, unwrap
from exporter.models.configs import class_for, load_config


def tasks_by_weights(spec: Spec, checkpoint: Checkpoint) -> list[TaskSpec]:
    """Return the tasks whose models have a value for every weight, those that leave the fewest weights out first.

    Of two that leave out equally many, one that generates with a cache comes first, because it is the one to deploy;
    then the one that stands first in the spec.

    Raises:
        CheckpointError: the weights cannot be read.
    """
    counts: dict[str, int | None] = {}
    served: list[tuple[int, TaskSpec]] = []
    for task in spec.tasks.values():
        # The forms of a task, such as the one with a cache, have one model.
        key = repr((task.auto_class, task.model_class, task.config))
        if key not in counts:
            counts[key] = _count_placed(spec, task, checkpoint)
        placed = counts[key]
        if placed is not None:
            served.append((placed, task))
    most = max((placed for placed, _ in served), default=0)
    best = [task for placed, task in served if placed == most]
    return sorted(best, key=lambda task: not (task.name.endswith(WITH_PAST) and task.auto_class != "AutoModel"))


def _count_placed(spec: Spec, task: TaskSpec, checkpoint: Checkpoint) -> int | None:
    """Return how many of a checkpoint's weights the model of a task takes; None where it lacks one."""
    try:
        config = load_config(checkpoint, task.config)
        cls = class_for(task.auto_class, task.model_class, config, spec.architecture)
        skeleton = make_skeleton(cls, config, checkpoint)
    except ExporterError:
        return None  # the config makes no model of this task
    with TemporaryDirectory(prefix="exporter-") as scratch:
        weights = open_weights(convert_checkpoint(checkpoint, skeleton.shapes, Path(scratch)))
        weights = unwrap(weights, skeleton.shapes, skeleton.prefix)
        shapes = {name: weights.shape(name) for name in weights.tensors}
    skeleton.model.tie_weights()
    needed = dict(skeleton.model.named_parameters())
    placed = 0
    for name, parameter in needed.items():
        candidates = (name, name.removeprefix(f"{skeleton.prefix}."), f"{skeleton.prefix}.{name}")
        shape = next((shapes[candidate] for candidate in candidates if candidate in shapes), None)
        if shape is not None and shape == tuple(parameter.shape):
            placed += 1
        elif name not in skeleton.computed and not _is_spare(name, task):
            return None
    return placed


def _is_spare(name: str, task: TaskSpec) -> bool:
    """Tell whether a base model's weight may be missing: hidden states do not need a pooler that was never trained."""
    return task.auto_class == "AutoModel" and "pooler" in name.split(".")
