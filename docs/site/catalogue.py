"""The catalogue as one table, a row for each architecture and the tasks of it that are alike in all else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from exporter.cli.render.catalogue import catalogue_data, task_notes
from exporter.language.spec import Spec
from exporter.targets.registry import TARGETS

COLUMNS = ("Architecture", "Family", "Tasks", "Targets", "Tracers", "What is refused or different, and why")


def catalogue_page(specs: Iterable[Spec], folder: str) -> str:
    """Return the page as Markdown; without scripts it is a plain table, and assets/catalogue.js adds the filters.

    Args:
        specs: the specs of the catalogue.
        folder: the address of the folder they are in.
    """
    entries = catalogue_data(specs)
    pairs = sum(len(entry["tasks"]) for entry in entries)
    static = " and ".join(f"`{target.name}`" for target in TARGETS.values() if target.all_static)
    opening = (
        f"{len(entries)} architectures, {pairs} (architecture, task) pairs, as the specs have them. A row is an "
        "architecture and those of its tasks that are alike in everything else; the first tracer named is the one a "
        f"build takes. Graphs of {static} have fixed sizes. `exporter list` prints the same for a terminal."
    )
    lines = ["---", "hide: [navigation, toc]", "---", "", "# Architectures and tasks", "", opening]
    lines += ["", '<div class="catalogue" markdown="1">', "", f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]
    lines += [_row(cells) for entry in entries for cells in _rows(entry, folder)]
    return "\n".join([*lines, "", "</div>", ""])


def _rows(entry: dict[str, Any], folder: str) -> Iterator[tuple[str, ...]]:
    """Yield the cells of an architecture's rows."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for task in entry["tasks"]:
        targets = _codes(name for name, target in task["targets"].items() if target["refused"] is None)
        tracers = _codes(sorted(task["tracers"], key=lambda name: name != task["tracer"])) or "none"
        notes = "<br>".join(_sentence(note) for note in task_notes(entry, task))
        alike.setdefault((targets if task["tracers"] else "none", tracers, notes), []).append(task["task"])
    for (targets, tracers, notes), tasks in alike.items():
        name = f"[{entry['architecture']}]({folder}/{entry['architecture']}.yaml)"
        yield name, entry["family"], _codes(tasks), targets, tracers, notes


def _codes(names: Iterable[str]) -> str:
    return " ".join(f"`{name}`" for name in names)


def _sentence(note: str) -> str:
    """Return a note as a sentence of its own."""
    return f"{note[0].upper()}{note[1:].rstrip('.')}."


def _row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
