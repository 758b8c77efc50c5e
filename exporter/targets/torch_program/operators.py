"""The operators of torch that a stranger's program may call: those that compute.

Programs name operators as ``<namespace>.<operator>``. Those of ``aten`` compute on tensors, numbers and texts, but for
a few that write or read files or leave out the checks of their arguments. Other namespaces talk to other machines, or
to what another package registered.
"""

from __future__ import annotations

import re

# `save` writes a file and `from_file` reads or makes one. `load` would read one: torch has no such operator so far.
FILES = frozenset(("save", "load", "from_file"))
# Operators that believe whatever their arguments say of sizes.
_UNCHECKED = "_unsafe"
# What a trace uses of the operators that belong to the language rather than to tensors. The rest of `prim` are nodes
# that torch's own passes put into a graph, and calls of other machines.
_OF_THE_LANGUAGE = re.compile(
    r"NumToTensor|RaiseException|Print|EnumName|EnumValue|TupleIndex|TupleUnpack|ConstantChunk|Uninitialized|is_\w+|"
    r"abs|data|device|dtype|grad|id|index|itemsize|layout|max|min|name|nbytes|rangelist|requires_grad|tolist|type|"
    r"unchecked_cast|unchecked_unwrap_optional",
    re.ASCII,
)
_NAMESPACES = frozenset(("aten", "prims", "prim"))


def may_call(namespace: str, operator: str) -> bool:
    """Tell whether a program may call an operator: ``may_call("aten", "add")``."""
    if namespace == "prim":
        return _OF_THE_LANGUAGE.fullmatch(operator) is not None
    return namespace in _NAMESPACES and operator not in FILES and not operator.endswith(_UNCHECKED)
