"""Find specs, families and tasks: by path, by architecture, by task name or retired feature name.

This module alone knows that the catalogue lives in ``specs/`` of a repository and inside the package of a wheel.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from exporter.errors import UsageError, did_you_mean
from exporter.language.document import Document, Scalar, load_document, to_data
from exporter.language.spec import WITH_PAST
from exporter.nearness import is_elsewhere, letters, nearest

# How transformers calls a translation between two languages.
_TRANSLATION = re.compile(r"translation_[a-z]{2,3}_to_[a-z]{2,3}")


@dataclass(frozen=True, slots=True)
class TaskName:
    """A task of the vocabulary: its Hub name, retired feature name and other names, and its auto class.

    The parts of the task that it ``extends`` are laid under its own. With ``pooled`` the model is followed by the
    modules that make one embedding of each text.
    """

    name: str
    feature: str
    aliases: tuple[str, ...]
    auto_class: str
    description: str
    extends: str | None = None
    pooled: bool = False

    @property
    def words(self) -> tuple[str, ...]:
        """Every word that means this task."""
        return (self.name, self.feature, *self.aliases)


def spec_directory() -> Path:
    """Return the catalogue's directory: in the package of a wheel, or beside it in a repository."""
    packaged = Path(__file__).parent.parent / "_catalog" / "specs"
    return packaged if packaged.is_dir() else Path(__file__).parent.parent.parent / "specs"


@lru_cache(maxsize=1)
def load_tasks() -> Mapping[str, TaskName]:
    """Return the vocabulary of tasks by Hub name."""
    document = load_document(spec_directory() / "tasks.yaml")
    # The file is ours and linted, so its form is known.
    data: Any = to_data(document.root) if document.root is not None else {"tasks": {}}
    return {
        name: TaskName(
            name=name,
            feature=entry["feature"],
            aliases=tuple(entry.get("aliases", ())),
            auto_class=entry["auto_class"],
            description=entry["description"],
            extends=entry.get("extends"),
            pooled=entry.get("pooled", False),
        )
        for name, entry in data["tasks"].items()
    }


def resolve_task(name: str) -> str:
    """Return the Hub name of a task given by any of its names, with or without ``-with-past``.

    Raises:
        UsageError: the word is no task's name.
    """
    resolved = task_of_word(name)
    if resolved is None:
        raise UsageError(f"unknown task '{name}'", help=suggest_task(name, load_tasks(), otherwise="the tasks are"))
    return resolved


def task_of_word(name: str) -> str | None:
    """Return the Hub name of the task that a word means, or None."""
    base, suffix = (name.removesuffix(WITH_PAST), WITH_PAST) if name.endswith(WITH_PAST) else (name, "")
    base = "translation" if _TRANSLATION.fullmatch(base) else base
    return next((task.name + suffix for task in load_tasks().values() if base in task.words), None)


def task_of_spelling(name: str) -> str | None:
    """Return the Hub name of the task whose name a word is in another spelling, such as ``MaskedLM``, or None."""
    base, suffix = (name.removesuffix(WITH_PAST), WITH_PAST) if name.endswith(WITH_PAST) else (name, "")
    spelt = {letters(word): task for word, task in task_synonyms().items()}
    task = spelt.get(letters(base)) or spelt.get(letters(base).removesuffix("pipeline"))
    return task + suffix if task is not None else None


def suggest_task(name: str, tasks: Iterable[str], *, otherwise: str) -> str | None:
    """Return what to write in place of a word that is none of these tasks: the nearest in meaning, or all of them."""
    known = list(tasks)
    current = task_of_word(name) or task_of_spelling(name)
    if current in known:
        return f"did you mean '{current}'?"
    stem, suffix = (name.removesuffix(WITH_PAST), WITH_PAST) if name.endswith(WITH_PAST) else (name, "")
    with_suffix = [task for task in nearest(stem, known, task_synonyms()) if task + suffix in known]
    if suffix and with_suffix:
        return f"did you mean '{with_suffix[0]}{suffix}'?"
    return did_you_mean(stem, known, otherwise=otherwise, also=task_synonyms())


@lru_cache(maxsize=1)
def task_synonyms() -> Mapping[str, str]:
    """Return the Hub name of the task that each word means, auto classes that stand for one task among them."""
    tasks = load_tasks().values()
    classes = Counter(task.auto_class for task in tasks)
    synonyms = {task.auto_class: task.name for task in tasks if classes[task.auto_class] == 1}
    synonyms |= {auto_class.removeprefix("AutoModelFor"): task for auto_class, task in synonyms.items()}
    return synonyms | {word: task.name for task in tasks for word in task.words}


def task_words() -> list[str]:
    """Return every word accepted as a task, without the ``-with-past`` forms."""
    return sorted({word for task in load_tasks().values() for word in task.words})


def feature_of(task: str) -> str:
    """Return the retired feature name of a task: ``causal-lm-with-past`` for ``text-generation-with-past``."""
    base = task.removesuffix(WITH_PAST)
    entry = load_tasks().get(base)
    return (entry.feature if entry is not None else base) + (WITH_PAST if task.endswith(WITH_PAST) else "")


def list_specs(directory: Path | None = None) -> list[Path]:
    """Return the spec files of a directory (the catalogue by default), sorted by name."""
    folder = directory or spec_directory()
    return sorted(path for path in folder.glob("*.yaml") if path.name != "tasks.yaml")


def find_spec(name: str) -> Path:
    """Return the spec named by a path or an architecture.

    Raises:
        UsageError: there is no such file and no such architecture.
    """
    path = Path(name)
    if _is_file(path):
        return path
    if path.suffix in (".yaml", ".yml") or "/" in name:
        raise UsageError(
            f"there is no spec '{name}'", help="give the path of a YAML file, or an architecture of 'exporter list'"
        )
    path = spec_directory() / f"{name}.yaml"
    if name and _is_file(path) and name != "tasks":
        return path
    known = [spec.stem for spec in list_specs()]
    help_ = did_you_mean(name, known, otherwise="the architectures are")
    if is_elsewhere(name, "architectures") and not nearest(name, known):
        help_ = "transformers has it, and the catalogue has not: docs/adding-a-model.md says how to write its spec"
    raise UsageError(f"no spec for the architecture '{name}'", help=help_)


def _is_file(path: Path) -> bool:
    """Tell whether there is such a file. For a name too long for a file system, `is_file` raises."""
    try:
        return path.is_file()
    except OSError:
        return False


def _is_directory(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def find_family(name: str, near: Path | None) -> Document | None:
    """Return the family document: from ``families/`` beside the spec, else from the catalogue."""
    folders = [near.parent / "families"] if near is not None else []
    # A family is a file of these directories, and of no other.
    for folder in (*folders, spec_directory() / "families") if Path(name).name == name else ():
        path = folder / f"{name}.yaml"
        if _is_file(path):
            return _load_family(path, path.stat().st_mtime_ns)
    return None


@lru_cache(maxsize=256)
def _load_family(path: Path, _modified: int) -> Document:
    return load_document(path, display_name(path))


def family_names(near: Path | None = None) -> list[str]:
    """Return the names a spec at ``near`` may extend."""
    folders = [near.parent / "families"] if near is not None else []
    return sorted({path.stem for folder in (*folders, spec_directory() / "families") for path in folder.glob("*.yaml")})


def display_name(path: Path) -> str:
    """Return the shortest honest name of a file: relative to here, ``specs/…`` in the catalogue, else absolute."""
    for base, prefix in ((Path.cwd(), Path()), (spec_directory(), Path("specs"))):
        try:
            return (prefix / path.resolve().relative_to(base.resolve())).as_posix()
        except ValueError:
            continue
    return path.as_posix()


def expand_paths(paths: Iterable[str]) -> list[Path]:
    """Return the YAML files that paths name: files as given, directories searched through.

    Raises:
        UsageError: a path does not exist.
    """
    files: dict[Path, None] = {}
    for name in paths:
        path = Path(name)
        if _is_directory(path):
            found = sorted((*path.rglob("*.yaml"), *path.rglob("*.yml")))
            files.update(dict.fromkeys(file for file in found if not _is_directory(file)))
        elif _is_file(path):
            files[path] = None
        else:
            files[find_spec(name)] = None
    return list(files)


def scalar_text(document: Document, key: str) -> Scalar | None:
    """Return a top-level scalar of a document, or None."""
    node = document.root.get(key) if document.root is not None else None
    return node if isinstance(node, Scalar) else None
