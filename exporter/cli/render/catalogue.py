"""The catalogue as text, as a Markdown table, and as data; and one spec composed, with where each value came from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from exporter.language.catalog import feature_of, load_tasks
from exporter.language.document import Mapping, Node, Scalar, Sequence
from exporter.language.spec import DEFAULT_TRACER, DTYPES, TRACERS, WITH_PAST, Spec, TaskSpec
from exporter.planning.target import Target
from exporter.targets.registry import TARGETS


def catalogue_data(specs: Iterable[Spec]) -> list[dict[str, Any]]:
    """Return every architecture with its tasks, and what is refused with the reason."""
    return [
        {
            "architecture": spec.architecture,
            "family": spec.family,
            "spec": spec.path,
            "minimum_opsets": {
                dtype: {"opset": least.opset, "because": least.because} for dtype, least in spec.minimum_opsets.items()
            },
            "tasks": [
                {
                    "task": task.name,
                    "feature": feature_of(task.name),
                    "graphs": [graph.component_stem for graph in task.graphs],
                    "targets": {target.name: _target_data(task, target) for target in TARGETS.values()},
                    "tracer": task.tracer.name,
                    "tracer_because": task.tracer.because,
                    "tracers": [name for name in TRACERS if name not in task.refused],
                    "dtypes": [name for name in DTYPES if name in task.tolerances and name not in task.refused],
                    "refused": dict(task.refused),
                    "refused_when": {
                        name: {"when": refusal.when.text, "because": refusal.because}
                        for name, refusal in task.refused_when.items()
                    },
                    "patches": dict(task.patches),
                    "monolith": task.monolith is not None,
                    "merged": bool(task.merged) and "merged" not in task.refused,
                }
                for task in spec.tasks.values()
            ],
        }
        for spec in specs
    ]


def _target_data(task: TaskSpec, target: Target) -> dict[str, Any]:
    """Return whether a task can be had as a target, and which dims have one size there."""
    limit = task.targets.get(target.name)
    static = ["every dim"] if target.all_static else list(limit.static) if limit is not None else []
    because = limit.because if limit is not None else None
    return {"refused": limit.refused if limit is not None else None, "static": static, "because": because}


def catalogue_text(specs: Iterable[Spec]) -> Iterator[str]:
    """Yield the architectures with their tasks, one task a line."""
    listed = catalogue_data(specs)
    tasks = [task for entry in listed for task in entry["tasks"]]
    width = max((len(task["task"]) for task in tasks), default=0)
    features = max((len(task["feature"]) for task in tasks), default=0)
    for entry in listed:
        yield f"{entry['architecture']}  ({entry['family']})"
        for task in entry["tasks"]:
            targets = ", ".join(name for name, target in task["targets"].items() if target["refused"] is None)
            names = f"{task['task'].ljust(width)}  {task['feature'].ljust(features)}"
            yield f"  {names}  {', '.join(task['tracers'])}  {', '.join(task['dtypes'])}  {targets}"
            for choice, reason in task["refused"].items():
                yield f"    not {choice}: {reason}"
            for name, refusal in task["refused_when"].items():
                yield f"    not {_choice(name, name + ' ')}where {refusal['when']}: {refusal['because']}"
            for line in _target_notes(task):
                yield f"    {line}"
    yield f"{len(listed)} architecture{'s' * (len(listed) != 1)}, {len(tasks)} task{'s' * (len(tasks) != 1)}"


def _target_notes(task: dict[str, Any]) -> Iterator[str]:
    """Yield what a task cannot do as a target, one target a line."""
    for name, target in task["targets"].items():
        if target["refused"] is not None:
            yield f"not as {name}: {target['refused']}"
        elif target["because"] is not None:
            yield f"as {name} at one {' and '.join(target['static'])}: {target['because']}"


def catalogue_markdown(specs: Iterable[Spec]) -> str:
    """Return the tables of architectures × tasks for the README.

    There is one for each family, and one list of what is refused or unusual with its reason, which the cells number.
    """
    entries = catalogue_data(specs)
    pairs = sum(len(entry["tasks"]) for entry in entries)
    notes: dict[str, int] = {}
    lines = [f"{len(entries)} architectures, {pairs} (architecture, task) pairs. {_key()}"]
    for family in sorted({entry["family"] for entry in entries}):
        members = [entry for entry in entries if entry["family"] == family]
        columns = [task for task in load_tasks() if any(_forms(entry, task) for entry in members)]
        lines += ["", f"| {family} | {' | '.join(columns)} |", f"|---|{':-:|' * len(columns)}"]
        for entry in members:
            # A note that holds for every task of an architecture stands once, beside the name.
            by_task = [task_notes(entry, task) for task in entry["tasks"]]
            shared = set(by_task[0]).intersection(*by_task[1:]) if by_task else set()
            name = f"[{entry['architecture']}](specs/{entry['architecture']}.yaml)"
            marks = _numbers([note for note in by_task[0] if note in shared] if by_task else (), notes)
            cells = [_cell(entry, column, shared, notes) for column in columns]
            lines.append(f"| {name}{marks} | {' | '.join(cells)} |")
    lines += ["", *(f"{number}. {note}" for note, number in notes.items())] if notes else []
    return "\n".join(lines) + "\n"


def _key() -> str:
    """Return what the marks in the tables mean."""
    dynamic = ", ".join(f"`{target.name}`" for target in TARGETS.values() if not target.all_static)
    static = ", ".join(f"`{target.name}`" for target in TARGETS.values() if target.all_static)
    targets = f"{dynamic} and, at fixed sizes, {static}" if static else dynamic
    return (
        f"✓: the task builds, as every target ({targets}) that no number refuses; "
        "`+past`: so does its `-with-past` form; `past`: only that form; ✗: refused. ONNX graphs are recorded with the "
        f"{DEFAULT_TRACER} tracer where the cell names no other, in {', '.join(DTYPES[:-1])} or {DTYPES[-1]}. "
        "A number says what is refused or different, and why."
    )


def _forms(entry: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Return the tasks of an architecture in the column of a task: ``text-generation``, and it ``-with-past``."""
    return [task for task in entry["tasks"] if task["task"] in (name, f"{name}{WITH_PAST}")]


def _cell(entry: dict[str, Any], name: str, shared: set[str], notes: dict[str, int]) -> str:
    forms = _forms(entry, name)
    if not forms:
        return ""
    past = any(task["task"].endswith(WITH_PAST) for task in forms)
    words = ["✓" if not past else "✓ +past" if len(forms) > 1 else "past"]
    if not any(task["tracers"] for task in forms):
        words = ["✗"]
    words += {task["tracer"]: None for task in forms if task["tracer"] != DEFAULT_TRACER and task["tracers"]}
    own = dict.fromkeys(note for task in forms for note in task_notes(entry, task) if note not in shared)
    return " ".join(words) + _numbers(own, notes)


def task_notes(entry: dict[str, Any], task: dict[str, Any]) -> list[str]:
    """Return what is refused or unusual about one task, each in a sentence."""
    notes = [f"`{choice}` is refused: {reason}" for choice, reason in task["refused"].items()]
    notes += [
        f"{_choice(name, f'`{name}` is ')}refused where `{refusal['when']}`: {refusal['because']}"
        for name, refusal in task["refused_when"].items()
    ]
    notes += _target_notes(task)
    if task["tracer"] != DEFAULT_TRACER:
        notes.append(f"the tracer is `{task['tracer']}`: {task['tracer_because']}")
    notes += [f"recorded with the patch `{patch}`: {reason}" for patch, reason in task["patches"].items()]
    unbound = [name for name in DTYPES if name not in task["dtypes"] and name not in task["refused"]]
    notes += [f"`{name}` has no tolerance, so a build needs `--atol` and `--rtol`" for name in unbound]
    least: dict[tuple[int, str], list[str]] = {}
    for dtype, minimum in entry["minimum_opsets"].items():
        least.setdefault((minimum["opset"], minimum["because"]), []).append(dtype)
    for (opset, because), dtypes in least.items():
        within = "" if len(dtypes) == len(DTYPES) else f" in {', '.join(f'`{dtype}`' for dtype in dtypes)}"
        notes.append(f"opset {opset} or later{within}: {because}")
    return notes


def _choice(name: str, words: str) -> str:
    """Return the words where the name is that of a tracer or dtype, and nothing where the spec made it up.

    The latter is the name of a condition on the config, which the text after it spells out.
    """
    return words if name in (*TRACERS, *DTYPES) else ""


def _numbers(marked: Iterable[str], notes: dict[str, int]) -> str:
    """Return the numbers of some notes as a mark. ``notes`` has the numbers; a note that has none yet gets the next."""
    numbers = [notes.setdefault(note, len(notes) + 1) for note in marked]
    return f" <sup>{' '.join(map(str, sorted(numbers)))}</sup>" if numbers else ""


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
