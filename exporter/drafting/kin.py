"""What the catalogue already says: the specs of a family, as examples for the next one.

Which expressions bind a dim, in which order tasks stand, why an output is left out: none of that is written down a
second time for drafting. A spec is never an example for itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from exporter.language.catalog import family_names, find_family, list_specs
from exporter.language.document import Data, load_document, to_data

Part = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Block:
    """Dims that a spec binds over those of its family, and the spec."""

    architecture: str
    dims: Part


@dataclass(frozen=True, slots=True)
class Kin:
    """A family, and the specs that extend it.

    Attributes:
        name: the family.
        family: its document.
        specs: those that extend it, by architecture.
        others: all other specs, by architecture.
    """

    name: str
    family: Part
    specs: Mapping[str, Part]
    others: Mapping[str, Part]

    @property
    def tasks(self) -> list[str]:
        """The tasks that the family offers and the specs pick, in the order that most of them have."""
        offered = list(self.family.get("tasks", {}))
        orders = [list(spec.get("tasks", {})) for spec in self.specs.values()]
        places: dict[str, list[int]] = {}
        longest = max(orders, key=len, default=[])
        for order in orders:
            for task in order:
                places.setdefault(task, []).append(longest.index(task) if task in longest else order.index(task))
        known = [task for task in places if task in offered or len(places[task]) > 1]
        known.sort(key=lambda task: sum(places[task]) / len(places[task]))
        return [*known, *(task for task in offered if task not in known)]

    def blocks(self) -> list[Block]:
        """Return the dims that specs of the family bind, each set once, the plainest first."""
        sets = [Block(name, dict(spec["dims"])) for name, spec in self.specs.items() if spec.get("dims")]
        unique = {repr(sorted(block.dims.items(), key=str)): block for block in reversed(sets)}
        return sorted(unique.values(), key=lambda block: (len(block.dims), len(str(block.dims))))

    def expressions(self, dim: str) -> list[str]:
        """Return the expressions that bind a dim anywhere, those of this family first, often used first."""
        near = Counter(_bound(self.specs.values(), dim))
        far = Counter(_bound((*self.others.values(), *_families().values()), dim))
        ordered = [text for counter in (near, far) for text, _ in counter.most_common()]
        return list(dict.fromkeys(ordered))

    def reason(self, output: str) -> str | None:
        """Return why specs leave out an output, where one says so."""
        documents = (self.family, *self.specs.values(), *self.others.values(), *_families().values())
        reasons = [ignored[output] for document in documents for ignored in _ignored(document) if ignored.get(output)]
        return str(reasons[0]) if reasons else None

    def input_line(self, name: str) -> tuple[str, Part] | None:
        """Return how specs declare an input, and the dims of the spec it was taken from."""
        for spec in (*self.specs.values(), *self.others.values()):
            line = spec.get("inputs", {}).get(name)
            if isinstance(line, str):
                return line, spec.get("dims", {})
        return None


def _bound(specs: Any, dim: str) -> Iterator[str]:
    for spec in specs:
        value = (spec.get("dims") or {}).get(dim)
        if isinstance(value, str):
            yield value


def _ignored(document: Part) -> Iterator[Part]:
    for key, part in document.items():
        if isinstance(part, Mapping):
            if key == "outputs_ignored":
                yield part
            yield from _ignored(part)


@lru_cache(maxsize=1)
def _catalogue() -> Mapping[str, Part]:
    return {path.stem: _data(load_document(path).root) for path in list_specs()}


@lru_cache(maxsize=1)
def _families() -> Mapping[str, Part]:
    documents = {name: find_family(name, None) for name in family_names()}
    return {name: _data(document.root) for name, document in documents.items() if document is not None}


def _data(root: Any) -> Part:
    data: Data = to_data(root) if root is not None else {}
    return data if isinstance(data, dict) else {}


def all_kin(architecture: str) -> list[Kin]:
    """Return every family with its specs, without that of the architecture itself."""
    known = {name: spec for name, spec in _catalogue().items() if spec.get("architecture") != architecture}
    return [
        Kin(
            name,
            family,
            {each: spec for each, spec in known.items() if spec.get("extends") == name},
            {each: spec for each, spec in known.items() if spec.get("extends") != name},
        )
        for name, family in _families().items()
    ]
