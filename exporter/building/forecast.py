"""How long builds will still take, seen from how long they took before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from exporter.building.durations import find_duration
from exporter.building.requests import Build


class Forecast:
    """What is left of some builds.

    A build that was made before takes as long as then. Another takes as long as those of this run have taken on
    average; before the first has ended, nobody knows.

    Args:
        earlier: how long each build took last time, in seconds, by its place; None where nobody knows.
        jobs: how many run at once.
        clock: what time it is, in seconds.
    """

    def __init__(self, earlier: Mapping[Path, float | None], jobs: int, clock: Callable[[], float]) -> None:
        self._earlier, self._jobs, self._clock = earlier, max(jobs, 1), clock
        self._begun: dict[Path, float] = {}
        self._taken: dict[Path, float] = {}

    @staticmethod
    def of(builds: Iterable[Build], jobs: int, clock: Callable[[], float]) -> Forecast:
        """Return the forecast for builds, from what is remembered of earlier ones."""
        earlier: dict[Path, float | None] = {}
        for build in builds:
            duration = find_duration(build.request)
            earlier[build.output] = duration.seconds if duration is not None else None
        return Forecast(earlier, jobs, clock)

    def begin(self, place: Path) -> None:
        """Take note that a build has begun."""
        self._begun.setdefault(place, self._clock())

    def end(self, place: Path) -> None:
        """Take note that a build has ended; one that was refused before it began has taken no time."""
        self._taken[place] = self._clock() - self._begun[place] if place in self._begun else 0.0

    def left(self) -> float | None:
        """Return how many seconds are left; None where nobody knows, 0 where it takes longer than it should."""
        now = self._clock()
        taken = [seconds for place, seconds in self._taken.items() if place in self._begun]
        average = sum(taken) / len(taken) if taken else None
        running: list[float] = []
        waiting: list[float] = []
        for place, earlier in self._earlier.items():
            if place in self._taken:
                continue
            expected = earlier if earlier is not None else average
            if expected is None:
                return None
            if place in self._begun:
                running.append(max(expected - (now - self._begun[place]), 0.0))
            else:
                waiting.append(expected)
        return max((sum(running) + sum(waiting)) / self._jobs, max(running, default=0.0))


def left_text(seconds: float | None) -> str:
    """Return what is left in words, as exactly as a forecast is; empty where nobody knows."""
    if seconds is None:
        return ""
    if seconds < 3:
        return "soon done"
    if seconds < 55:
        return f"about {round(seconds / 5) * 5 or 5} s left"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"about {minutes or 1} min left"
    return f"about {minutes // 60} h {minutes % 60:02} min left"
