"""The target AWS Neuron: a program compiled at fixed sizes for Inf1, Inf2 and Trn machines."""

from __future__ import annotations

from pathlib import Path

from exporter.errors import UntrustedError
from exporter.planning.plan import Plan
from exporter.planning.target import Exporter, Flag, Target
from exporter.targets import torchscript
from exporter.targets.neuron import settings
from exporter.targets.torch_program import TORCH_PROGRAM, session_opener


def _load_exporter() -> Exporter:
    from exporter.targets.neuron import exporter

    return exporter


def _finish(directory: Path, plan: Plan) -> None:
    from exporter.targets.neuron.exporter import write_block

    write_block(directory, plan)


def _inspect(path: Path) -> None:
    """Refuse every program: what the SDK compiled is native code, and it loads with code of the SDK."""
    raise UntrustedError(path.name, "it is native code, compiled by the AWS Neuron SDK")


TARGET = Target(
    name="neuron",
    suffix=".neuron",
    library="neuron",
    card_template=torchscript.TARGET.card_template,
    load_exporter=_load_exporter,
    open_session=session_opener(settings.runtime_modules, settings.WHERE_FROM),
    tracer="torchscript",
    all_static=True,
    flags=(
        Flag(
            "instance_type",
            settings.INSTANCE_TYPES,
            "the machine compiled for; inf1 takes torch_neuron, the others torch_neuronx. Default: the compiler's.",
        ),
        Flag(
            "auto_cast",
            settings.AUTO_CASTS,
            "which float32 operations are cast to a faster dtype. Default: none.",
            dtypes=("float32",),
            off="none",
        ),
        Flag("auto_cast_type", tuple(settings.CASTS), "the dtype float32 operations are cast to. Default: bf16."),
        Flag(
            "model_type",
            settings.MODEL_TYPES,
            "the kind of model the compiler optimizes for. Default: the family's, or the compiler's.",
        ),
        Flag("optlevel", settings.OPTLEVELS, "how long the compiler may optimize. Default: 2."),
        Flag(
            "inline_weights",
            bool,
            "weights inside the compiled program (the compiler's default) or beside it, where they can be replaced.",
            opposite="separate-weights",
        ),
        Flag("dynamic_batch", bool, "let the program run on any batch, in pieces of the one it is compiled for."),
        Flag("compiler_workdir", str, "where the compiler keeps what it makes.", metavar="DIR", local=True),
        Flag("cpu_backend", bool, "compile on the CPU, for a machine without the device."),
    ),
    open_by={"dynamic_batch": "batch"},
    patches={
        "kept-masks": "the SDK traces in a way transformers does not see, "
        "and a mask that pads nothing would be left out"
    },
    notes=(settings.NOT_VERIFIED,),
    help=settings.WHERE_FROM,
    build_modules=settings.build_modules,
    runtime_modules=settings.runtime_modules,
    packages=settings.build_packages,
    computed_dtype=settings.computed_dtype,
    refuse_combinations=settings.refuse_combinations,
    refuse_verification=settings.refuse_verification,
    inspect=_inspect,
    finish=_finish,
    **TORCH_PROGRAM,
)
