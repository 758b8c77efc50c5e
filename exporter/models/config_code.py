"""Read transformers' config classes from their source, which is parsed and never run.

A class is annotated defaults and a ``__post_init__``. The defaults are read; of the code, what fits one of a few forms
becomes a `Rule`, and every value that other code assigns is left untold. What cannot be read is never guessed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from exporter.models.config_classes import ConfigClass, ConfigClasses, Part, Rule

_BASE = "PreTrainedConfig"
_BASES = (_BASE, "PretrainedConfig")
_INIT, _ROPE = "__post_init__", "convert_rope_params_to_dict"
_PARTS = ("sub_configs_defaults", "sub_configs")
_SIGNS: Mapping[type[ast.operator], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.Pow: "**",
}
_NOTHING = object()


class _UnreadableError(Exception):
    """The source is not written as it is known here."""


def read_classes(directory: Path, architectures: Iterable[str]) -> ConfigClasses | None:
    """Return the config classes of architectures, and those of their parts.

    Args:
        directory: where transformers is installed.
        architectures: the architectures, by the names of ``model_type``.

    Returns:
        None where the source cannot be read. An architecture whose class cannot be read is not among them.
    """
    library = _Library(directory)
    known: dict[str, str] = {}
    classes: dict[str, ConfigClass] = {}
    try:
        pending = [(architecture, *library.place(architecture)) for architecture in architectures]
        while pending:
            architecture, path, name = pending.pop()
            try:
                kind, parts = library.read(path, name)
            except _UnreadableError:
                continue
            if architecture:
                known[architecture] = name
            if name in classes:
                continue
            classes[name] = kind
            pending += parts
        version, dropped, methods = library.version(), library.dropped(), library.methods()
    except (_UnreadableError, OSError, SyntaxError, ValueError, RecursionError):
        return None
    return ConfigClasses(version, known, classes, dropped, methods)


@dataclass
class _Module:
    """A parsed module: its classes, and where the names it imports are from."""

    path: Path
    classes: Mapping[str, ast.ClassDef]
    imports: Mapping[str, Path]


@lru_cache(maxsize=256)
def _parse(path: Path) -> _Module:
    tree = ast.parse(path.read_text("utf-8"))
    imports: dict[str, Path] = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.level:
            base = path.parents[node.level - 1].joinpath(*(node.module or "").split("."))
            imports |= {alias.asname or alias.name: base for alias in node.names}
    return _Module(path, {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}, imports)


class _Library:
    """The source of an installed transformers."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def version(self) -> str:
        """Return the version the source says it is of."""
        for node in ast.parse((self.directory / "__init__.py").read_text("utf-8")).body:
            match node:
                case ast.Assign(targets=[ast.Name(id="__version__")], value=ast.Constant(value=version)):
                    return str(version)
        raise _UnreadableError

    def dropped(self) -> tuple[str, ...]:
        """Return the settings of a generation, which older configs have and no config keeps."""
        path = self.directory / "generation" / "configuration_utils.py"
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name == "_get_default_generation_params":
                return tuple(key for key in _keys(node))
        raise _UnreadableError

    def methods(self) -> tuple[str, ...]:
        """Return the names that every config has and that are no values of it."""
        line = [node for _, node in self._line(self.directory / "configuration_utils.py", _BASE)]
        reader = _ClassReader(line)
        reader.read(_BASE)
        return tuple(sorted(reader.of_base))

    def place(self, architecture: str) -> tuple[Path, str]:
        """Return the module of an architecture's config class, and the name of the class."""
        names, folders = _read_mappings(self.directory)
        if architecture not in names:
            raise _UnreadableError
        folder = folders.get(architecture, architecture.replace("-", "_"))
        for path in sorted((self.directory / "models" / folder).glob("configuration_*.py")):
            if names[architecture] in _parse(path).classes:
                return path, names[architecture]
        raise _UnreadableError

    def read(self, path: Path, name: str) -> tuple[ConfigClass, list[tuple[str, Path, str]]]:
        """Return a class, and the classes of its parts: an architecture or nothing, the module, and the name."""
        line = list(self._line(path, name))
        reader = _ClassReader([node for _, node in line])
        kind = reader.read(name)
        parts: list[tuple[str, Path, str]] = []
        for part in kind.parts.values():
            if part.kind is not None:
                parts.append(("", self._find(_parse(path), part.kind), part.kind))
            elif part.architecture:
                parts.append((part.architecture, *self.place(part.architecture)))
        return kind, parts

    def _find(self, module: _Module, name: str) -> Path:
        """Return the file of the module with a class that is seen in a module."""
        if name in module.classes:
            return module.path
        base = module.imports.get(name)
        if base is None:
            raise _UnreadableError
        for path in (base.with_suffix(".py"), base / "__init__.py", base / "configuration_utils.py"):
            if path.is_file() and (name in _parse(path).classes or name in _parse(path).imports):
                return self._find(_parse(path), name)
        raise _UnreadableError

    def _line(self, path: Path, name: str) -> Iterator[tuple[Path, ast.ClassDef]]:
        """Yield a class and those it is derived from, in the order in which a name is looked for in them."""
        module = _parse(path)
        node = module.classes.get(name)
        if node is None:
            raise _UnreadableError
        yield path, node
        for base in node.bases:
            if not isinstance(base, ast.Name):
                raise _UnreadableError
            if base.id in module.classes or base.id in module.imports:
                yield from self._line(self._find(module, base.id), base.id)
            elif base.id != "object":
                raise _UnreadableError


@lru_cache(maxsize=4)
def _read_mappings(directory: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Return the config class of each architecture by name, and the folder of those that have another's."""
    names: dict[str, str] = {}
    folders: dict[str, str] = {}
    for file in ("auto_mappings.py", "configuration_auto.py"):
        path = directory / "models" / "auto" / file
        for node in ast.parse(path.read_text("utf-8")).body if path.is_file() else ():
            text = next((part for part in ast.walk(node) if isinstance(part, ast.Name)), None)
            into = {"CONFIG_MAPPING_NAMES": names, "SPECIAL_MODEL_TYPE_TO_MODULE_NAME": folders}.get(
                text.id if text is not None else ""
            )
            if into is not None and isinstance(node, ast.Assign | ast.AnnAssign | ast.Expr) and node.value is not None:
                into.update(_texts(node.value))
    if not names:
        raise _UnreadableError
    return names, folders


def _keys(node: ast.AST) -> Iterator[str]:
    for part in ast.walk(node):
        if isinstance(part, ast.Dict):
            yield from (str(key.value) for key in part.keys if isinstance(key, ast.Constant))


def _texts(value: ast.expr) -> Iterator[tuple[str, str]]:
    """Yield pairs of texts of a mapping, however it is written."""
    for node in ast.walk(value):
        pairs: list[tuple[ast.expr | None, ast.expr]] = []
        if isinstance(node, ast.Dict):
            pairs = list(zip(node.keys, node.values, strict=True))
        elif isinstance(node, ast.Tuple) and len(node.elts) == 2:
            pairs = [(node.elts[0], node.elts[1])]
        for key, item in pairs:
            if isinstance(key, ast.Constant) and isinstance(item, ast.Constant):
                yield str(key.value), str(item.value)


@dataclass
class _ClassReader:
    """Reads one class.

    Attributes:
        line: the class and those it is derived from, the class itself first.
    """

    line: list[ast.ClassDef]
    fields: dict[str, Any] = field(default_factory=dict)
    untold: set[str] = field(default_factory=set)
    untold_with: dict[str, set[str]] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)
    rules: dict[str, Rule] = field(default_factory=dict)
    # The names that each rule reads: one that changes behind it makes its value untold.
    reads: dict[str, set[str]] = field(default_factory=dict)
    # Local names, each with the key of the config it was taken from.
    local: dict[str, str] = field(default_factory=dict)
    labels: int = 2
    # The names of the base of all configs that are no values.
    of_base: set[str] = field(default_factory=set)

    def read(self, name: str) -> ConfigClass:
        """Return the class."""
        constants: dict[str, Any] = {}
        own = [node for node in self.line if node.name not in _BASES]
        for node in reversed(self.line):
            self._read_body(node, constants)
            if node.name in _BASES:
                self.of_base = {name for name in self.untold if not name.startswith("_")}
        self._read_init(0)
        parts = self._read_parts(constants)
        rope = self._rope_kind(own, constants) if "rope_parameters" in self.fields else None
        if rope is None:
            self.untold |= {"rope_parameters"} & self.fields.keys()
        else:
            # Older configs have some of its settings as values of their own.
            methods = filter(None, (_method(node, _ROPE) for node in self.line))
            taken = {name for method in methods for item in method.body for name in _assigned(item, self.line)}
            self.untold |= taken - self.fields.keys()
        self.untold |= {"num_labels"} & self.fields.keys()
        aliases = {key: value for key, value in dict(constants.get("attribute_map") or {}).items() if key != value}
        # Of a value and another name for it, each with a default, the order of setting them decides.
        self.untold |= {
            target
            for key, target in aliases.items()
            if key in self.fields or key in self.rules or key in self.untold - self.of_base
        }
        return ConfigClass(
            name=name,
            model_type=str(constants.get("model_type") or ""),
            fields={key: value for key, value in sorted(self.fields.items()) if key not in self.untold},
            aliases=aliases,
            renamed=self.renamed,
            rules={key: rule for key, rule in self.rules.items() if key not in self.untold},
            parts=parts,
            untold=tuple(sorted(name for name in self.untold - self.of_base if not name.startswith("_"))),
            untold_with={key: tuple(sorted(names)) for key, names in sorted(self.untold_with.items())},
            labels=self.labels,
            rope=rope,
        )

    def _read_body(self, node: ast.ClassDef, constants: dict[str, Any]) -> None:
        """Take the defaults and the names of one class, over those it is derived from."""
        is_base = node.name in _BASES or not any(isinstance(item, ast.AnnAssign) for item in node.body)
        for item in node.body:
            match item:
                case ast.AnnAssign(target=ast.Name(id=name), value=value, annotation=annotation):
                    if name.startswith("_"):
                        continue  # no expression may read it
                    if "ClassVar" in ast.unparse(annotation):
                        self.untold.add(name)
                        continue
                    default = _constant(value) if value is not None else _NOTHING
                    self.untold.discard(name)
                    self.fields[name] = default if default is not _NOTHING else None
                    self.rules.pop(name, None)
                    if default is _NOTHING:
                        self.rules[name] = Rule("absent")
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    constants[name] = _constant(value) if name not in _PARTS else value
                    self.untold.add(name)
                    self.fields.pop(name, None)
                case ast.FunctionDef(name=name):
                    if name.startswith("__"):
                        continue
                    told = None if is_base else _property(item)
                    self.fields.pop(name, None)
                    if told is not None and name not in self.untold:
                        self.rules[name] = Rule("always", told)
                        self.reads[name] = _names(told)
                    elif name != "num_labels":
                        self.untold.add(name)
                        self.rules.pop(name, None)

    def _read_parts(self, constants: Mapping[str, Any]) -> dict[str, Part]:
        parts: dict[str, Part] = {}
        for name in _PARTS:
            value = constants.get(name)
            if not isinstance(value, ast.Dict):
                continue
            for key, item in zip(value.keys, value.values, strict=True):
                if not isinstance(key, ast.Constant):
                    raise _UnreadableError
                part = _part(item)
                if part is None:
                    self.untold.add(str(key.value))
                else:
                    parts[str(key.value)] = part
            break
        return parts

    def _rope_kind(self, own: Iterable[ast.ClassDef], constants: Mapping[str, Any]) -> str | None:
        if constants.get("default_rope_type", "default") != "default":
            return None
        for node in own:
            method = _method(node, _ROPE)
            if method is None or not any(isinstance(item, ast.AnnAssign) for item in node.body):
                continue
            code = ast.unparse(method)
            if "self.standardize_rope_params()" not in code or "layer_types" in code:
                return None
            texts = {part.value for part in ast.walk(method) if isinstance(part, ast.Constant)}
            layers = {text for text in texts if isinstance(text, str) and text.endswith("_attention")}
            if layers:
                return "nested" if layers == {"full_attention", "sliding_attention"} else None
            return "changed" if any(isinstance(part, ast.List) for part in ast.walk(method)) else "flat"
        return "flat"

    # Code

    def _read_init(self, start: int) -> None:
        """Read the first ``__post_init__`` of the line from a class on, and through ``super()`` those behind it."""
        for index in range(start, len(self.line)):
            node = self.line[index]
            if node.name in _BASES:
                return
            method = _method(node, _INIT)
            if method is not None:
                self._read_statements(method.body, index)
                return

    def _read_statements(self, statements: Iterable[ast.stmt], index: int) -> None:
        behind = False
        for statement in statements:
            if _is_super(statement):
                self._read_init(index + 1)
                behind = True
            elif behind:
                # The base has set all values by then, those of keys that no class declares too.
                self._leave_untold(_assigned(statement, self.line))
            else:
                self._read_statement(statement)

    def _read_statement(self, statement: ast.stmt) -> None:
        match statement:
            case ast.Expr(value=ast.Constant()):
                pass
            case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id="logger")))):
                pass
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                taken = _taken(value)
                if taken is None:
                    self._leave_untold(_assigned(statement, self.line))
                else:
                    self.local[name] = taken
                    if taken not in self.fields:
                        self.untold.add(taken)
            case ast.Assign(targets=[ast.Attribute(value=ast.Name(id="self"), attr=name)], value=value):
                self._read_assignment(name, value)
            case ast.If():
                self._read_condition(statement)
            case _:
                self._leave_untold(_assigned(statement, self.line))

    def _read_assignment(self, name: str, value: ast.expr) -> None:
        own = f"self.{name}"
        match value:
            case ast.IfExp(test=test, body=body, orelse=orelse):
                condition, kept, other = ast.unparse(test), ast.unparse(body), ast.unparse(orelse)
                if condition == f"{own} is not None" and kept == own:
                    return self._add_rule(name, "none", orelse)
                if condition == f"{own} is None" and other == own:
                    return self._add_rule(name, "none", body)
                if condition == own and kept == own:
                    return self._add_rule(name, "falsy", orelse)
                local = condition.removesuffix(" is None")
                if local in self.local and kept == own and other == local:
                    self.renamed[self.local[local]] = name
                    return None
            case ast.BoolOp(op=ast.Or(), values=[first, second]) if ast.unparse(first) == own:
                return self._add_rule(name, "falsy", second)
        return self._add_rule(name, "always", value)

    def _read_condition(self, statement: ast.If) -> None:
        given = _given_key(statement.test)
        names = _assigned(statement, self.line)
        if given is not None and not statement.orelse:
            self.untold_with.setdefault(given, set()).update(names | {given})
            return
        tests = _conditions(statement.test)
        for test in tests:
            name = ast.unparse(test).removesuffix(" is None").removeprefix("self.")
            if ast.unparse(test) != f"self.{name} is None" or statement.orelse:
                continue
            labels = _label_count(statement) if name == "id2label" else None
            if labels is not None:
                self.labels = labels
                return
            match statement.body:
                case [ast.Assign(targets=[ast.Attribute(value=ast.Name(id="self"), attr=target)], value=value)] if (
                    target == name and len(tests) == 1
                ):
                    self._add_rule(name, "none", value)
                    return
            self._leave_untold(names - {name})
            self._add_rule(name, "none", None)
            return
        self._leave_untold(names)

    def _add_rule(self, name: str, where: str, value: ast.expr | None) -> None:
        text = _expression(value) if value is not None else None
        if text == f"config.{name}" and where == "always":
            return  # a copy of itself
        read = _names(text) if text is not None else set()
        # A value that is changed behind a rule that reads it, or twice, is not the one that an expression would see.
        if name in self.rules or name in self.untold or read & (self.untold | {name}):
            self._leave_untold({name})
            return
        self._forget_readers({name})
        if text is None and where == "always":
            self._leave_untold({name})
            return
        self.rules[name] = Rule(where, text)
        self.reads[name] = read

    def _leave_untold(self, names: set[str]) -> None:
        self._forget_readers(names)
        self.untold |= names

    def _forget_readers(self, names: set[str]) -> None:
        for reader, read in self.reads.items():
            if read & names and reader in self.rules:
                self.untold.add(reader)


def _constant(node: ast.expr | None) -> Any:
    """Return the value of a literal, with lists for tuples; `_NOTHING` for what is none."""
    if node is None:
        return None
    try:
        return _listed(ast.literal_eval(node))
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return _NOTHING


def _listed(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_listed(item) for item in value]
    if isinstance(value, dict):
        return {key: _listed(item) for key, item in value.items()}
    if value is None or isinstance(value, str | int | float):
        return value
    raise ValueError(value)


def _method(node: ast.ClassDef, name: str) -> ast.FunctionDef | None:
    return next((item for item in node.body if isinstance(item, ast.FunctionDef) and item.name == name), None)


def _property(method: ast.FunctionDef) -> str | None:
    """Return the expression of a property that returns one; None for any other method."""
    if [ast.unparse(decorator) for decorator in method.decorator_list] != ["property"]:
        return None
    body = [item for item in method.body if not (isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant))]
    match body:
        case [ast.Return(value=ast.expr() as value)]:
            return _expression(value)
    return None


def _part(node: ast.expr) -> Part | None:
    match node:
        case ast.Name(id="AutoConfig"):
            return Part(architecture="")
        case ast.Name(id=name):
            return Part(kind=name)
        case ast.Call(func=ast.Name(), keywords=keywords, args=[]):
            given = {keyword.arg: keyword.value for keyword in keywords}
            kind, architecture = given.get("config_class"), _constant(given.get("model_type"))
            values = _constant(given.get("init_kwargs"))
            if not isinstance(kind, ast.Name) or architecture is _NOTHING or values is _NOTHING or "optional" in given:
                return None
            if kind.id == "AutoConfig":
                return Part(architecture=architecture or "", values=values or {})
            return Part(kind=kind.id, values=values or {})
    return None


def _is_super(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr | ast.Return) and "super().__post_init__(" in ast.unparse(statement)


def _conditions(test: ast.expr) -> list[ast.expr]:
    """Return the conditions that all have to hold."""
    return test.values if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And) else [test]


def _taken(value: ast.expr) -> str | None:
    """Return the key that ``kwargs.pop('key', None)`` takes from a config."""
    match value:
        case ast.Call(
            func=ast.Attribute(value=ast.Name(id="kwargs"), attr="pop" | "get"),
            args=[ast.Constant(value=str(key)), ast.Constant(value=None)],
        ):
            return key
    return None


def _given_key(test: ast.expr) -> str | None:
    """Return the key without which a condition is false, for one that asks for a key of the config."""
    first = _conditions(test)[0]
    match first:
        case ast.Compare(left=ast.Constant(value=str(key)), ops=[ast.In()], comparators=[ast.Name(id="kwargs")]):
            return key
        case ast.Compare(left=ast.NamedExpr(value=value), ops=[ast.IsNot()]):
            return _taken(value)
    return None


def _label_count(statement: ast.If) -> int | None:
    """Return the count in ``self.num_labels = kwargs.pop('num_labels', 3)``."""
    match statement.body:
        case [
            ast.Assign(targets=[ast.Attribute(attr="num_labels")], value=ast.Call(args=[_, ast.Constant(value=int(n))]))
        ]:
            return n
    return None


def _assigned(statement: ast.stmt, line: Iterable[ast.ClassDef], depth: int = 0) -> set[str]:
    """Return the names of a config that a statement may change, and the keys it may take from it or put into it."""
    names: set[str] = set()
    for node in ast.walk(statement):
        match node:
            case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                names.add(name)
            case ast.Attribute(value=inner, ctx=ast.Store()) | ast.Subscript(value=inner, ctx=ast.Store()):
                names |= _reached(inner)
            case ast.Assign(targets=[ast.Name()], value=value) | ast.NamedExpr(value=value):
                # Under its new name it may be changed.
                names |= _reached(value)
            case ast.Subscript(value=ast.Name(id="kwargs"), slice=ast.Constant(value=str(key)), ctx=ast.Store()):
                names.add(key)
            case ast.Call(func=ast.Attribute(value=ast.Name(id="kwargs"), attr="pop" | "setdefault"), args=[first, *_]):
                if isinstance(first, ast.Constant):
                    names.add(str(first.value))
            case ast.Call(func=ast.Attribute(value=ast.Attribute(value=ast.Name(id="self"), attr=name))):
                names.add(name)
            case ast.Call(func=ast.Name(id="setattr")):
                raise _UnreadableError
            case ast.Call(func=ast.Attribute(value=ast.Name(id="self"), attr=name)) if depth < 4:
                method = next(filter(None, (_method(owner, name) for owner in line)), None)
                for step in method.body if method is not None else ():
                    names |= _assigned(step, line, depth + 1)
    return names


def _reached(node: ast.expr) -> set[str]:
    """Return the value of a config at which a chain of steps begins: ``text_config`` of ``self.text_config.x``."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
            return {node.attr}
        node = node.value
    return set()


def _expression(node: ast.expr) -> str | None:
    """Return an expression of the spec language for one of Python; None where there is none."""
    match node:
        case ast.Constant(value=None):
            return "none"
        case ast.Constant(value=bool(value)):
            return "true" if value else "false"
        case ast.Constant(value=int(value)) | ast.Constant(value=float(value)):
            return repr(value)
        case ast.Attribute(value=ast.Name(id="self"), attr=name) if not name.startswith("_"):
            return f"config.{name}"
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            inner = _expression(operand)
            return f"not {inner}" if inner is not None else None
        case ast.BinOp(left=left, op=operator, right=right) if type(operator) in _SIGNS:
            sides = [_expression(left), _expression(right)]
            return f"({sides[0]} {_SIGNS[type(operator)]} {sides[1]})" if None not in sides else None
        case ast.Call(func=ast.Name(id="len"), args=[argument]):
            inner = _expression(argument)
            return f"({inner} | length)" if inner is not None else None
        case ast.Call(func=ast.Name(id="list"), args=[argument]):
            return _expression(argument)
        case ast.Call(func=ast.Name(id="int"), args=[argument]):
            inner = _expression(argument)
            return f"({inner} | int)" if inner is not None else None
    return None


def _names(text: str) -> set[str]:
    """Return the names of a config that an expression made here reads."""
    words = text.replace("(", " ").replace(")", " ").split()
    return {word.removeprefix("config.") for word in words if word.startswith("config.")}
