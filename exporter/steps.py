"""What is being done, as whoever waits for it is told."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str], None]


class Step(str):
    """What is being done, in a few words, and how much of it is done already.

    It is a text, so that a function which prints texts prints steps.

    Attributes:
        done: how many parts of the work are done.
        total: how many parts there are; 0 where nobody can count them.
    """

    __slots__ = ("done", "total")
    done: int
    total: int

    def __new__(cls, text: str, done: int = 0, total: int = 0) -> Step:
        """Return a text with what is done of how much."""
        step = super().__new__(cls, text)
        step.done, step.total = done, total
        return step


class Steps:
    """Counts the parts of a work, and tells of each as it begins.

    Args:
        progress: told of each part.
        total: how many parts there are.
    """

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress, self._total, self._begun = progress, total, 0

    def begin(self, text: str) -> None:
        """Tell of the next part; those before it are done."""
        self._progress(Step(text, min(self._begun, self._total), self._total))
        self._begun += 1
