"""Look at a TorchScript file before torch does: what its code may call, and what its pickles may import.

TorchScript is a language of its own, which torch compiles: no Python is run. A file can still do harm. Its code may
write and read files by operators, run when the file is opened (``__setstate__``), or use the classes that a library
registers, which are native code. A traced model needs none of that.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from exporter.errors import UntrustedError, first_line
from exporter.targets.torch_program.archive import Archive, ArchiveError
from exporter.targets.torch_program.operators import FILES, may_call
from exporter.targets.torch_program.pickles import PickleError, check_pickle, is_of_tensors

_PART = re.compile(
    r"(data|constants|traced_inputs)(/\d+|\.pkl)|code/[\w./]+\.py|version|byteorder|\.data/(version|serialization_id)",
    re.ASCII,
)
_CODE_LIMIT, _PICKLE_LIMIT = 64 << 20, 256 << 20
# A class of a trace, and the words of TorchScript's pickles for types of values.
_CLASS = re.compile(r"__torch__(\.[A-Za-z_]\w*)+", re.ASCII)
_NATIVE = "__torch__.torch.classes"
_TYPES = re.compile(r"torch\.jit\._pickle (build_\w+|restore_type_tag)", re.ASCII)
# The classes that a trace is made of, and the tuples with names that a model may pass on.
_BASES = frozenset(("Module", "NamedTuple"))
# What torch's code begins names of operators and classes with.
_ROOTS = frozenset(("torch", "ops", "__torch__"))
# Operators on files, what runs when a file is opened, classes of native code, and what runs beside the program.
_FORBIDDEN_WORDS = re.compile(
    rf"\b({'|'.join(sorted(FILES))}|__setstate__|__getstate__|classes|fork|rpc_\w+)\b|_unsafe\b", re.ASCII
)
# Parts of a list of modules are called by their numbers: `getattr(self, "0")`. A name that is put together is refused.
_GETTER, _PLAIN_GETTER = re.compile(r"\bgetattr\b"), re.compile(r"\bgetattr\([A-Za-z_][\w.]*, \"\w+\"\)", re.ASCII)


def inspect_script(path: Path) -> None:
    """Refuse a TorchScript file that holds more than a trace does.

    Raises:
        UntrustedError: says what it holds.
    """
    try:
        with Archive(path) as archive:
            _check_parts(archive)
    except (ArchiveError, PickleError, _CodeError, OSError) as error:
        raise UntrustedError(path.name, first_line(error)) from None


class _CodeError(ValueError):
    """Code has more than a trace needs."""


def _check_parts(archive: Archive) -> None:
    for part, entry in archive.parts.items():
        if not _PART.fullmatch(part):
            raise ArchiveError(f"it holds '{part[:80]}', which no trace has")
        if part.endswith(".pkl"):
            if entry.file_size > _PICKLE_LIMIT:
                raise ArchiveError(f"its '{part}' has {entry.file_size} bytes")
            check_pickle(archive.read(part), _is_of_script, objects=True)
        elif part.endswith(".py"):
            if entry.file_size > _CODE_LIMIT:
                raise ArchiveError(f"its '{part}' has {entry.file_size} bytes")
            check_code(archive.read(part), part)


def _is_of_script(name: str) -> bool:
    if is_of_tensors(name) or _TYPES.fullmatch(name):
        return True
    dotted = name.replace(" ", ".")
    return bool(_CLASS.fullmatch(dotted)) and not f"{dotted}.".startswith(f"{_NATIVE}.")


def check_code(data: bytes, part: str) -> None:
    """Check that a part of TorchScript computes and does nothing else.

    TorchScript reads as Python. Since torch has a reader of its own, words that may not be there are looked for in the
    text as well, wherever they stand, and in strings too.

    Raises:
        ValueError: it does, or cannot be read.
    """
    try:
        text = data.decode("utf-8")
        word = _FORBIDDEN_WORDS.search(text)
        if word is not None:
            raise _CodeError(f"its code '{part}' names '{word.group()}'")
        if len(_GETTER.findall(text)) != len(_PLAIN_GETTER.findall(text)):
            raise _CodeError(f"its code '{part}' calls 'getattr' with a name that is not written out")
        tree = ast.parse(text)
    except _CodeError:
        raise
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise _CodeError(f"its code '{part}' cannot be read ({first_line(error)})") from None
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        for reason in _node_problems(node, is_named_on=id(node) in inner):
            raise _CodeError(f"its code '{part}' {reason}")


def _node_problems(node: ast.AST, *, is_named_on: bool) -> Iterator[str]:
    """Yield why a node may not be there.

    Args:
        node: a node of the code.
        is_named_on: whether it stands before a dot, as ``ops.aten`` does in ``ops.aten.add``.
    """
    if isinstance(node, ast.Import | ast.ImportFrom | ast.While | ast.AsyncFunctionDef | ast.Await):
        yield f"has a statement that no trace has ({type(node).__name__})"
    elif isinstance(node, ast.ClassDef):
        bases = [ast.unparse(base) for base in node.bases]
        if not set(bases) <= _BASES:
            yield f"has a class of the kind {', '.join(bases)[:80]}"
    elif isinstance(node, ast.Name) and node.id in _ROOTS and not is_named_on:
        yield f"gives '{node.id}' another name"
    elif isinstance(node, ast.Attribute):
        yield from _operator_problems(node, is_named_on=is_named_on)


def _operator_problems(node: ast.Attribute, *, is_named_on: bool) -> Iterator[str]:
    """Yield why an operator may not be called, or a namespace may not be named: ``ops.prim`` alone, ``torch.save``."""
    if isinstance(node.value, ast.Name) and node.value.id == "torch" and not may_call("aten", node.attr):
        yield f"calls the operator 'torch.{node.attr[:80]}'"
    elif isinstance(node.value, ast.Name) and node.value.id == "ops" and not is_named_on:
        yield f"gives 'ops.{node.attr[:80]}' another name"
    match node:
        case ast.Attribute(value=ast.Attribute(value=ast.Name(id="ops"), attr=namespace), attr=operator):
            if not may_call(namespace, operator):
                yield f"calls the operator 'ops.{namespace[:80]}.{operator[:80]}'"
