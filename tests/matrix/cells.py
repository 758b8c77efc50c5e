"""The cells of the matrix: which versions, in which environment, which pairs are built there, and how they ended."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from commands import REPOSITORY, online_environment
from packaging.requirements import Requirement

from exporter.language.spec import WITH_PAST, Spec

# The libraries whose two ends are crossed; of the others pip takes the newest that goes with them.
CROSSED = ("torch", "transformers")
_PYTHON = "Programming Language :: Python :: "
_PROGRAM = Path(__file__).parent / "programs" / "build_pairs.py"
# What else a pair with a cache and one without are built as. The default need not be what a library has renamed.
WAYS: tuple[dict[str, str], ...] = ({"tracer": "dynamo"}, {"target": "torch-export"}, {"target": "torchscript"})
# An architecture, a task, and options.
Pair = tuple[str, str, dict[str, str]]
_INSTALL_SECONDS, _BUILD_SECONDS = 3600, 4 * 3600


@dataclass(frozen=True, slots=True)
class Cell:
    """One combination: a Python such as ``3.11``, and what pip is asked for of each library."""

    python: str
    torch: str
    transformers: str

    @property
    def name(self) -> str:
        """The combination in words."""
        return f"Python {self.python}, {self.torch}, {self.transformers}"


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a cell: the versions that were installed, and how each pair ended."""

    cell: Cell
    versions: Mapping[str, str]
    ends: Mapping[str, str]

    def count(self, end: str) -> int:
        """Return how many pairs were ``built``, ``refused`` or ``failed``."""
        return sum(text.partition(":")[0] == end for text in self.ends.values())


def project() -> dict[str, Any]:
    """Return the table ``project`` of ``pyproject.toml``."""
    table: dict[str, Any] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    return table


def pythons() -> tuple[str, ...]:
    """Return the versions of Python that the package says it is for: ``3.11`` and so on."""
    return tuple(line.removeprefix(_PYTHON) for line in project()["classifiers"] if line.startswith(_PYTHON))


def requirement(library: str) -> Requirement:
    """Return what the package asks for of a library, whether for itself or in an extra."""
    table = project()
    texts = [*table["dependencies"], *(text for extra in table["optional-dependencies"].values() for text in extra)]
    return next(asked for asked in map(Requirement, texts) if asked.name == library)


def ends_of_range(library: str) -> tuple[str, str]:
    """Return what to ask pip for, to get the oldest and the newest version that the package takes of a library."""
    asked = requirement(library)
    (oldest,) = (clause.version for clause in asked.specifier if clause.operator == ">=")
    return f"{library}=={oldest}.0", str(Requirement(f"{library}{asked.specifier}"))


def cells(python: str) -> list[Cell]:
    """Return the cells of a Python: the two ends of each library, crossed."""
    return [Cell(python, torch, other) for torch in ends_of_range("torch") for other in ends_of_range("transformers")]


def choose_pairs(specs: Iterable[Spec], *, each_form: bool) -> list[Pair]:
    """Return one pair of each family, and every pair with a cache; with ``each_form`` one such pair of each kind.

    One encoder and one decoder with a cache are built in other ways too.
    """
    chosen: dict[Any, tuple[str, str]] = {}
    for spec in specs:
        for task in spec.tasks:
            has_cache = task.endswith(WITH_PAST)
            key = (spec.family, task if has_cache else "", "" if each_form or not has_cache else spec.architecture)
            chosen.setdefault(key, (spec.architecture, task))
    others = [next(pair for key, pair in chosen.items() if key[:2] == first) for first in _FIRST]
    return [
        *((*pair, {}) for pair in chosen.values()),
        *((*pair, way) for pair in others for way in WAYS),
    ]


# The family and the task with a cache of what is built in every way.
_FIRST = (("encoder", ""), ("decoder", f"text-generation{WITH_PAST}"))


def find_python(version: str) -> Path | None:
    """Return the interpreter of a version: one that ``VERSIONS_PYTHONS`` lists, or is on the path; None without."""
    listed = os.environ.get("VERSIONS_PYTHONS", "").split(os.pathsep)
    for candidate in (*listed, shutil.which(f"python{version}")):
        if not candidate:
            continue
        told = [candidate, "-c", "import sys, venv; print('%d.%d' % sys.version_info[:2])"]
        try:
            done = subprocess.run(told, capture_output=True, text=True, timeout=60, check=False)
        except OSError:
            continue
        if done.stdout.strip() == version:
            return Path(candidate)
    return None


def cache_directory() -> Path:
    """Return where environments are kept: ``VERSIONS_CACHE``, or a folder in the user's cache."""
    chosen = os.environ.get("VERSIONS_CACHE")
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(chosen) if chosen else user / "exporter" / "versions"


def run_cell(cell: Cell, interpreter: Path, pairs: Sequence[Pair], folder: Path) -> Result:
    """Install a cell's versions into its environment, build the pairs there, and return how they ended.

    An environment is shared by the cells of one Python and one torch, which is large. Pip finds in it what is there.

    Raises:
        AssertionError: the versions cannot be installed together, or the program that builds did not end well.
    """
    environment = cache_directory() / f"{cell.python}-{cell.torch.translate(str.maketrans('<>=,', '____'))}"
    with _locked(environment.with_suffix(".lock")):
        python = environment / "bin" / "python"
        if not python.is_file():
            _run([interpreter, "-m", "venv", environment], _INSTALL_SECONDS)
        pip: list[str | Path] = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run([*pip, f"{REPOSITORY}[build]", cell.torch, cell.transformers], _INSTALL_SECONDS)
        asked = folder / "pairs.json"
        asked.write_text(json.dumps(list(pairs)), "utf-8")
        # Outside the repository, so that the package is the installed one.
        told = json.loads(_run([python, _PROGRAM, asked, folder / "built"], _BUILD_SECONDS, folder).splitlines()[-1])
    shutil.rmtree(folder / "built", ignore_errors=True)
    return Result(cell, told["versions"], told["ends"])


def _run(command: Sequence[str | Path], seconds: int, folder: Path | None = None) -> str:
    """Run a command and return what it printed; what it said on standard error is shown where it failed."""
    environment = online_environment(HF_HUB_OFFLINE="1", PYTHONWARNINGS="")
    done = subprocess.run(
        list(map(str, command)),
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock that other processes of the same tests wait for."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def render_table(results: Iterable[Result]) -> str:
    """Return the results as a table, and below it what was refused or failed."""
    columns = ("transformers", "torch", "Python", "built", "refused", "failed")
    rows = [
        (
            *(result.versions[name] for name in ("transformers", "torch", "python")),
            *(str(result.count(end)) for end in columns[3:]),
        )
        for result in results
    ]
    lines = [f"| {' | '.join(cells)} |" for cells in (columns, ("---",) * len(columns), *rows)]
    for result in results:
        others = {pair: end for pair, end in result.ends.items() if end != "built"}
        lines += [f"{result.cell.name}: {pair}: {end}" for pair, end in others.items()]
    return "\n".join(lines)
