"""What a layout is: an arrangement of graphs, and the files their consumers look for beside them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporter.language.spec import TaskSpec
from exporter.planning.arrangement import Arrangement
from exporter.planning.plan import Plan

if TYPE_CHECKING:  # commands that only name layouts open no checkpoint
    from exporter.models.checkpoints import Checkpoint


def _nothing_to_check(_: Checkpoint | None, __: TaskSpec) -> None:
    """Ask nothing of the checkpoint."""


def _no_word(_: Plan) -> str | None:
    return None


def _nothing_to_add(_: Path, __: Plan, ___: Checkpoint, ____: Any) -> None:
    """Leave the files as they are."""


@dataclass(frozen=True, slots=True)
class Layout:
    """One way to lay an artifact out.

    Attributes:
        arrangement: what a plan knows of the layout.
        description: the layout in a line, for ``exporter list``.
        library: what the hub calls the library that loads it; None for the target's own.
        check: raises `ExporterError` for a checkpoint (None: a reference) without the files the layout needs for a
            task.
        files: what the layout writes itself, whatever a checkpoint has under these names.
        word: what the library that loads it calls a plan: the class, the pipeline; None where it has nothing for it. A
            model card shows the library's own program, which is the template ``library/<name>.jinja``.
        finish: adds the layout's own files to a directory, from the plan, the checkpoint and the model's config.
    """

    arrangement: Arrangement
    description: str
    library: str | None = None
    check: Callable[[Checkpoint | None, TaskSpec], None] = _nothing_to_check
    files: tuple[str, ...] = ()
    word: Callable[[Plan], str | None] = _no_word
    finish: Callable[[Path, Plan, Checkpoint, Any], None] = _nothing_to_add

    @property
    def name(self) -> str:
        """The word for it on the command line."""
        return self.arrangement.name
