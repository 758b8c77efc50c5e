"""The catalogue as text, as a Markdown table, and as data; and one spec composed, with where each value came from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from exporter.catalog import feature_of
from exporter.source import Mapping, Node, Scalar, Sequence
from exporter.spec import DTYPES, TRACERS, Spec


def catalogue_data(specs: Iterable[Spec]) -> list[dict[str, Any]]:
    """Return every architecture with its tasks, and what is refused with the reason."""
    return [
        {
            "architecture": spec.architecture,
            "family": spec.family,
            "spec": spec.path,
            "tasks": [
                {
                    "task": task.name,
                    "feature": feature_of(task.name),
                    "graphs": [graph.file_name for graph in task.graphs],
                    "tracer": task.tracer.name,
                    "tracers": [name for name in TRACERS if name not in task.refused],
                    "dtypes": [name for name in DTYPES if name in task.tolerances and name not in task.refused],
                    "refused": dict(task.refused),
                }
                for task in spec.tasks.values()
            ],
        }
        for spec in specs
    ]


def catalogue_text(specs: Iterable[Spec]) -> Iterator[str]:
    """Yield the architectures with their tasks, one task a line."""
    listed = catalogue_data(specs)
    tasks = [task for entry in listed for task in entry["tasks"]]
    width = max((len(task["task"]) for task in tasks), default=0)
    features = max((len(task["feature"]) for task in tasks), default=0)
    for entry in listed:
        yield f"{entry['architecture']}  ({entry['family']})"
        for task in entry["tasks"]:
            yield f"  {task['task'].ljust(width)}  {task['feature'].ljust(features)}  {', '.join(task['tracers'])}  {', '.join(task['dtypes'])}"
            for what, reason in task["refused"].items():
                yield f"    not {what}: {reason}"
    yield f"{len(listed)} architectures, {len(tasks)} tasks"


def catalogue_markdown(specs: Iterable[Spec]) -> str:
    """Return the table of architectures × tasks for the README."""
    lines = ["| architecture | tasks | tracers | dtypes |", "|---|---|---|---|"]
    reasons: list[str] = []
    for entry in catalogue_data(specs):
        tasks = ", ".join(f"`{task['task']}`" for task in entry["tasks"])
        tracers = ", ".join(name for name in TRACERS if all(name in task["tracers"] for task in entry["tasks"]))
        dtypes = ", ".join(name for name in DTYPES if all(name in task["dtypes"] for task in entry["tasks"]))
        lines.append(f"| {entry['architecture']} | {tasks} | {tracers} | {dtypes} |")
        for task in entry["tasks"]:
            reasons += [
                f"- {entry['architecture']} `{task['task']}`, {what}: {why}" for what, why in task["refused"].items()
            ]
    return (
        "\n".join([*lines, *(["", "Refused, with the reason:", "", *dict.fromkeys(reasons)] if reasons else [])]) + "\n"
    )


def composed_text(tree: Mapping) -> Iterator[str]:
    """Yield a composed spec as YAML, each value followed by the file and line it came from."""
    rows = list(_lines(tree, 0))
    width = min(max((len(text) for text, _ in rows), default=0), 100)
    for text, origin in rows:
        yield f"{text.ljust(width)}  # {origin}" if origin else text


def composed_data(node: Node) -> Any:
    """Return a composed spec as data in which each leaf is ``{value, from}``."""
    if isinstance(node, Mapping):
        return {key: composed_data(value) for key, value in node.items()}
    if isinstance(node, Sequence):
        return [composed_data(item) for item in node.items]
    return {"value": node.value, "from": f"{node.span.source.name}:{node.span.line}"}


def _lines(node: Mapping, depth: int) -> Iterator[tuple[str, str]]:
    for key, value in node.entries:
        indent = "  " * depth
        if isinstance(value, Mapping) and value.entries:
            yield f"{indent}{key.value}:", ""
            yield from _lines(value, depth + 1)
        else:
            yield f"{indent}{key.value}: {_inline(value)}", f"{value.span.source.name}:{value.span.line}"


def _inline(node: Node) -> str:
    if isinstance(node, Mapping):
        return "{}"
    if isinstance(node, Sequence):
        return f"[{', '.join(_inline(item) for item in node.items)}]"
    return _scalar(node)


def _scalar(node: Scalar) -> str:
    text = node.span.text
    return " ".join(text.split()) if text else "null"
