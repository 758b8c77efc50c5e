"""A draft: what a spec would say, as plain values, and the remarks on how sure that is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Path = tuple[str, ...]


@dataclass(slots=True)
class Draft:
    """What is known so far of a spec; it changes while its model is looked at.

    Attributes:
        architecture: the architecture.
        family: the family it extends.
        parts: the document without its first lines: dims, inputs, arguments, tasks, reference and so on.
        remarks: what to say above a key of the document, by its path.
    """

    architecture: str
    family: str
    parts: dict[str, Any] = field(default_factory=dict)
    remarks: dict[Path, str] = field(default_factory=dict)

    def put(self, path: Path, value: Any, remark: str | None = None) -> None:
        """Set the value at a path, making the mappings on the way."""
        node = self.parts
        for step in path[:-1]:
            node = node.setdefault(step, {})
        node[path[-1]] = value
        if remark is not None:
            self.remarks[path] = remark

    def has(self, path: Path) -> bool:
        """Tell whether there is a value at a path."""
        node: Any = self.parts
        for step in path:
            if not isinstance(node, Mapping) or step not in node:
                return False
            node = node[step]
        return True

    def drop(self, path: Path) -> None:
        """Remove the value at a path, and every mapping that it leaves empty but one of a task."""
        node: Any = self.parts
        for step in path[:-1]:
            node = node.get(step, {})
        node.pop(path[-1], None)
        self.remarks.pop(path, None)
        if len(path) == 1 or node:
            return
        if path[0] != "tasks" or len(path) > 3:
            self.drop(path[:-1])

    @property
    def tasks(self) -> dict[str, Any]:
        """The tasks."""
        tasks: dict[str, Any] = self.parts.setdefault("tasks", {})
        return tasks

    def leave_out(self, task: str) -> None:
        """Remove a task, and what is said of it."""
        self.tasks.pop(task, None)
        self.remarks = {path: text for path, text in self.remarks.items() if path[:2] != ("tasks", task)}


def places_of(part: Mapping[str, Any], kind: str, name: str, path: Path = ()) -> Iterator[Path]:
    """Yield the paths at which a document says something of one input or argument.

    Args:
        part: the document.
        kind: ``inputs`` or ``arguments``.
        name: the input or argument.
        path: where the part is in the document.
    """
    for key, value in part.items():
        if isinstance(value, Mapping):
            if key == kind and value.get(name) is not None:
                yield (*path, key, name)
            yield from places_of(value, kind, name, (*path, key))
