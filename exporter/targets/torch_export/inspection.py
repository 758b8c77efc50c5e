"""Look at an exported program before torch does: ``torch.export.load`` runs Python from nearly every part of a file.

What it does in torch 2.13, and what is let through:

- sample inputs, weights and constants may be pickles, which are loaded without restriction where a restricted load
  fails, and ``opaque_obj`` parts always: only sample inputs are, and they may hold tensors alone;
- an operator is looked up from its name by ``getattr`` from ``torch``, so that ``torch.os.system`` would be one;
- the sizes of tensors are texts that sympy evaluates with Python's ``eval``;
- conditions on the inputs are Python that is run, and names become the names in generated Python;
- the type of a tree of inputs is looked up by its name;
- native code beside the program (``data/aotinductor``) is loaded with it.

Each text of the program is therefore held to the form it has in a program that torch wrote.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from exporter.errors import UntrustedError, describe_error, first_line
from exporter.targets.torch_program.archive import Archive, ArchiveError
from exporter.targets.torch_program.operators import may_call
from exporter.targets.torch_program.pickles import PickleError, check_pickle, is_of_tensors
from exporter.targets.torch_program.process import COMPILED

_PROGRAM, _SAMPLES = "models/model.json", "data/sample_inputs/model.pt"
_PAYLOADS = {
    "data/weights/model_weights_config.json": ("data/weights/", re.compile(r"weight_\d+", re.ASCII)),
    "data/constants/model_constants_config.json": ("data/constants/", re.compile(r"tensor_\d+", re.ASCII)),
}
_PART = re.compile(
    r"data/weights/weight_\d+|data/constants/tensor_\d+|archive_format|archive_version|byteorder|"
    r"\.data/(version|serialization_id)|" + "|".join(map(re.escape, (_PROGRAM, _SAMPLES, *_PAYLOADS))),
    re.ASCII,
)
_SAMPLE_PART = re.compile(
    r"data\.pkl|data/\d+|version|byteorder|\.format_version|\.storage_alignment|\.data/serialization_id", re.ASCII
)
_TEXT_LIMIT = 128 << 20
_NAME = re.compile(r"[A-Za-z_]\w{0,500}|", re.ASCII)
_DOTTED = re.compile(r"[\w.\-]{0,2000}", re.ASCII)
_VERSION = re.compile(r"[\w.+<=-]{1,80}", re.ASCII)
# A symbol, whose number torch counts up to.
_SYMBOL = re.compile(r"[a-z]{1,20}\d{0,6}", re.ASCII)
_REMARK = re.compile(r"[\w.,;:()\[\]<>@'\- ]{0,100000}", re.ASCII)
_OPERATOR = re.compile(r"torch\.ops\.(?P<namespace>\w+)\.(?P<operator>\w+)\.(?P<overload>\w+)", re.ASCII)
# Operators on numbers, and those that hold a part of the program.
_ON_NUMBERS = re.compile(
    r"_operator\.(add|sub|mul|truediv|floordiv|mod|neg|pos|pow|eq|ne|lt|le|gt|ge|and_|or_|not_|getitem)|"
    r"torch\.(sym_(int|float|ite|max|min|not|sum)|_sym_sqrt)|math\.(ceil|floor|trunc|sqrt)|"
    r"torch\.ops\.higher_order\.(cond|wrap_with_set_grad_enabled|wrap_with_autocast)",
    re.ASCII,
)
# What sympy is given of names in the size of a tensor; Symbol and numbers are made by it.
_FUNCTION = re.compile(
    "Symbol|Integer|Float|Rational|Add|Mul|Pow|Max|Min|Mod|Eq|Ne|Lt|Le|Gt|Ge|And|Or|Not|true|false|Equality|"
    "Unequality|StrictLessThan|LessThan|StrictGreaterThan|GreaterThan|FloorDiv|ModularIndexing|Where|PythonMod|"
    "CleanDiv|CeilToInt|FloorToInt|CeilDiv|LShift|RShift|PowByNatural|FloatPow|FloatTrueDiv|IntTrueDiv|"
    "TruncToFloat|TruncToInt|RoundToInt|RoundDecimal|ToFloat|Identity|IsNonOverlappingAndDenseIndicator"
)
_LARGEST_EXPONENT, _LONGEST_EXPRESSION = 64, 20_000
_KINDS_OF_TREES = frozenset(("builtins.tuple", "builtins.list", "builtins.dict", None))


class _ProgramError(ValueError):
    """A program has more than one that torch exports."""


def inspect_program(path: Path) -> None:
    """Refuse an exported program that torch would run code from, and every compiled one.

    Raises:
        UntrustedError: says what it holds.
    """
    if path.name.endswith(COMPILED):
        raise UntrustedError(path.name, "it is native code, compiled by AOTInductor")
    try:
        with Archive(path) as archive:
            _check_archive(archive)
    except (ArchiveError, PickleError, _ProgramError, OSError) as error:
        raise UntrustedError(path.name, first_line(error)) from None
    except (TypeError, AttributeError, KeyError, ValueError, RecursionError) as error:
        raise UntrustedError(path.name, f"a part of it is not as torch writes it ({describe_error(error)})") from None


def _check_archive(archive: Archive) -> None:
    for part in archive.parts:
        if not _PART.fullmatch(part):
            native = ", which is native code" if part.startswith("data/aotinductor/") else ""
            raise _ProgramError(f"it holds '{part[:80]}'{native or ', which no program has that exporter wrote'}")
    for config, (folder, pattern) in _PAYLOADS.items():
        if config in archive.parts:
            _check_payloads(_read_json(archive, config), folder, pattern, archive)
    if _SAMPLES in archive.parts:
        _check_samples(_read(archive, _SAMPLES))
    if _PROGRAM not in archive.parts:
        raise _ProgramError(f"it has no '{_PROGRAM}'")
    check_program(_read_json(archive, _PROGRAM))


def _read(archive: Archive, part: str) -> bytes:
    if archive.parts[part].file_size > _TEXT_LIMIT:
        raise _ProgramError(f"its '{part}' has {archive.parts[part].file_size} bytes")
    return archive.read(part)


def _read_json(archive: Archive, part: str) -> Any:
    try:
        return json.loads(_read(archive, part))
    except ValueError as error:
        raise _ProgramError(f"its '{part}' cannot be read ({first_line(error)})") from None


def _check_samples(data: bytes) -> None:
    """Check the sample inputs: an archive in the archive, with a pickle of tensors."""
    if not data:
        return
    try:
        with Archive(data) as samples:
            for part in samples.parts:
                if not _SAMPLE_PART.fullmatch(part):
                    raise _ProgramError(f"its sample inputs hold '{part[:80]}'")
            check_pickle(samples.read("data.pkl"), is_of_tensors)
    except KeyError:
        raise _ProgramError("its sample inputs are no archive of tensors") from None
    except (ArchiveError, PickleError) as error:
        raise _ProgramError(f"its sample inputs: {first_line(error)}") from None


def _check_payloads(config: Any, folder: str, pattern: re.Pattern[str], archive: Archive) -> None:
    """Check where weights and constants are: in parts of their own, as they are and not as pickles."""
    entries = config.get("config") if isinstance(config, dict) and set(config) == {"config"} else None
    if not isinstance(entries, dict):
        raise _ProgramError(f"its index of '{folder}' is none")
    for name, entry in entries.items():
        part = entry.get("path_name") if isinstance(entry, dict) else None
        if not isinstance(part, str) or not pattern.fullmatch(part) or folder + part not in archive.parts:
            raise _ProgramError(f"its tensor {name[:80]!r} is in {str(part)[:80]!r}")
        if entry.get("use_pickle") is not False:
            raise _ProgramError(f"its tensor {name[:80]!r} is a pickle")
        sizes = (entry.get("tensor_meta") or {}).get("sizes")
        if archive.parts[folder + part].file_size == 0 and {"as_int": 0} not in (sizes or ()):
            raise _ProgramError(f"its tensor {name[:80]!r} has no bytes")
        for key, text in _texts(entry, "config"):
            if key != "path_name" and not (key == "type" and text == "cpu"):
                raise _ProgramError(f"its tensor {name[:80]!r} has {key} {text[:80]!r}")
        _match("the name of a tensor", name, _DOTTED)


def check_program(program: Any) -> None:
    """Check every text of a program: names, operators, sizes, conditions, trees.

    Raises:
        ValueError: a text is not of the form that it has in a program that torch exports.
    """
    if not isinstance(program, dict) or not isinstance(program.get("graph_module"), dict):
        raise _ProgramError("it is no program")
    for key, text in _texts(program, ""):
        _CHECKS.get(key, _refuse_text)(key, text)


def _texts(value: Any, key: str) -> Iterator[tuple[str, str]]:
    """Yield every text with the key it stands under; a key of a mapping from names is a text under the mapping's."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict):
        if "nodes" in value:
            _check_inputs(value)
        for name, item in value.items():
            if key in _NAMED:
                yield _NAMED[key], name
                yield from _texts(item, _INSIDE.get(key, "value"))
            elif _FIELD.fullmatch(name):
                yield from _texts(item, name)
            else:
                raise _ProgramError(f"it has the field {name[:80]!r}, which is none of a program's")
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item, key)


def _check_inputs(graph: Mapping[str, Any]) -> None:
    """Check that a graph takes tensors and sizes: an input that is a text ends up in a condition, as Python."""
    for item in graph.get("inputs", ()):
        if not set(item) <= {"as_tensor", "as_sym_int"}:
            raise _ProgramError(f"it has an input that is no tensor ({', '.join(item)[:80]})")


# Mappings whose keys are names, with what the keys are, and what stands under each key where that is no field.
_NAMED: Mapping[str, str] = {
    "tensor_values": "name",
    "sym_int_values": "name",
    "sym_float_values": "name",
    "sym_bool_values": "name",
    "opset_version": "name",
    "range_constraints": "symbol",
    "metadata": "remark of",
    "as_string_to_argument": "name",
}
_INSIDE: Mapping[str, str] = {"metadata": "remark"}
# The fields of a program; not among them: what holds objects of Python or of libraries, and metadata of whole graphs.
_FIELD = re.compile(
    "graph_module|graph|signature|module_call_graph|metadata|treespec_namedtuple_fields|opset_version|"
    "range_constraints|schema_version|verifiers|torch_version|guards_code|inputs|outputs|nodes|tensor_values|"
    "sym_int_values|sym_bool_values|sym_float_values|custom_obj_values|is_single_tensor_return|target|"
    "is_hop_single_tensor_return|name|arg|kind|input_specs|output_specs|user_input|parameter|buffer|"
    "tensor_constant|user_output|value|parameter_name|buffer_name|tensor_constant_name|persistent|"
    "buffer_mutation|user_input_mutation|user_input_name|fqn|in_spec|out_spec|forward_arg_names|major|minor|"
    "min_val|max_val|dtype|sizes|strides|storage_offset|layout|requires_grad|device|type|index|expr_str|hint|"
    "real|imag|config|path_name|is_param|use_pickle|tensor_meta|as_none|as_tensor|as_tensors|as_int|as_ints|"
    "as_float|as_floats|as_string|as_strings|as_sym_int|as_sym_ints|as_sym_float|as_sym_floats|as_sym_bool|"
    "as_sym_bools|as_scalar_type|as_memory_format|as_layout|as_device|as_bool|as_bools|as_graph|"
    "as_optional_tensor|as_optional_tensors|as_complex|as_nested_tensors|as_int_lists|as_float_lists|"
    "as_string_to_argument|as_name|as_expr"
)


def _match(what: str, text: str, pattern: re.Pattern[str]) -> None:
    if not pattern.fullmatch(text):
        raise _ProgramError(f"{what} is {text[:80]!r}")


def _matches(pattern: re.Pattern[str]) -> Callable[[str, str], None]:
    return lambda key, text: _match(f"a {key.replace('_', ' ')}", text, pattern)


def _refuse_text(key: str, text: str) -> None:
    raise _ProgramError(f"it has a text where a program has none ({key[:40]}: {text[:80]!r})")


def _accept_text(_: str, __: str) -> None:
    """Accept an argument that is a text: it is written into generated Python as a literal."""


def _check_operator(_: str, text: str) -> None:
    match = _OPERATOR.fullmatch(text)
    callable_ = match is not None and match["namespace"] != "prim" and may_call(match["namespace"], match["operator"])
    if not callable_ and not _ON_NUMBERS.fullmatch(text):
        raise _ProgramError(f"it calls '{text[:80]}'")


def _check_remark_name(_: str, text: str) -> None:
    if text not in ("nn_module_stack", "torch_fn"):
        raise _ProgramError(f"a node of it has the remark '{text[:80]}'")


def check_expression(_: str, text: str) -> None:
    """Check that the size of a tensor is made of symbols, numbers and functions of numbers.

    Raises:
        ValueError: it is not.
    """
    if len(text) > _LONGEST_EXPRESSION:
        raise _ProgramError(f"a size of {len(text)} characters")
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise _ProgramError(f"the size {text[:80]!r} cannot be read") from None
    _check_size(tree, text)


def _check_size(node: ast.expr, text: str) -> None:
    refused = _ProgramError(f"the size {text[:80]!r} is more than arithmetic")
    match node:
        case ast.Constant(value=bool() | int() | float()):
            return
        case ast.Name(id=name) if _FUNCTION.fullmatch(name) or _SYMBOL.fullmatch(name):
            return
        case ast.UnaryOp(operand=operand):
            _check_size(operand, text)
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() | ast.Mult() | ast.Div() | ast.FloorDiv() | ast.Mod()):
            _check_size(left, text)
            _check_size(node.right, text)
        case ast.Compare(left=left, comparators=others):
            for part in (left, *others):
                _check_size(part, text)
        case ast.Call(func=ast.Name(id="Symbol"), args=[ast.Constant(value=str(name))], keywords=keywords):
            if not _SYMBOL.fullmatch(name) or not all(_is_switch(keyword) for keyword in keywords):
                raise refused
        case ast.Call(func=ast.Name(id="Float"), args=[ast.Constant(value=str(digits))], keywords=keywords):
            if not re.fullmatch(r"-?[\d.]{1,40}(e[+-]?\d{1,3})?", digits, re.ASCII) or not _is_precision(keywords):
                raise refused
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if _FUNCTION.fullmatch(name):
            if "Pow" in name and not _is_small_power(arguments):
                raise refused
            for argument in arguments:
                _check_size(argument, text)
        case _:
            raise refused


def _is_switch(keyword: ast.keyword) -> bool:
    """Tell whether a keyword says a property of a symbol: ``positive=True``."""
    return isinstance(keyword.value, ast.Constant) and isinstance(keyword.value.value, bool)


def _is_precision(keywords: list[ast.keyword]) -> bool:
    values = [keyword.value.value if isinstance(keyword.value, ast.Constant) else None for keyword in keywords]
    return all(keyword.arg in ("precision", "dps") for keyword in keywords) and all(
        isinstance(value, int) and value < 100 for value in values
    )


def _is_small_power(arguments: list[ast.expr]) -> bool:
    """Tell whether a power has a small number as its exponent, so that it cannot grow to millions of digits."""
    if len(arguments) != 2:
        return False
    match arguments[1]:
        case ast.Call(func=ast.Name(id="Integer" | "Float"), args=[exponent], keywords=[]):
            pass
        case exponent:
            pass
    try:
        number = ast.literal_eval(exponent)
    except (ValueError, TypeError, RecursionError, MemoryError):
        return False
    return isinstance(number, int | float) and abs(number) <= _LARGEST_EXPONENT


def _check_guard(_: str, text: str) -> None:
    raise _ProgramError(f"it has a condition on its inputs, which is Python ({text[:80]!r})")


def _check_tree(key: str, text: str) -> None:
    """Check that a tree of inputs or outputs is made of tuples, lists and mappings from names."""
    try:
        protocol, tree = json.loads(text)
    except (ValueError, TypeError):
        raise _ProgramError(f"its {key} cannot be read") from None
    if protocol != 1:
        raise _ProgramError(f"its {key} is of another version")
    nodes = [tree]
    while nodes:
        node = nodes.pop()
        if not isinstance(node, dict) or set(node) != {"type", "context", "children_spec"}:
            raise _ProgramError(f"its {key} is no tree")
        if node["type"] not in _KINDS_OF_TREES or not isinstance(node["children_spec"], list):
            raise _ProgramError(f"its {key} has the type {str(node['type'])[:80]!r}")
        if node["context"] is not None:
            _check_context(key, node["context"])
        nodes += node["children_spec"]


def _check_context(key: str, text: Any) -> None:
    """Check what a tree says beside its children: nothing, or the names in a mapping."""
    try:
        names = json.loads(text)
    except (ValueError, TypeError):
        raise _ProgramError(f"its {key} cannot be read") from None
    if names is not None and not (isinstance(names, list) and all(_is_name(name) for name in names)):
        raise _ProgramError(f"its {key} has names that are none ({text[:80]!r})")


def _is_name(name: Any) -> bool:
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


_CHECKS: Mapping[str, Callable[[str, str], None]] = {
    **dict.fromkeys(("name", "as_name", "forward_arg_names", "user_input_name"), _matches(_NAME)),
    **dict.fromkeys(("fqn", "parameter_name", "buffer_name", "tensor_constant_name"), _matches(_DOTTED)),
    **dict.fromkeys(("in_spec", "out_spec"), _check_tree),
    **dict.fromkeys(("as_string", "as_strings"), _accept_text),
    "target": _check_operator,
    "type": _matches(re.compile("cpu")),
    "symbol": _matches(_SYMBOL),
    "remark of": _check_remark_name,
    "remark": _matches(_REMARK),
    "expr_str": check_expression,
    "guards_code": _check_guard,
    "verifiers": _matches(_NAME),
    "torch_version": _matches(_VERSION),
}
