"""How long builds took, kept in the user's cache: an artifact holds no time, so that equal builds give equal bytes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from exporter import records
from exporter.building.pool import Outcome
from exporter.building.request import Request

CACHE = "EXPORTER_CACHE"
_FILE = "builds.json"
# The builds that are remembered, of which the oldest are forgotten.
_MOST = 1_000
_MOST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Duration:
    """A build that ended well.

    Attributes:
        seconds: how long it took.
        bytes: the size of its artifact.
        ended: when, in seconds since 1970.
    """

    seconds: float
    bytes: int
    ended: float


def cache_directory() -> Path:
    """Return the directory that keeps what is worth keeping between commands; it need not be there.

    The variable ``EXPORTER_CACHE`` names another than ``exporter`` in the user's cache.
    """
    own = os.environ.get(CACHE)
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "exporter"


def find_duration(request: Request) -> Duration | None:
    """Return how the same request went last time: the same options, checkpoint and place."""
    entry = _read().get(_key(request))
    try:
        return records.from_data(Duration, entry) if isinstance(entry, Mapping) else None
    except (TypeError, ValueError, KeyError):
        return None


def keep_duration(request: Request, seconds: float, size: int) -> None:
    """Remember how a request went. Where nothing can be written, nothing is remembered."""
    with contextlib.suppress(OSError, RuntimeError):
        entries = _read()
        entries.pop(_key(request), None)
        entries[_key(request)] = asdict(Duration(round(seconds, 2), size, round(time.time())))
        kept = dict(list(entries.items())[-_MOST:])
        directory = cache_directory()
        directory.mkdir(parents=True, exist_ok=True)
        # Put in place whole, as several commands may do so at once: one of them is forgotten, and the file is sound.
        new = directory / f"{_FILE}.{os.getpid()}"
        try:
            new.write_text(json.dumps(kept), "utf-8")
            new.replace(directory / _FILE)
        finally:
            new.unlink(missing_ok=True)


def remembered(outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
    """Yield outcomes of builds, and remember how long those took that ended well."""
    for outcome in outcomes:
        if outcome.error is None:
            keep_duration(outcome.build.request, outcome.seconds, sum(outcome.files.values()))
        yield outcome


def _read() -> dict[str, Any]:
    """Return what is remembered, by digests of requests; nothing where the file is none of ours."""
    try:
        path = cache_directory() / _FILE
        if path.stat().st_size > _MOST_BYTES:
            return {}
        entries = json.loads(path.read_text("utf-8"))
    except (OSError, RuntimeError, ValueError, RecursionError):
        return {}
    return entries if isinstance(entries, dict) else {}


def _key(request: Request) -> str:
    """Return a digest of a request, which tells nobody what was built from which file."""
    data = records.to_data(request)
    data["output"] = str(Path(data["output"] or ".").absolute())
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:32]
