"""The kinds of file a build can make, as data: what each is recorded with, how its files end, and what may be set for it.

Everything here is known without torch, so that a request a target cannot serve is refused before any work.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from exporter.diagnostics import UsageError

DEFAULT_TARGET = "onnx"
# What a setting of a target may be: a switch, a choice, a number, a text.
Setting = bool | int | str


@dataclass(frozen=True, slots=True)
class Target:
    """One kind of file.

    ``tracer`` is the mechanism that always records it; None where the spec or the request chooses. ``all_static`` targets
    have no dynamic dims at all. ``modules`` are what a process imports to run the file. ``settings`` are the options only this target has, by the name of their flag.
    """

    name: str
    suffix: str
    tracer: str | None
    all_static: bool = False
    modules: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()

    @property
    def has_opset(self) -> bool:
        """Whether the file is written in a version of the ONNX operators."""
        return self.name == DEFAULT_TARGET


TARGETS: Mapping[str, Target] = {
    target.name: target
    for target in (
        Target("onnx", ".onnx", tracer=None),
        Target("torchscript", ".pt", tracer="torchscript", settings=("untie", "freeze")),
        Target(
            "neuron", ".neuron", tracer="torchscript", all_static=True,
            settings=("instance_type", "auto_cast", "auto_cast_type", "optlevel", "inline_weights", "dynamic_batch", "compiler_workdir", "cpu_backend"),
        ),
        Target("torch-export", ".pt2", tracer="dynamo", settings=("aoti",)),
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


def check_settings(target: Target, given: Iterable[str]) -> None:
    """Refuse a setting that belongs to other targets.

    Raises:
        UsageError: names the targets it belongs to.
    """
    for name in given:
        if name not in target.settings:
            flag = f"--{name.replace('_', '-')}"
            owners = ", ".join(other.name for other in TARGETS.values() if name in other.settings)
            raise UsageError(
                f"{flag} does not go with the target {target.name}",
                help=f"it belongs to --target {owners}" if owners else "leave it out",
            )


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
