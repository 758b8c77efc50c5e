"""Which documents to lint when files have changed: ours alone, and with a family all that are laid over it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

# Other programs keep YAML in folders called `specs` too. A document of ours says so in one of these ways, also where it
# is broken, or lacks what it must have.
_OURS = re.compile(
    r"""^(["']?)spec_version\1[ \t]*: | ^\#[ ]*yaml-language-server:.*/(spec|family|tasks|build)\.schema\.json\b""",
    re.MULTILINE | re.VERBOSE,
)
_NAMED = re.compile(r"""^(["']?)(architecture|family)\1[ \t]*:""", re.MULTILINE)
_FILLED = re.compile(r"""^(["']?)(tasks|extends)\1[ \t]*:""", re.MULTILINE)
# What others are laid over. Its name says so: a file that was removed has no text.
_FAMILIES, _TASKS = "families", "tasks"
_MAX_CHARACTERS = 1_000_000


def is_ours(path: Path) -> bool:
    """Tell whether a file is a document of ours, good or not. One that cannot be read is none."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            text = file.read(_MAX_CHARACTERS)
    except OSError:
        return False
    return bool(_OURS.search(text) or (_NAMED.search(text) and _FILLED.search(text)))


def find_affected(changed: Iterable[str]) -> list[str]:
    """Return the documents to lint after a change: those of ours among the files, and what is laid over them.

    A family that changed, or is gone, brings every document of its catalogue, which is the directory that holds
    ``families``; the file of the tasks brings those beside it.

    Args:
        changed: paths, of which some may be gone.
    """
    affected: dict[Path, None] = {}
    for path in map(Path, changed):
        if path.exists() and not is_ours(path):
            continue
        if path.is_file():
            affected[path] = None
        catalogue = _catalogue_of(path)
        if catalogue is not None:
            found = sorted((*catalogue.rglob("*.yaml"), *catalogue.rglob("*.yml")))
            affected.update(dict.fromkeys(each for each in found if is_ours(each)))
    return [path.as_posix() for path in affected]


def removed_files() -> list[str]:
    """Return the YAML files that the commit being made removes; none where there is no git, or no repository."""
    command = ["git", "diff", "--cached", "--name-only", "--no-renames", "--diff-filter=D", "-z", "--relative"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.SubprocessError):
        return []
    return [name for name in done.stdout.split("\0") if name.endswith((".yaml", ".yml"))]


def _catalogue_of(path: Path) -> Path | None:
    """Return the directory whose documents depend on a file; None where none do."""
    if path.parent.name == _FAMILIES:
        return path.parent.parent
    return path.parent if path.stem == _TASKS else None
