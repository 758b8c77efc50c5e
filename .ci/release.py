"""Hold a tag against the version, and print the notes of its release: ``python .ci/release.py v0.1.0``.

The version is in `pyproject.toml` and the notes are in `CHANGELOG.md`. A tag that disagrees with one of them publishes
nothing.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent


def release_notes(changelog: str, version: str) -> str:
    """Return what stands under the heading of a version, ``## [0.1.0] - 2027-01-31``; empty where it has none."""
    heading = re.compile(rf"^## \[{re.escape(version)}\][^\n]*\n(.*?)(?=^## \[|\Z)", re.MULTILINE | re.DOTALL)
    section = heading.search(changelog)
    return section[1].strip() if section is not None else ""


def main(tag: str, root: Path = ROOT) -> str:
    """Return the notes of the release that a tag asks for, or leave with what is wrong with the tag."""
    version = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    if tag != f"v{version}":
        sys.exit(f"the tag '{tag}' is not of the version in pyproject.toml, which is {version}: tag 'v{version}'")
    notes = release_notes((root / "CHANGELOG.md").read_text("utf-8"), version)
    if not notes:
        sys.exit(f"CHANGELOG.md has nothing under '## [{version}]': give its Unreleased entries that heading")
    return notes


if __name__ == "__main__":
    print(main(*sys.argv[1:]))
