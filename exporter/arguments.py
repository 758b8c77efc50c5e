"""The options that the commands around a build share, and what they mean to the engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from exporter.layouts import DEFAULT_LAYOUT, LAYOUTS
from exporter.targets import DEFAULT_TARGET, TARGETS, parse_dims


def build_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that `build` and `plan` share."""
    for option in reversed(
        [
            click.option(
                "--task",
                "--feature",
                "tasks",
                multiple=True,
                metavar="TASK",
                help="A task (fill-mask) or a retired feature name (masked-lm). May be given several times. Default, or 'auto': every task of a reference, the checkpoint's own task otherwise.",
            ),
            click.option(
                "--model",
                "-m",
                metavar="DIR|HUB_ID",
                help="The checkpoint: a directory or a hub id. Default: the spec's reference, a tiny model with random weights.",
            ),
            click.option("--revision", metavar="REV", help="Branch, tag or commit of a hub id."),
            click.option(
                "--framework",
                type=click.Choice(["pt", "tf", "flax"]),
                help="Whose weights to take where a checkpoint holds several: PyTorch's, TensorFlow's or Flax's. Default: the first of these it has.",
            ),
            click.option(
                "--cache-dir",
                "--cache_dir",
                metavar="DIR",
                help="Where downloads of a hub id are kept. Default: the cache of Hugging Face's libraries.",
            ),
            click.option("--trust-remote-code", is_flag=True, help="Let the checkpoint run Python code of its own."),
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
                default="float32",
                show_default=True,
                help="Dtype of weights and computation.",
            ),
            click.option(
                "--tracer",
                type=click.Choice(["torchscript", "dynamo"]),
                help="What records the graph. Default: the spec's choice.",
            ),
            click.option(
                "--monolith",
                is_flag=True,
                help="Build a task of several graphs (encoder, decoder, …) as the single graph earlier systems wrote.",
            ),
            click.option(
                "--merged",
                is_flag=True,
                help="Build one decoder for the first step and the later ones, in place of one for each.",
            ),
            click.option(
                "--layout",
                type=click.Choice(list(LAYOUTS)),
                default=DEFAULT_LAYOUT,
                show_default=True,
                help="Whose files to write: flat is for ONNX Runtime and optimum.",
            ),
            click.option(
                "--variant",
                type=click.IntRange(min=1),
                metavar="N",
                help="Take the spec's N-th variant in place of its reference.",
            ),
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
        ]
    ):
        command = option(command)
    return command


def target_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that only some targets have. One that is not given is None, and not among the settings."""

    def add(flag: str, help_: str, **kind: Any) -> None:
        nonlocal command
        command = click.option(flag, default=None, help=help_, **kind)(command)

    add("--cpu-backend", "neuron: compile on the CPU, for a machine without the device.", is_flag=True)
    add("--compiler-workdir", "neuron: where the compiler keeps what it makes.", metavar="DIR")
    add(
        "--dynamic-batch",
        "neuron: let the program run on any batch, in pieces of the one it is compiled for.",
        is_flag=True,
    )
    add(
        "--inline-weights/--separate-weights",
        "neuron: weights inside the compiled program (the compiler's default) or beside it, where they can be replaced.",
        is_flag=True,
    )
    words: dict[str, Any] = {name: kind for target in TARGETS.values() for name, kind in target.settings.items()}
    add("--optlevel", "neuron: how long the compiler may optimize. Default: 2.", type=click.Choice(words["optlevel"]))
    add(
        "--model-type",
        "neuron: the kind of model the compiler optimizes for. Default: the family's, or the compiler's.",
        type=click.Choice(words["model_type"]),
    )
    add(
        "--auto-cast-type",
        "neuron: the dtype float32 operations are cast to. Default: bf16.",
        type=click.Choice(words["auto_cast_type"]),
    )
    add(
        "--auto-cast",
        "neuron: which float32 operations are cast to a faster dtype. Default: none.",
        type=click.Choice(words["auto_cast"]),
    )
    add(
        "--instance-type",
        "neuron: the machine compiled for; inf1 takes torch_neuron, the others torch_neuronx. Default: the compiler's.",
        type=click.Choice(words["instance_type"]),
    )
    add(
        "--aoti",
        "torch-export: compile with AOTInductor, for this kind of processor (needs a C++ compiler).",
        is_flag=True,
    )
    add("--freeze", "torchscript: write weights into the graph as constants and simplify it.", is_flag=True)
    add("--untie", "torchscript: give weights that are tied in the model a copy each.", is_flag=True)
    return command


def split_options(options: dict[str, Any]) -> tuple[tuple[str, ...], Any]:
    """Return the targets asked for, and the options of the engine."""
    from exporter.planning import Options

    targets = options.pop("targets") or (DEFAULT_TARGET,)
    dims = parse_dims(options.pop("dims"))
    names = [name for target in TARGETS.values() for name in target.settings]
    settings = {name: options.pop(name) for name in names if name in options}
    given = {name: value for name, value in settings.items() if value is not None}
    return targets, Options(**options, dims=dims, settings=given)
