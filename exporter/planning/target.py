"""What a target is: one kind of file a build can make.

A target is one record and one folder under `exporter.targets`, and the record is all that other packages read.
Functions of the record that need torch or a runtime import them when they are called, so that a request is refused
without either.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from exporter.errors import UsageError
from exporter.planning.plan import GraphPlan, Plan, Setting

if TYPE_CHECKING:
    from exporter.planning.dtypes import Array

Settings = Mapping[str, Setting]
NO_SETTINGS: Settings = {}
_KINDS = {bool: "true or false", str: "a text"}


class Session(Protocol):
    """An opened graph. ``name`` is the runtime that computes it."""

    name: str

    def run(self, inputs: Mapping[str, Array]) -> list[Array]:
        """Return the outputs in graph order."""


class Exporter(Protocol):
    """The module that writes the graphs of a target."""

    def attention_of(self, plan: Plan) -> str | None:
        """Return the attention implementation to record, or None for the model's own."""

    def export_graph(self, model: Any, graph: GraphPlan, plan: Plan, directory: Path) -> list[Any]:
        """Write one graph of a model to ``directory`` and return the weights it uses, as torch tensors.

        The files that go with a checkpoint, ``config.json`` among them, come into the directory later: what is written
        into one of them is written by ``finish`` of the target.
        """


class OpenSession(Protocol):
    """Opens a file of a target."""

    def __call__(self, path: Path, plan: Plan, *, shipped: bool = False) -> Session:
        """Open a graph.

        Args:
            path: the file.
            plan: the plan it was built from.
            shipped: in the configuration a user gets, which may hold a private copy of every weight.

        Raises:
            ExportError: the runtime refuses the file.
        """


@dataclass(frozen=True, slots=True)
class Flag:
    """An option that only some targets have: a setting, and how it is given on the command line.

    Attributes:
        name: the name of the setting: ``auto_cast``.
        kind: ``bool``, ``str``, or the words the setting may be.
        help: what it does, for ``--help``.
        metavar: what stands for its value in ``--help``.
        opposite: the flag that turns the setting off: ``separate-weights`` for ``inline_weights``.
        local: the setting says where a file is made and changes nothing in it, as the directory that a compiler works
            in does. A manifest leaves the setting out.
    """

    name: str
    kind: type | tuple[str, ...]
    help: str
    metavar: str | None = None
    opposite: str | None = None
    local: bool = False
    dtypes: tuple[str, ...] = ()
    off: Setting = False

    @property
    def option(self) -> str:
        """The flag as it is written: ``--auto-cast`` for ``auto_cast``."""
        return f"--{self.name.replace('_', '-')}"


def _nothing(_: Settings) -> tuple[str, ...]:
    return ()


def _one_file(file: str, _: Settings) -> tuple[str, ...]:
    return (file,)


def _same(_: Settings, dtype: str) -> str:
    return dtype


def _accept(_: Settings) -> None:
    """Refuse nothing."""


def _keep_to_itself(_: Path, __: GraphPlan, ___: Plan, ____: Mapping[str, str]) -> None:
    """Write nothing: the file itself says which dims are open."""


def _add_nothing(_: Path, __: Plan) -> None:
    """Add nothing to the files that go with a checkpoint."""


def _hold_harmless(_: Path) -> None:
    """Refuse nothing."""


def _start_nothing() -> None:
    """Start nothing."""


def _never(_: Path, __: Plan) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Target:
    """One kind of file a build can make.

    What the file is:
        ``suffix`` is the end of its name, and ``library`` what the hub calls the library that loads it.
        ``card_template`` is the file with the program of the model card, in the folder of the target.

    How it is recorded:
        ``tracer`` is the mechanism that always records it; None where the spec or the request chooses. ``opsets`` are
        the opsets that each tracer can write, and empty for a file that has none. ``patches`` (with the reason) and
        ``notes`` go with every build.

    What may be asked of it:
        ``flags`` are the options only this target has. ``refused_options`` are options of every build that mean nothing
        here, with the reason. An ``all_static`` target has no dynamic dims but those that a setting leaves open:
        ``open_by`` has the dim of each such setting (``{"dynamic_batch": "batch"}``). ``help`` says where to get the
        packages it needs.

    What it does: functions.
        ``load_exporter`` returns the module that writes it, ``open_session`` opens a file, and ``check_structure``
        returns how a written graph differs from the plan. ``has_shipped_form`` tells whether a session as users open it
        differs from one that maps weights. A file is ``probed`` if a size that was baked into it shows only when it is
        run, so that each dim is tried alone; ``describe_open_dims`` writes the verdicts beside the graph.
        ``start_runtime`` starts what the sessions of all builds share. ``inspect`` looks at a file before a runtime
        does, and raises `UntrustedError` for one that would run code of whoever made it, or read outside its directory.
        ``finish`` writes into the files that go with a checkpoint, once all are there.

    What depends on the settings: functions of them.
        ``files`` are the files that each hold a graph. ``build_modules`` are imported to build it and
        ``runtime_modules`` to run it, and the versions of ``packages`` shape it. ``computed_dtype`` is the dtype that
        its operations run in, whose tolerance it is held to: bfloat16 for a float32 model where the target casts.
        ``refuse_combinations`` raises `UsageError` for settings that do not go together, and ``refuse_verification``
        for those under which a file cannot be run where it was built.
    """

    name: str
    suffix: str
    library: str
    card_template: Path
    load_exporter: Callable[[], Exporter]
    open_session: OpenSession
    check_structure: Callable[[Path, GraphPlan, Plan], list[str]]
    tracer: str | None = None
    opsets: Mapping[str, range] = field(default_factory=dict)
    flags: tuple[Flag, ...] = ()
    refused_options: Mapping[str, str] = field(default_factory=dict)
    all_static: bool = False
    open_by: Mapping[str, str] = field(default_factory=dict)
    patches: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    help: str | None = None
    has_shipped_form: Callable[[Path, Plan], bool] = _never
    probed: bool = False
    describe_open_dims: Callable[[Path, GraphPlan, Plan, Mapping[str, str]], None] = _keep_to_itself
    start_runtime: Callable[[], None] = _start_nothing
    inspect: Callable[[Path], None] = _hold_harmless
    finish: Callable[[Path, Plan], None] = _add_nothing
    files: Callable[[str, Settings], tuple[str, ...]] = _one_file
    build_modules: Callable[[Settings], tuple[str, ...]] = _nothing
    runtime_modules: Callable[[Settings], tuple[str, ...]] = _nothing
    packages: Callable[[Settings], tuple[str, ...]] = _nothing
    computed_dtype: Callable[[Settings, str], str] = _same
    refuse_combinations: Callable[[Settings], None] = _accept
    refuse_verification: Callable[[Settings], None] = _accept

    def find_flag(self, name: str) -> Flag | None:
        """Return the flag of a setting, or None where the target has no such setting."""
        return next((flag for flag in self.flags if flag.name == name), None)


def check_settings(target: Target, given: Settings) -> None:
    """Refuse a setting the target does not have, a value that is none of its own, and settings that do not go together.

    Raises:
        UsageError: says which, and what it may be.
    """
    check_values(target, given)
    target.refuse_combinations(given)


def refuse_idle_settings(target: Target, given: Settings, dtype: str, *, static: bool) -> None:
    """Refuse settings that mean nothing beside the other options.

    Args:
        target: the target, which has the settings.
        given: the settings.
        dtype: that of the build.
        static: no dim is to be left open.

    Raises:
        UsageError: one speaks of other dtypes, or leaves a dim open where none is to be.
    """
    for flag in target.flags:
        if given.get(flag.name, flag.off) in (False, flag.off):
            continue
        if flag.dtypes and dtype not in flag.dtypes:
            raise UsageError(
                f"{flag.option} means nothing for a build in {dtype}: it is about {' and '.join(flag.dtypes)}",
                help=f"leave {flag.option} or --dtype out",
            )
        if static and flag.name in target.open_by:
            raise UsageError(
                f"--static leaves no dim open, and {flag.option} leaves open: {target.open_by[flag.name]}",
                help="leave one of them out",
            )


def check_values(target: Target, given: Settings) -> None:
    """Refuse a setting the target does not have, and a value that is none of its own.

    The settings of a plan pass, those too that nobody gave and the plan completed.

    Raises:
        UsageError: says which, and what it may be.
    """
    for name, value in given.items():
        flag = target.find_flag(name)
        if flag is None:
            raise UsageError(
                f"--{name.replace('_', '-')} does not go with the target {target.name}", help="leave it out"
            )
        if not (isinstance(value, flag.kind) if isinstance(flag.kind, type) else str(value) in flag.kind):
            words = f"one of {', '.join(flag.kind)}" if isinstance(flag.kind, tuple) else _KINDS[flag.kind]
            raise UsageError(f"'{value}' is no value of the setting '{name}'", help=f"it is {words}")


def lasting_settings(target: Target, settings: Settings) -> dict[str, Setting]:
    """Return the settings that shape a file: those that are not ``local``."""
    local = {flag.name for flag in target.flags if flag.local}
    return {name: value for name, value in settings.items() if name not in local}
