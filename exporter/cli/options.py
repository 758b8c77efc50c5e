"""The options that the commands around a build share.

An option that nobody gives is None, so that a build file may have its own: ``--opset`` has no default here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from exporter.artifacts.layouts import LAYOUTS
from exporter.planning.options import parse_dims
from exporter.planning.target import Flag, Target
from exporter.targets.registry import TARGETS

Command = Callable[..., Any]
# Of the group; its commands inherit both.
CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}

_SOURCE = (
    click.option("--revision", metavar="REV", help="Branch, tag or commit of a hub id."),
    click.option(
        "--framework",
        type=click.Choice(["pt", "tf", "flax"]),
        help=(
            "Whose weights to take where a checkpoint holds several: PyTorch's, TensorFlow's or Flax's. "
            "Default: the first of these it has."
        ),
    ),
    click.option(
        "--cache-dir",
        "--cache_dir",
        metavar="DIR",
        help="Where downloads of a hub id are kept. Default: the cache of Hugging Face's libraries.",
    ),
    click.option(
        "--trust-remote-code",
        is_flag=True,
        default=None,
        help="Let the checkpoint run Python code of its own.",
    ),
)

_BOUND = (
    click.option(
        "--atol",
        type=click.FloatRange(min=0),
        metavar="X",
        help="Absolute tolerance. Default: the spec's for the dtype.",
    ),
    click.option(
        "--rtol",
        type=click.FloatRange(min=0),
        metavar="X",
        help="Relative tolerance. Default: the spec's for the dtype.",
    ),
)

_REQUEST = (
    click.option(
        "--task",
        "--feature",
        "tasks",
        multiple=True,
        metavar="TASK",
        help=(
            "A task (fill-mask) or a retired feature name (masked-lm). May be given several times. "
            "Default, or 'auto': every task of a reference, the checkpoint's own task otherwise."
        ),
    ),
    click.option(
        "--model",
        "-m",
        metavar="DIR|HUB_ID",
        help=(
            "The checkpoint: a directory or a hub id. Default: the spec's reference, a tiny model with random weights."
        ),
    ),
    *_SOURCE,
    click.option(
        "--target",
        "targets",
        type=click.Choice(list(TARGETS)),
        multiple=True,
        help="What to build. May be given several times, each an artifact of its own. Default: onnx.",
    ),
    click.option(
        "--dim",
        "dims",
        multiple=True,
        metavar="NAME=SIZE",
        help="Fix a dynamic dim at a size (sequence=128). May be given several times.",
    ),
    click.option(
        "--static",
        is_flag=True,
        default=None,
        help="Leave no dim open: every dynamic dim needs a --dim.",
    ),
    click.option(
        "--opset",
        type=int,
        metavar="N",
        help="ONNX only: the opset, 11 to 20 with the torchscript tracer, 18 to 23 with dynamo. Default: 18.",
    ),
    click.option(
        "--dtype",
        type=click.Choice(["float32", "float16", "bfloat16"]),
        help="Dtype of weights and computation. Default: float32.",
    ),
    click.option(
        "--tracer",
        type=click.Choice(["torchscript", "dynamo"]),
        help="What records the graph. Default: the spec's choice.",
    ),
    click.option(
        "--monolith",
        is_flag=True,
        default=None,
        help="Build a task of several graphs (encoder, decoder, …) as the single graph earlier systems wrote.",
    ),
    click.option(
        "--merged",
        is_flag=True,
        default=None,
        help="Build one decoder for the first step and the later ones, in place of one for each.",
    ),
    click.option(
        "--layout",
        type=click.Choice(list(LAYOUTS)),
        help="Whose files to write. Default: flat, for ONNX Runtime and optimum.",
    ),
    click.option(
        "--weights",
        type=click.Choice(["auto", "external"]),
        help="auto, the default: inside model.onnx below 2 GB, beside it above; external: always beside it.",
    ),
    click.option(
        "--variant",
        type=click.IntRange(min=1),
        metavar="N",
        help="Take the spec's N-th variant in place of its reference.",
    ),
    click.option(
        "--seed",
        type=click.IntRange(min=0),
        metavar="N",
        help="Seed of dummies and of a reference's weights. Default: 0.",
    ),
    *_BOUND,
)

_PLACE = (
    click.option(
        "--output",
        "-o",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help=(
            "Where to write: the artifact itself for one task, DIR/<task> for several. "
            "Default: artifacts/<name>/<task>."
        ),
    ),
    click.option(
        "--no-verify",
        "verify",
        is_flag=True,
        flag_value=False,
        default=None,
        help="Do not compare the graph with PyTorch. Nothing then says that it is right.",
    ),
)


def source_options(command: Command) -> Command:
    """Add the options of a checkpoint: all that a `Source` holds but its name."""
    return _add(command, _SOURCE)


def measured_options(command: Command) -> Command:
    """Add the options of what is built: all that a `Request` holds but its place and whether it is verified."""
    for target in TARGETS.values():
        for flag in target.flags:
            command = click.option(*_words(flag), default=None, help=_help(flag, target), **_kind(flag))(command)
    return _add(command, _REQUEST)


def build_options(command: Command) -> Command:
    """Add the options of a build: all that a `Request` holds."""
    return measured_options(_add(command, _PLACE))


def _add(command: Command, options: tuple[Callable[[Command], Command], ...]) -> Command:
    for option in reversed(options):
        command = option(command)
    return command


def _words(flag: Flag) -> Iterator[str]:
    yield f"{flag.option}/--{flag.opposite}" if flag.opposite is not None else flag.option


def _help(flag: Flag, target: Target) -> str:
    return f"{target.name}: {flag.help}"


def _kind(flag: Flag) -> dict[str, Any]:
    """Return how click reads the value of a flag."""
    if flag.kind is bool:
        return {"is_flag": True}
    return {"type": click.Choice(flag.kind)} if isinstance(flag.kind, tuple) else {"metavar": flag.metavar or "TEXT"}


def gather_options(values: dict[str, Any]) -> dict[str, Any]:
    """Return what was given on a command line, by the names of `exporter.building.request.OPTIONS`.

    Raises:
        UsageError: a dim and its size are not written as such.
    """
    from exporter.api import given_options

    flags = {flag.name for target in TARGETS.values() for flag in target.flags}
    settings = {name: value for name, value in values.items() if name in flags and value is not None}
    others = {name: value for name, value in values.items() if name not in flags}
    others["dims"] = parse_dims(others.pop("dims", ())) or None
    return given_options(**others, settings=settings or None)
