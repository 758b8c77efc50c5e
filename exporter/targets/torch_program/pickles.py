"""Pickles, looked at and not loaded: the steps of one, and the names it would import.

Unpickling runs a little program, which may import and call whatever it names. A pickle of tensors needs few of its
instructions and fewer names. One that has others is refused, whatever it would do.
"""

from __future__ import annotations

import pickletools
import re
from collections.abc import Callable

# What makes numbers, texts, tuples, lists and mappings, and calls a named function or class with them.
_PLAIN = re.compile(
    "PROTO|FRAME|STOP|MARK|POP|POP_MARK|NONE|NEWTRUE|NEWFALSE|BININT|BININT1|BININT2|LONG1|BINFLOAT|BINUNICODE|"
    "SHORT_BINUNICODE|BINSTRING|SHORT_BINSTRING|EMPTY_TUPLE|TUPLE|TUPLE1|TUPLE2|TUPLE3|EMPTY_LIST|APPEND|APPENDS|"
    "EMPTY_DICT|SETITEM|SETITEMS|BINPUT|LONG_BINPUT|BINGET|LONG_BINGET|MEMOIZE|GLOBAL|REDUCE|BINPERSID"
)
# What makes the modules of TorchScript, whose classes are TorchScript too.
_OBJECTS = re.compile("NEWOBJ|BUILD")
# What rebuilds a tensor of a pickle that `torch.save` writes.
_TENSORS = frozenset(("torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter", "collections OrderedDict"))
_STORAGES = frozenset(
    f"torch {kind}Storage"
    for kind in ("Double", "Float", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
)
_MOST_STEPS = 20_000_000


class PickleError(ValueError):
    """A pickle has more than what its place needs."""


def check_pickle(data: bytes, allows: Callable[[str], bool], *, objects: bool = False) -> None:
    """Check that a pickle has plain values and imports allowed names alone.

    Args:
        data: the pickle, all of it.
        allows: whether a name may be imported: ``collections OrderedDict``.
        objects: whether it may make objects and set their fields.

    Raises:
        PickleError: says what it has.
    """
    end = 0
    try:
        for count, (step, argument, place) in enumerate(pickletools.genops(data)):
            known = _PLAIN.fullmatch(step.name) or (objects and _OBJECTS.fullmatch(step.name))
            if not known or count > _MOST_STEPS:
                raise PickleError(f"a pickle that has the step {step.name}")
            if step.name == "GLOBAL" and not allows(str(argument)):
                raise PickleError(f"a pickle that imports '{str(argument)[:80]}'")
            end = (place or 0) + 1
    except PickleError:
        raise
    except Exception as error:
        # Whatever pickletools raises for bytes that are no pickle.
        raise PickleError("a pickle that cannot be read") from error
    if end != len(data):
        raise PickleError("a pickle with bytes behind its end")


def is_of_tensors(name: str) -> bool:
    """Tell whether a pickle of tensors imports a name."""
    return name in _TENSORS or name in _STORAGES
