"""What to use for names of the earlier systems that are not here: the text of an error, and a row of a page.

``instead.json`` has the names of ``transformers.onnx`` by module and class, and the flags and names of optimum.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path


def missing_attribute(owner: str, name: str) -> AttributeError:
    """Return the error for a name that a module or class lacks, with what to use where it is known."""
    message = f"{owner} has no attribute '{name}'"
    advice = advice_for("python", name)
    return AttributeError(f"{message}: {advice}" if advice is not None else message)


def missing_name(module: str, name: str) -> AttributeError | ImportError:
    """Return the error for a name that a module lacks, with what to use where it is known.

    Where it is known, the error is an `ImportError`: of an `AttributeError`, ``from module import name`` keeps no word.
    """
    error = missing_attribute(f"module '{module}'", name)
    return ImportError(*error.args) if advice_for("python", name) is not None else error


def advice_for(kind: str, name: str) -> str | None:
    """Return what to use for a name; None for one that no earlier system had.

    Args:
        kind: ``python`` for names of ``transformers.onnx``, ``optimum`` for those of optimum, ``flags`` for what its
            command line takes.
        name: the name, or the flag with its dashes.
    """
    return _advice()[kind].get(name)


@lru_cache(maxsize=1)
def _advice() -> Mapping[str, Mapping[str, str]]:
    data: Mapping[str, Mapping[str, str]] = json.loads(Path(__file__).with_name("instead.json").read_text("utf-8"))
    return data
