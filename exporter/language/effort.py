"""Counted work: what bounds the time that a document of a stranger takes, on every machine at the same step.

Who reads, lays over, evaluates or compares says how many steps it takes with `spend`. Inside `bounded`, steps beyond
the budget raise `WorkExhausted`; outside, they are not counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from exporter.errors import did_you_mean

# A step is about a microsecond. The largest spec of the catalogue takes a thirtieth of what a document may take, and
# the whole catalogue a fifteenth of what a run may.
STEPS_OF_A_DOCUMENT = 1_000_000
STEPS_OF_A_RUN = 20_000_000
# Words that are compared for the help of a document's findings. Whoever has so many wrong names reads the first ones.
_COMPARED = 20_000


class WorkExhausted(Exception):
    """A document takes more work than it may."""


@dataclass(slots=True)
class Budget:
    """Steps that are left, of a document or of a run that has several.

    Attributes:
        left: steps.
        compared: words that may still be compared with others to say which one was meant.
        whole: the budget that this one is a part of, from which its steps are taken as well.
    """

    left: int
    compared: int = _COMPARED
    whole: Budget | None = None

    def take(self, steps: int) -> None:
        """Take steps away.

        Raises:
            WorkExhausted: that many are not left.
        """
        self.left -= steps
        if self.left < 0:
            raise WorkExhausted
        if self.whole is not None:
            self.whole.take(steps)


_BUDGET: ContextVar[Budget | None] = ContextVar("budget", default=None)


@contextmanager
def bounded(budget: Budget) -> Iterator[Budget]:
    """Take the steps that are spent inside from a budget."""
    token = _BUDGET.set(budget)
    try:
        yield budget
    finally:
        _BUDGET.reset(token)


def spend(steps: int = 1) -> None:
    """Count steps of about a microsecond.

    Raises:
        WorkExhausted: the budget has no more of them.
    """
    budget = _BUDGET.get()
    if budget is not None:
        budget.take(steps)


def suggest(
    word: str, candidates: Iterable[str], *, otherwise: str | None = None, also: Mapping[str, str] | None = None
) -> str | None:
    """Return the help of `did_you_mean`, or None where a document had so much of it that nobody would read it."""
    names = list(candidates)
    budget = _BUDGET.get()
    if budget is not None:
        spend()
        if budget.compared < len(names):
            return None
        budget.compared -= len(names)
        spend(10 * len(names))
    return did_you_mean(word, names, otherwise=otherwise, also=also)
