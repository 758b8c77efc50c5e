"""The kinds of file a build can make, as data: what each is recorded with, how its files end, and what may be set for it.

Everything here is known without torch, so that a request a target cannot serve is refused before any work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from exporter import neuron
from exporter.diagnostics import UsageError
from exporter.torch_process import PROGRAM

DEFAULT_TARGET = "onnx"
# What a setting of a target may be: a switch, a choice, a number, a text.
Setting = bool | int | str
Settings = Mapping[str, Setting]
NO_SETTINGS: Settings = {}
_KINDS = {bool: "true or false", str: "a text"}


def _none(_: Settings) -> tuple[str, ...]:
    return ()


def _same(_: Settings, dtype: str) -> str:
    return dtype


def _accept(_: Settings) -> None:
    """Refuse nothing."""


@dataclass(frozen=True, slots=True)
class Target:
    """One kind of file.

    ``tracer`` is the mechanism that always records it; None where the spec or the request chooses. ``all_static`` targets
    have no dynamic dims at all, but for those that a setting leaves ``open``. ``settings`` are the options only this target has,
    by the name of their flag, each with the words it may be or its type; ``local`` ones say where, not what. ``patches``
    (with the reason) and ``notes`` go with every build. ``help`` says where to get the packages it needs.

    What depends on the settings is asked of functions: ``build_modules`` are imported to build and ``runtime_modules`` to run the
    file, the versions of ``packages`` shape it, ``computed_dtype`` is the dtype it is as exact as, and the two refusals raise.
    """

    name: str
    suffix: str
    tracer: str | None
    all_static: bool = False
    settings: Mapping[str, tuple[str, ...] | type] = field(default_factory=dict)
    local: tuple[str, ...] = ()
    open: Mapping[str, str] = field(default_factory=dict)
    patches: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    help: str | None = None
    build_modules: Callable[[Settings], tuple[str, ...]] = _none
    runtime_modules: Callable[[Settings], tuple[str, ...]] = _none
    packages: Callable[[Settings], tuple[str, ...]] = _none
    computed_dtype: Callable[[Settings, str], str] = _same
    refuse_combinations: Callable[[Settings], None] = _accept
    refuse_verification: Callable[[Settings], None] = _accept

    @property
    def has_opset(self) -> bool:
        """Whether the file is written in a version of the ONNX operators."""
        return self.name == DEFAULT_TARGET


TARGETS: Mapping[str, Target] = {
    target.name: target
    for target in (
        Target("onnx", ".onnx", tracer=None),
        Target("torchscript", ".pt", tracer="torchscript", settings={"untie": bool, "freeze": bool}),
        Target(
            "neuron", ".neuron", tracer="torchscript", all_static=True,
            settings={
                "instance_type": neuron.INSTANCE_TYPES, "auto_cast": neuron.AUTO_CASTS, "auto_cast_type": tuple(neuron.CASTS),
                "optlevel": neuron.OPTLEVELS, "model_type": neuron.MODEL_TYPES, "inline_weights": bool, "dynamic_batch": bool,
                "compiler_workdir": str, "cpu_backend": bool,
            },
            local=("compiler_workdir",), open={"dynamic_batch": "batch"},
            patches={"kept-masks": "the SDK traces in a way transformers does not see, and a mask that pads nothing would be left out"},
            notes=(neuron.NOT_VERIFIED,), help=neuron.WHERE_FROM,
            build_modules=neuron.build_modules, runtime_modules=neuron.runtime_modules, packages=neuron.build_packages,
            computed_dtype=neuron.computed_dtype, refuse_combinations=neuron.refuse_combinations,
            refuse_verification=neuron.refuse_verification,
        ),
        Target("torch-export", PROGRAM, tracer="dynamo", settings={"aoti": bool}),
    )
}  # fmt: skip


def find_target(name: str) -> Target:
    """Return a target by name.

    Raises:
        UsageError: there is none.
    """
    target = TARGETS.get(name)
    if target is None:
        raise UsageError(f"unknown target '{name}'", help=f"the targets are {', '.join(TARGETS)}")
    return target


def check_settings(target: Target, given: Settings) -> None:
    """Refuse a setting that belongs to other targets, is none of the words it may be, or does not go with the others.

    Raises:
        UsageError: names the targets it belongs to, or the words.
    """
    for name, value in given.items():
        if name not in target.settings:
            flag = f"--{name.replace('_', '-')}"
            owners = ", ".join(other.name for other in TARGETS.values() if name in other.settings)
            raise UsageError(
                f"{flag} does not go with the target {target.name}",
                help=f"it belongs to --target {owners}" if owners else "leave it out",
            )
        kind = target.settings[name]
        if not (isinstance(value, kind) if isinstance(kind, type) else str(value) in kind):
            shown = f"one of {', '.join(kind)}" if isinstance(kind, tuple) else _KINDS[kind]
            raise UsageError(f"'{value}' is no value of the setting '{name}'", help=f"it is {shown}")
    target.refuse_combinations(given)


def lasting_settings(target: Target, settings: Settings) -> dict[str, Setting]:
    """Return the settings that say what a file is, without those that say where it was made."""
    return {name: value for name, value in settings.items() if name not in target.local}


def parse_dims(texts: Iterable[str]) -> dict[str, int]:
    """Return the sizes of ``name=size`` texts.

    Raises:
        UsageError: a text is not of that form, or a dim is given twice.
    """
    sizes: dict[str, int] = {}
    for name, size in _split_dims(texts):
        if name in sizes:
            raise UsageError(f"the dim '{name}' is given twice", help="give each dim one size")
        sizes[name] = size
    return sizes


def _split_dims(texts: Iterable[str]) -> Iterator[tuple[str, int]]:
    for text in texts:
        name, _, size = text.partition("=")
        if not name.isidentifier() or not size.isdecimal() or int(size) < 1:
            raise UsageError(f"'{text}' is not a dim and its size", help="write --dim sequence=128")
        yield name, int(size)
