"""Every Python that has this directory on its path lives a day and some hours later, and has no network.

Only clocks that Python reads are changed; what a library asks of the system itself is not.
"""

from __future__ import annotations

import datetime as dt
import runpy
import time
from pathlib import Path
from typing import Any

_LATER = 93_784.5  # seconds

_time, _time_ns, _localtime, _gmtime = time.time, time.time_ns, time.localtime, time.gmtime
time.time = lambda: _time() + _LATER
time.time_ns = lambda: _time_ns() + int(_LATER * 1e9)
time.localtime = lambda seconds=None: _localtime(time.time() if seconds is None else seconds)
time.gmtime = lambda seconds=None: _gmtime(time.time() if seconds is None else seconds)


class _Later(dt.datetime):
    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return dt.datetime.fromtimestamp(time.time(), tz)

    @classmethod
    def utcnow(cls) -> Any:
        return dt.datetime.fromtimestamp(time.time(), dt.UTC).replace(tzinfo=None)


dt.datetime = _Later  # type: ignore[misc]
runpy.run_path(str(Path(__file__).parents[1] / "offline" / "sitecustomize.py"))
