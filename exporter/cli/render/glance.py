"""What there is to show of a command at one moment, and one line that says it."""

from __future__ import annotations

from dataclasses import dataclass

from exporter.cli.render.text import clock_text


@dataclass(frozen=True, slots=True)
class Work:
    """One thing that is being done, such as a build.

    Attributes:
        title: what it is; empty for the only work of a command.
        step: what is being done of it.
        done: how much of that is done.
        total: how much there is of it; 0 where that is not counted.
        begun: when the work began.
    """

    title: str
    step: str
    done: int
    total: int
    begun: float

    @property
    def text(self) -> str:
        """What is being done."""
        return f"{self.title}: {self.step}" if self.title else self.step


@dataclass(frozen=True, slots=True)
class Glance:
    """What there is to show at one moment.

    Attributes:
        works: what is being done.
        done: how many builds have ended.
        total: how many builds there are; 0 where the command has none.
        elapsed: how long the command has worked, in seconds.
        left: what is left, in words; empty where nobody knows.
        now: what time it is, as works have it.
    """

    works: tuple[Work, ...]
    done: int
    total: int
    elapsed: float
    left: str
    now: float


def beat_text(glance: Glance) -> str:
    """Return one line about what is being done."""
    first, *others = [work.text for work in glance.works] or ["working"]
    more = f" (and {len(others)} more)" if others else ""
    counted = next((f", {work.done} of {work.total}" for work in glance.works[:1] if work.total), "")
    ended = f"; {glance.done} of {glance.total} builds ended" if glance.total > 1 else ""
    left = f"; {glance.left}" if glance.left else ""
    return f"… {clock_text(glance.elapsed)}  {first}{counted}{more}{ended}{left}"
