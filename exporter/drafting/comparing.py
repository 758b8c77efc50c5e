"""How a spec differs from what would be drafted for its architecture."""

from __future__ import annotations

from difflib import unified_diff

from exporter.drafting.draft import Draft
from exporter.drafting.writing import write_spec
from exporter.errors import UsageError
from exporter.language.catalog import find_spec
from exporter.language.document import load_document, to_data

# A reference may have any sizes, and bounds and notes are the author's.
_COMPARED = ("dims", "arguments", "inputs", "outputs_ignored", "tasks")


def spec_architecture(name: str) -> str:
    """Return the architecture of a spec that is given by its path or its architecture.

    Raises:
        UsageError: there is no such spec, or it names none.
    """
    return _read(name).architecture


def compare_spec(name: str, draft: Draft) -> list[str]:
    """Return the lines of a unified diff from a spec to a draft, of what a model decides.

    Args:
        name: the spec, by its path or architecture.
        draft: what was drafted.

    Raises:
        UsageError: there is no such spec.
    """
    old, new = _plain(_read(name)), _plain(draft)
    return list(unified_diff(old, new, fromfile=name, tofile="drafted", lineterm=""))


def _read(name: str) -> Draft:
    path = find_spec(name)
    root = load_document(path).root
    data = to_data(root) if root is not None else {}
    if not isinstance(data, dict) or not isinstance(data.get("architecture"), str):
        raise UsageError(f"'{path}' is not a spec", help="a spec says its 'architecture'")
    parts = {key: value for key, value in data.items() if isinstance(value, dict)}
    return Draft(str(data["architecture"]), str(data.get("extends")), parts)


def _plain(draft: Draft) -> list[str]:
    parts = {key: draft.parts[key] for key in _COMPARED if key in draft.parts}
    return write_spec(Draft(draft.architecture, draft.family, parts)).splitlines()
