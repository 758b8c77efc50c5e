"""The companions of a checkpoint's weights: which of its files go beside a graph, and what stays behind and why.

Everything goes that is not weights, code, training state or a cache, whatever it is called: only a tokenizer or a
processor knows which files it reads. Links are followed as far as `links.Borders` allows, and nothing but regular
files is ever opened.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from exporter.errors import CheckpointError, first_line, some
from exporter.models.checkpoints.adapter import ADAPTER_CONFIG
from exporter.models.checkpoints.directory import Checkpoint
from exporter.models.checkpoints.file_kinds import (
    CODE,
    HEAD_BYTES,
    WEIGHTS,
    is_ambiguous,
    is_needed,
    is_source,
    kind_of_content,
    kind_of_directory,
    kind_of_file,
)
from exporter.models.checkpoints.json_file import unreadable_elsewhere
from exporter.models.checkpoints.links import Borders, link_error
from exporter.models.checkpoints.modules import read_modules

LINK, BROKEN, LOOP = "links that leave the checkpoint", "broken links", "links in a circle"
NOT_JSON = "JSON that only Python reads"
SPECIAL, UNREADABLE, NAME = "devices, pipes and sockets", "unreadable", "names with odd characters"
# A file that is larger is taken for a mistake, such as an archive of the whole checkpoint or a data set.
MOST_BYTES = 1 << 30
MOST_FILES = 10_000
_SHOWN = 6


@dataclass(frozen=True, slots=True)
class LeftBehind:
    """A file of a checkpoint that does not go beside the graph, or a directory, whose name ends with ``/``."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Companions:
    """The files of a checkpoint that go beside a graph, and those that do not.

    Attributes:
        files: by the name relative to the checkpoint, with slashes, the path without links to read from.
        left: what stays behind, without the weights that are in the graph.
        folders: the folders of modules, some of which have nothing in them.
    """

    files: Mapping[str, Path]
    left: tuple[LeftBehind, ...]
    folders: tuple[str, ...] = ()


def find_companions(checkpoint: Checkpoint) -> Companions:
    """Decide for every file of a checkpoint whether it goes beside the graph.

    Raises:
        CheckpointError: a file that a runtime needs is a link that leads out of the checkpoint or nowhere, is no
            regular file or cannot be read; a file is too large; or there are too many.
    """
    adapter = checkpoint.adapter
    if adapter is not None:
        base = find_companions(replace(checkpoint, adapter=None))
        own = find_companions(
            replace(checkpoint, adapter=None, path=adapter.path, outer=None, weight_files=(), module_files=())
        )
        # With the adapter's config beside it, a library would take the graph for an adapter.
        files = {name: path for name, path in own.files.items() if name not in (ADAPTER_CONFIG, "config.json")}
        return Companions({**base.files, **files}, (*base.left, *own.left), base.folders)
    survey = _Survey(checkpoint)
    survey.run()
    found = dict(survey.files)
    if checkpoint.outer is not None:
        # Runtimes look for the files of a model at the top, and sentence-transformers in the model's folder.
        folder = f"{checkpoint.path.relative_to(checkpoint.outer).as_posix()}/"
        for name, path in survey.files.items():
            if name.startswith(folder):
                found.setdefault(name.removeprefix(folder), path)
    files = {name: found[name] for name in sorted(found)}
    left = sorted(survey.left, key=lambda item: (item.reason, item.name))
    return Companions(files, tuple(left), tuple(map(str, survey.folders)))


def left_text(left: Iterable[LeftBehind]) -> str:
    """Return a line on what stays behind: ``left behind: weights (pytorch_model.bin, onnx/)``."""
    reasons: dict[str, list[str]] = {}
    for item in left:
        reasons.setdefault(item.reason, []).append(item.name)
    groups = (f"{reason} ({some(names, _SHOWN)})" for reason, names in reasons.items())
    return f"left behind: {'; '.join(groups)}"


@dataclass(slots=True)
class _Survey:
    """A walk through a checkpoint directory, and what it has found so far."""

    checkpoint: Checkpoint
    files: dict[str, Path] = field(default_factory=dict)
    left: list[LeftBehind] = field(default_factory=list)
    folders: list[PurePosixPath] = field(default_factory=list)
    seen: int = 0
    borders: Borders = field(init=False)
    modules: tuple[PurePosixPath, ...] = field(init=False)
    weights: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        self.borders = Borders.of(self.checkpoint.whole)
        folder = self.checkpoint.path.relative_to(self.checkpoint.whole)
        self.weights = frozenset((folder / name).as_posix() for name in self.checkpoint.weight_files)
        self.modules = _module_folders(self.checkpoint)

    def run(self) -> None:
        """Walk through the directory, breadth first, each folder in the order of its names."""
        top = self.borders.roots[0]
        folders = [(PurePosixPath(), top, frozenset({top}))]
        while folders:
            name, path, above = folders.pop(0)
            try:
                entries = sorted(os.scandir(path), key=lambda entry: entry.name)
            except OSError as error:
                self._stay(name / "", UNREADABLE, f"cannot be read: {first_line(error.strerror or error)}")
                continue
            for entry in entries:
                self._count()
                inside = self._look(name / entry.name, entry)
                if inside is None:
                    continue
                if inside in above:
                    self.left.append(LeftBehind(f"{name / entry.name}/", LOOP))
                else:
                    folders.append((name / entry.name, inside, above | {inside}))

    def _count(self) -> None:
        self.seen += 1
        if self.seen > MOST_FILES:
            raise CheckpointError(
                f"'{self.checkpoint.name}' holds more than {MOST_FILES:,} files beside its weights",
                help="give a directory with the checkpoint alone",
            )

    def _look(self, name: PurePosixPath, entry: os.DirEntry[str]) -> Path | None:
        """Decide on an entry of a directory; return its path without links where it is a directory to look into."""
        if not _is_portable(entry.name):
            shown = str(name).encode("unicode_escape", "surrogatepass").decode("ascii")
            self.left.append(LeftBehind(shown, NAME))
            return None
        path = Path(entry.path)
        if entry.is_symlink():
            # Where a link leads out of the checkpoint, nothing more is asked about what is there.
            if not self.borders.hold(path):
                self._leave_link(name, LINK, "leaves the checkpoint")
                return None
            path = Path(os.path.realpath(path))
            kind = self._kind_of_target(path)
            if kind is not None and kind_of_file(entry.name) is None:
                self._leave_link(name, kind, f"leads to {kind}")
                return None
        try:
            status = path.lstat()
            if stat.S_ISLNK(status.st_mode):
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        except OSError:
            self._leave_link(name, BROKEN, "leads to a file that is not there")
            return None
        if stat.S_ISDIR(status.st_mode):
            kind = kind_of_directory(entry.name)
            if kind is not None and name not in self.modules:
                self.left.append(LeftBehind(f"{name}/", kind))
                return None
            if name in self.modules:
                self.folders.append(name)
            return path
        if not stat.S_ISREG(status.st_mode):
            self._stay(name, SPECIAL, "is no regular file")
        else:
            self._take(name, path, status.st_size)
        return None

    def _kind_of_target(self, path: Path) -> str | None:
        """Return the kind of what a link leads to: a plain name must not bring ``.git`` or weights along."""
        root = next(root for root in self.borders.roots if root == path or root in path.parents)
        *folders, last = path.relative_to(root).parts or ("",)
        kinds = (*map(kind_of_directory, folders), kind_of_directory(last), kind_of_file(last))
        return next((kind for kind in kinds if kind is not None), None)

    def _take(self, name: PurePosixPath, path: Path, size: int) -> None:
        """Decide on a regular file; ``path`` leads to it without links."""
        if str(name) in self.weights:
            return
        try:
            kind = _kind(name.name, path)
            if not os.access(path, os.R_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        except OSError as error:
            self._stay(name, UNREADABLE, f"cannot be read: {first_line(error.strerror or error)}")
            return
        trusted = self.checkpoint.trust_remote_code and is_source(name.name)
        if kind is not None and not (kind == CODE and trusted) and not (kind == WEIGHTS and self._is_module(name)):
            self.left.append(LeftBehind(str(name), kind))
            return
        if size > MOST_BYTES:
            raise CheckpointError(
                f"{name} of '{self.checkpoint.name}' has {size / 1e9:.1f} GB, which is too much to copy beside a graph "
                f"(at most {MOST_BYTES / 1e9:.1f} GB a file)",
                help="move it out of the checkpoint. If the model needs it, as a language model of speech recognition, "
                "put it into the artifact afterwards: later builds keep what they find there",
            )
        problem = unreadable_elsewhere(path) if name.suffix == ".json" else None
        if problem is not None:
            self._stay(name, NOT_JSON, problem)
            return
        self.files[str(name)] = path

    def _leave_link(self, name: PurePosixPath, reason: str, problem: str) -> None:
        """Leave a link behind, or refuse the checkpoint where a runtime cannot do without what it stands for."""
        if self._is_needed(name):
            raise link_error(str(name), self.checkpoint.name, problem)
        self.left.append(LeftBehind(str(name), reason))

    def _stay(self, name: PurePosixPath, reason: str, problem: str) -> None:
        """Leave behind what cannot be read, or refuse the checkpoint where a runtime cannot do without."""
        if self._is_needed(name):
            raise CheckpointError(
                f"{name} of '{self.checkpoint.name}' {problem}",
                help="save it as JSON in UTF-8" if reason == NOT_JSON else "copy or download the checkpoint again",
            )
        self.left.append(LeftBehind(str(name), reason))

    def _is_needed(self, name: PurePosixPath) -> bool:
        return bool(name.parts) and (is_needed(name.parts[0]) or self._is_module(name))

    def _is_module(self, name: PurePosixPath) -> bool:
        """Tell whether a file is of a module behind the transformer, which keeps its weights."""
        return any(folder == name or folder in name.parents for folder in self.modules)


def _kind(name: str, path: Path) -> str | None:
    """Return the kind of a regular file, which is opened only where its name leaves the kind open."""
    if not is_ambiguous(name):
        return kind_of_file(name)
    with path.open("rb") as file:
        return kind_of_content(name, file.read(HEAD_BYTES))


def _is_portable(name: str) -> bool:
    """Tell whether a name can be written in a manifest and on other systems: no control characters, no backslash."""
    return name.isprintable() and "\\" not in name


def _module_folders(checkpoint: Checkpoint) -> tuple[PurePosixPath, ...]:
    """Return the folders of the modules behind the model.

    What is wrong with the list is told by what reads it for a graph; the list itself goes beside the graph as it is.
    """
    try:
        modules = read_modules(checkpoint.whole, checkpoint.name)
    except CheckpointError:
        return ()
    return tuple(module.folder for module in modules[1:] if module.folder.parts)
