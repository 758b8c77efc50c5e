"""The modules of a package as rooms, and their imports as arrows from room to room.

    python tests/stories/rooms.py exporter

prints how many there are, and each arrow that leads backward: against `LAYERS`, or along a circle. An import counts
wherever it stands, below ``TYPE_CHECKING`` and in a function too, and so does ``import_module("a.literal")``.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

# A module or package directly below the root imports those of its own row and of the rows above it.
LAYERS = (
    ("nearness",),
    ("docstrings", "errors", "records", "speech", "steps", "versions"),
    ("language",),
    ("planning",),
    ("models",),
    ("targets",),
    ("artifacts",),
    ("verification",),
    ("building",),
    ("drafting",),
    ("api",),
    ("cli",),
    ("onnx",),
    # Names for programs around the package; nothing inside imports them.
    ("artifact", "dummies"),
)
RANKS = {name: rank for rank, row in enumerate(LAYERS) for name in row}
# ``python -m exporter`` is the command line, and comes after everything.
RANKS["__main__"] = len(LAYERS)


@dataclass(frozen=True)
class Arrow:
    """One import: who imports, what is imported, and where that is written, as ``file:line``."""

    importer: str
    imported: str
    place: str

    def __str__(self) -> str:
        return f"{self.place}: {self.importer} imports {self.imported}"


def read_modules(package: Path) -> dict[str, tuple[Path, ast.Module]]:
    """Return the file and the syntax tree of every module of a package, by its dotted name."""
    modules = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        modules[name] = path, ast.parse(path.read_text("utf-8"))
    return modules


def is_room(tree: ast.Module) -> bool:
    """Return whether a module holds anything beside a docstring: an empty ``__init__.py`` is only a wall."""
    return any(not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)) for node in tree.body)


def find_arrows(package: Path) -> list[Arrow]:
    """Return every import within a package. One of a name that is no module leads to the module that has the name."""
    modules = read_modules(package)
    arrows = []
    for importer, (path, tree) in modules.items():
        for name, line in _imported_names(tree):
            while name and name not in modules:
                name = name.rpartition(".")[0]
            if name:
                place = f"{path.relative_to(package.parent).as_posix()}:{line}"
                arrows.append(Arrow(importer, name, place))
    return list(dict.fromkeys(arrows))


def _imported_names(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield the dotted name and the line of everything a module imports: ``a.b.c`` for ``from a.b import c``."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from ((alias.name, node.lineno) for alias in names)
            case ast.ImportFrom(module=str(module), names=names):
                yield from ((f"{module}.{alias.name}", node.lineno) for alias in names)
            case ast.Call(func=ast.Name(id="import_module") | ast.Attribute(attr="import_module"), args=[first, *_]):
                if isinstance(first, ast.Constant) and isinstance(first.value, str):
                    yield first.value, node.lineno


def against_layers(arrows: Iterable[Arrow]) -> list[Arrow]:
    """Return the arrows that lead from a row of `LAYERS` to a later one. The root's own lead anywhere."""
    return [
        arrow
        for arrow in arrows
        if "." in arrow.importer and "." in arrow.imported and _rank(arrow.importer) < _rank(arrow.imported)
    ]


def _rank(module: str) -> int:
    return RANKS.get(module.split(".")[1], -1)


def into_root(arrows: Iterable[Arrow]) -> list[Arrow]:
    """Return the arrows that take a name from the package itself, whose lazy names lead to all layers."""
    return [arrow for arrow in arrows if "." not in arrow.imported and arrow.importer != arrow.imported]


def in_circles(arrows: Iterable[Arrow]) -> list[Arrow]:
    """Return the arrows along which a module leads back to itself. The root's lazy imports are left out."""
    arrows = [arrow for arrow in arrows if "." in arrow.importer]
    graph: dict[str, set[str]] = {}
    for arrow in arrows:
        graph.setdefault(arrow.importer, set()).add(arrow.imported)
    reached = {start: _reachable(graph, start) for start in graph}
    return [arrow for arrow in arrows if arrow.importer in reached.get(arrow.imported, ())]


def _reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    reached: set[str] = set()
    pending = [start]
    while pending:
        for imported in graph.get(pending.pop(), set()) - reached:
            reached.add(imported)
            pending.append(imported)
    return reached


def main() -> None:
    """Print the counts for a package, and the arrows that lead backward."""
    package = Path(sys.argv[1]).resolve()
    modules, arrows = read_modules(package), find_arrows(package)
    rooms = [name for name, (_, tree) in modules.items() if is_room(tree)]
    # A tree with other packages has no layers to hold it against.
    has_layers = {name.split(".")[1] for name in rooms if "." in name} <= set(RANKS)
    backward = {
        "against layers": against_layers(arrows) if has_layers else [],
        "in circles": in_circles(arrows),
        "into the root": into_root(arrows),
    }
    print(f"{len(rooms)} rooms, {_count(arrows)} arrows")
    for kind, group in backward.items():
        print(f"{_count(group)} arrows {kind}")
        for arrow in group:
            print(f"  {arrow}")


def _count(arrows: Iterable[Arrow]) -> int:
    return len({(arrow.importer, arrow.imported) for arrow in arrows})


if __name__ == "__main__":
    main()
