"""What libraries call the arguments and outputs that specs name.

Releases of transformers rename what a model takes and returns; specs, plans and graphs keep their names. The tables say
which names mean the same thing, and the installed model says which of them is its own: its signature for an argument,
what it returned for an output. No version is asked for, so a release that takes a name back needs nothing here.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterable, Mapping
from typing import Any

# Each row is one thing, by all names that it has had. A model has at most one of a row.
ARGUMENTS: tuple[frozenset[str], ...] = (
    # The keys and values, or the states, of the tokens before.
    frozenset({"past_key_values", "cache_params", "cache"}),
)
OUTPUTS: tuple[frozenset[str], ...] = (frozenset({"past_key_values", "cache_params", "cache"}),)


def own_names(names: Iterable[str], known: Collection[str], rows: tuple[frozenset[str], ...]) -> dict[str, str]:
    """Return what a library calls each of these names where it has another one for it.

    A name that the library knows is its own, whatever it is called elsewhere; one that it knows under no name stays.

    >>> own_names(["input_ids", "past_key_values"], ["input_ids", "cache"], ARGUMENTS)
    {'past_key_values': 'cache'}
    """
    own: dict[str, str] = {}
    for name in names:
        others = [other for row in rows if name in row for other in sorted(row) if other in known]
        if name not in known and others:
            own[name] = others[0]
    return own


def argument_names(module: Any) -> tuple[str, ...]:
    """Return what ``forward()`` of a module names, and that of its base model, to which it may hand arguments on."""
    names: dict[str, None] = {}
    for callee in (module, getattr(module, "base_model", module)):
        names |= dict.fromkeys(inspect.signature(callee.forward).parameters)
    return tuple(name for name in names if name not in {"self", "args", "kwargs"})


def told_by_spec_names(leaves: Mapping[str, Any], paths: Iterable[str]) -> dict[str, Any]:
    """Return a model's outputs under the names that a spec has for them.

    Args:
        leaves: the outputs by dotted path.
        paths: the dotted paths that the spec names.
    """
    returned = {step for path in leaves for step in path.split(".")}
    own = own_names({step for path in paths for step in path.split(".")}, returned, OUTPUTS)
    named = {theirs: ours for ours, theirs in own.items()}
    if not named:
        return dict(leaves)
    return {".".join(named.get(step, step) for step in path.split(".")): leaf for path, leaf in leaves.items()}
