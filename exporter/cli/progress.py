"""What a command shows while it works, on standard error: live bars on a terminal, a line now and then elsewhere.

Everything that a command prints as it works goes through its `Display`, so that no line is written over another.
Nothing is started before the first step is shown: until then a process has one thread, and can be forked.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporter.cli import manner
from exporter.cli.color import is_live, wants_color
from exporter.cli.manner import Manner
from exporter.cli.render.glance import Glance, Work, beat_text
from exporter.cli.render.text import clock_text, visible

if TYPE_CHECKING:
    from exporter.building.forecast import Forecast
    from exporter.building.requests import Build

# How long nothing is printed before a line says what is being done, where no terminal shows it.
_SILENCE_SECONDS = 30.0
_STANDARD_ERROR = 2
_SHOW_CURSOR = b"\r\x1b[?25h"


class Display:
    """Shows what a command does; open it around the work.

    Args:
        silence: after how many seconds without a line one says what is being done, where nothing is live.
    """

    def __init__(self, silence: float = _SILENCE_SECONDS) -> None:
        self._manner = Manner.current()
        self._silence = silence
        self._lock = threading.RLock()
        self._begun = self._spoken = time.monotonic()
        self._works: dict[Path | None, Work] = {}
        self._forecast: Forecast | None = None
        self._done = self._total = 0
        self._bars: Any = None
        self._heart: threading.Thread | None = None
        self._ended = threading.Event()

    def __enter__(self) -> Display:
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        with self._lock:
            self._works.clear()
            self._hide()
        if self._heart is not None:
            self._heart.join()

    def expect(self, builds: Iterable[Build], jobs: int = 1) -> None:
        """Take note of all the builds there will be, and of how long they took before."""
        from exporter.building.forecast import Forecast

        expected = list(builds)
        with self._lock:
            self._total = len(expected)
            self._forecast = Forecast.of(expected, min(jobs, self._total), time.monotonic)

    def show(self, text: str) -> None:
        """Show what the command is doing."""
        self._show(None, "", text)

    def show_build(self, build: Build, text: str) -> None:
        """Show what is being done for a build."""
        with self._lock:
            if self._forecast is not None:
                self._forecast.begin(build.output)
            self._show(build.output, f"{build.architecture} {build.task}", text)

    def end_build(self, build: Build) -> None:
        """Take note that a build has ended."""
        with self._lock:
            if self._forecast is not None:
                self._forecast.end(build.output)
            self._works.pop(build.output, None)
            self._done += 1

    def end_running(self) -> None:
        """Take note that the build that runs has ended, of builds that run one by one."""
        with self._lock:
            for place in [place for place in self._works if place is not None]:
                self._works.pop(place)
                if self._forecast is not None:
                    self._forecast.end(place)
            self._done += 1

    def hear(self, printed: str) -> None:
        """Say what libraries printed, indented."""
        for line in printed.rstrip().splitlines():
            self.say(f"    | {visible(line)}".rstrip())

    def tell(self, text: str) -> None:
        """Say a line that nobody needs who asks for quiet."""
        if not self._manner.quiet:
            self.say(text)

    def say(self, text: str) -> None:
        """Say a line on standard error."""
        with self._lock:
            self._spoken = time.monotonic()
            if self._bars is not None:
                self._bars.say(text)
            else:
                manner.say(text)

    def print(self, text: str) -> None:
        """Print a line on standard output."""
        with self.away():
            manner.say(text, err=False)
            sys.stdout.flush()

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """Leave the terminal to what is printed or asked meanwhile."""
        with self._lock:
            is_shown = self._bars is not None
            self._hide()
            yield
            self._spoken = time.monotonic()
            if is_shown:
                self._begin()

    def glance(self) -> Glance:
        """Return what there is to show now."""
        from exporter.building.forecast import left_text

        with self._lock:
            now = time.monotonic()
            left = left_text(self._forecast.left() if self._forecast is not None and self._works else None)
            works = tuple(self._works.values())
            return Glance(works, self._done, self._total, now - self._begun, left, now)

    def _show(self, key: Path | None, title: str, text: str) -> None:
        # What a stranger's process says may hold what a terminal obeys.
        step = visible(str(text))
        with self._lock:
            now = time.monotonic()
            before = self._works.get(key)
            begun = before.begun if before is not None else now
            work = Work(title, step, getattr(text, "done", 0), getattr(text, "total", 0), begun)
            self._works[key] = work
            if self._manner.quiet:
                return
            self._begin()
            if self._manner.verbose and (before is None or before.step != step):
                self.say(f"{clock_text(now - self._begun):>7}  {work.text}")

    def _begin(self) -> None:
        """Show what is live, or start to listen for silence."""
        if self._ended.is_set():
            return
        if is_live():
            if self._bars is None:
                from exporter.cli.render.bars import Bars

                _LIVE.add(self)
                self._bars = Bars(self.glance, color=wants_color(self._manner.color, sys.stderr))
                self._bars.show()
        elif self._heart is None:
            self._heart = threading.Thread(target=self._beat, daemon=True)
            self._heart.start()

    def _hide(self) -> None:
        if self._bars is not None:
            self._bars.hide()
            self._bars = None
            _LIVE.discard(self)

    def _beat(self) -> None:
        """Say what is being done whenever nothing was said for long."""
        while not self._ended.wait(max(self._spoken + self._silence - time.monotonic(), 0.01)):
            with self._lock:
                if self._ended.is_set() or time.monotonic() - self._spoken < self._silence:
                    continue
                with contextlib.suppress(OSError):
                    self.say(beat_text(self.glance()))


_LIVE: set[Display] = set()


def restore_terminal() -> None:
    """Show the cursor again, if a display has hidden it and did not come to its end."""
    if _LIVE:
        _LIVE.clear()
        with contextlib.suppress(OSError, ValueError):
            os.write(_STANDARD_ERROR, _SHOW_CURSOR)
