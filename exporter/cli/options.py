"""The options that the commands around a build share.

An option that nobody gives is None, and has no default here: what is None may come from a build file. Without
``--opset`` on the command line, an entry with ``opset: 17`` is built with 17.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from exporter.artifacts.layouts import LAYOUTS
from exporter.cli.completion import complete_directory, complete_names, complete_tasks
from exporter.errors import did_you_mean
from exporter.language.spec import DTYPES, TRACERS
from exporter.nearness import own_name
from exporter.planning.options import parse_dims
from exporter.planning.target import Flag, Target
from exporter.targets.onnx import OPSETS
from exporter.targets.registry import TARGETS

Command = Callable[..., Any]
# What the group and all its commands have in common.
CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


class Tolerance(click.FloatRange):
    """A number of 0 or more. Within an infinite tolerance everything passes, and within NaN nothing does."""

    def __init__(self) -> None:
        super().__init__(min=0)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number; fail where it is none, negative or not finite."""
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


class Words(click.Choice[str]):
    """One of some names, or a word that means the same; with ``many`` several of them, with commas between."""

    def __init__(self, names: Iterable[str], kind: str, *, many: bool = False) -> None:
        super().__init__(list(names))
        self.kind, self.many = kind, many

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the names, with commas between; fail where a word means none."""
        words = [word.strip() for word in str(value).split(",")] if self.many else [str(value)]
        return ",".join(self._name(word, param, ctx) for word in words)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Complete the name, or the last of several."""
        return complete_names(incomplete, ((name, None) for name in self.choices))

    def _name(self, word: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        name = word if word in self.choices else own_name(word, self.kind)
        if name not in self.choices:
            hint = did_you_mean(word, self.choices)
            listed = ", ".join(f"'{choice}'" for choice in self.choices)
            self.fail(f"'{word}' is not one of {listed}" + (f"; {hint}" if hint else "."), param, ctx)
        return name


def _use_token(_: click.Context, __: click.Parameter, token: str | None) -> None:
    """Hand a token to the hub's library and to the workers by the environment: no request, log or file has it."""
    if token is not None:
        os.environ["HF_TOKEN"] = token


_SOURCE = (
    click.option(
        "--revision", metavar="REV", help="Branch, tag or commit of a hub id. Default: the newest of its main branch."
    ),
    click.option(
        "--subfolder",
        metavar="DIR",
        help="Folder of the checkpoint inside the directory or hub id. Default: the directory itself.",
    ),
    click.option(
        "--token",
        metavar="TOKEN",
        expose_value=False,
        callback=_use_token,
        help=(
            "Access token for a hub id that is private or gated, for this run alone. "
            "Default: HF_TOKEN, which no list of processes shows, or the token of 'hf auth login'."
        ),
    ),
    click.option(
        "--framework",
        type=click.Choice(["pt", "tf", "flax"]),
        help=(
            "Take the weights of PyTorch, TensorFlow or Flax from a checkpoint that has those of several. "
            "Default: the first of these that it has."
        ),
    ),
    click.option(
        "--cache-dir",
        "--cache_dir",
        metavar="DIR",
        help="Directory that keeps downloads of a hub id. Default: the cache of Hugging Face's libraries.",
    ),
    click.option(
        "--trust-remote-code",
        is_flag=True,
        default=None,
        help="Let the checkpoint run Python code of its own on this machine. Only for a checkpoint you trust.",
    ),
)

_BOUND = (
    click.option(
        "--atol",
        type=Tolerance(),
        metavar="X",
        help="Absolute tolerance. Default: the spec's for the dtype.",
    ),
    click.option(
        "--rtol",
        type=Tolerance(),
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
        shell_complete=complete_tasks,
        help=(
            "Task to build: fill-mask, by its retired feature name masked-lm, or by a word of the Hub or of pipelines "
            "(ner). Several are given one by one or as fill-mask,ner. "
            "Default, or 'auto': the task a checkpoint was saved for; without --model, every task of the spec."
        ),
    ),
    click.option(
        "--model",
        "-m",
        metavar="DIR|HUB_ID",
        shell_complete=complete_directory,
        help=(
            "Checkpoint to build: a directory or a hub id. "
            "Default: the spec's reference, a tiny model with random weights."
        ),
    ),
    *_SOURCE,
    click.option(
        "--target",
        "targets",
        type=Words(TARGETS, "targets", many=True),
        multiple=True,
        help=(
            "Kind of graph to write. Several, given one by one or as onnx,torchscript, are artifacts of their own. "
            "Default: onnx."
        ),
    ),
    click.option(
        "--dim",
        "dims",
        multiple=True,
        metavar="NAME=SIZE",
        help="Give a dynamic dim one fixed size, such as sequence=128. May be given several times.",
    ),
    click.option(
        "--static",
        is_flag=True,
        default=None,
        help="Leave no dim dynamic: each needs its size, given by --dim.",
    ),
    click.option(
        "--opset",
        type=int,
        metavar="N",
        help=(
            "onnx: version of the operators, "
            f"{' or '.join(f'{span[0]} to {span[-1]} with the {name} tracer' for name, span in OPSETS.items())}. "
            "Default: 18, or the lowest later one that holds the model."
        ),
    ),
    click.option(
        "--dtype",
        type=Words(DTYPES, "dtypes"),
        help="Dtype of the weights and of what is computed with them; fp16, bf16 and the like are understood. "
        "Default: float32.",
    ),
    click.option(
        "--tracer",
        type=Words(TRACERS, "tracers"),
        help="PyTorch machinery that records the graph. Default: the spec's choice.",
    ),
    click.option(
        "--monolith",
        is_flag=True,
        default=None,
        help="Write one graph for a task of several (encoder, decoder, …), as transformers.onnx did.",
    ),
    click.option(
        "--merged",
        is_flag=True,
        default=None,
        help="Write one decoder that serves the first step of a generation and the later ones, not one for each.",
    ),
    click.option(
        "--output-hidden-states",
        is_flag=True,
        default=None,
        help="Make the states between layers outputs too: hidden_states.0, hidden_states.1 and so on.",
    ),
    click.option(
        "--output-attentions",
        is_flag=True,
        default=None,
        help="Make the weights of attention outputs too: attentions.0, attentions.1 and so on.",
    ),
    click.option(
        "--layout",
        type=Words(LAYOUTS, "layouts"),
        help="Files and folders as a consumer expects them. Default: flat, for ONNX Runtime and optimum.",
    ),
    click.option(
        "--weights",
        type=click.Choice(["auto", "external"]),
        help=(
            "Where weights go. auto: into the graph's file below 2 GB, into a file beside it above. "
            "external: always into a file beside it. Default: auto."
        ),
    ),
    click.option(
        "--variant",
        type=click.IntRange(min=1),
        metavar="N",
        help="Build the N-th of the spec's 'variants', counted from 1, in place of its reference.",
    ),
    click.option(
        "--seed",
        type=click.IntRange(0, 2**32 - 1),
        metavar="N",
        help="Seed of the random inputs, and of a reference's random weights. Default: 0.",
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
            "Directory to write: the artifact of one task is DIR itself, those of several are DIR/<task>. "
            "Default: artifacts/<name>/<task>."
        ),
    ),
    click.option(
        "--no-verify",
        "verify",
        is_flag=True,
        flag_value=False,
        default=None,
        help="Do not compare the graph with PyTorch. Nothing shows then that it computes what the model does.",
    ),
)


def source_options(command: Command) -> Command:
    """Add the options of a checkpoint: every field of a `Source` but its name, which is ``--model``."""
    return _add(command, _SOURCE)


def measured_options(command: Command) -> Command:
    """Add the options of what is built: every field of a `Request` but its place and whether it is verified."""
    flags = tuple(
        click.option(*_words(flag), default=None, help=_help(flag, target), **_kind(flag))
        for target in TARGETS.values()
        for flag in target.flags
    )
    return _add(_add(command, flags), _REQUEST)


def build_options(command: Command) -> Command:
    """Add the options of a build: every field of a `Request`."""
    return measured_options(_add(command, _PLACE))


def _add(command: Command, options: tuple[Callable[[Command], Command], ...]) -> Command:
    """Add options before those that a command has; ``--help`` shows them in the order they have here."""
    for option in reversed(options):
        command = option(command)
    return command


def _words(flag: Flag) -> Iterator[str]:
    """Yield how a flag is written: ``--freeze``, or ``--inline-weights/--separate-weights`` with its opposite."""
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
        UsageError: a ``--dim`` is not ``NAME=SIZE``.
    """
    from exporter.api import given_options

    flags = {flag.name for target in TARGETS.values() for flag in target.flags}
    settings = {name: value for name, value in values.items() if name in flags and value is not None}
    others = {name: value for name, value in values.items() if name not in flags}
    others["dims"] = parse_dims(others.pop("dims", ())) or None
    return given_options(**others, settings=settings or None)
