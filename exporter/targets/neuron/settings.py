"""What the settings of a build ask of the AWS Neuron SDK: packages, compiler arguments, dtypes. Known without torch.

The SDK has two generations. ``torch_neuronx`` compiles for Inf2 and Trn machines, ``torch_neuron`` for Inf1, each with
a compiler and arguments of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

from exporter.errors import UsageError
from exporter.planning.target import Settings

INSTANCE_TYPES = ("inf1", "inf2", "trn1", "trn1n", "trn2")
AUTO_CASTS = ("none", "matmult", "all")
MODEL_TYPES = ("generic", "transformer", "unet-inference")
OPTLEVELS = ("1", "2", "3")
DEFAULT_OPTLEVEL = "2"
# What operations are cast to, and the dtype that is as coarse: tf32 has the mantissa of float16.
CASTS = {"bf16": "bfloat16", "fp16": "float16", "tf32": "float16"}
DEFAULT_CAST = "bf16"
_FIRST = "inf1"
# Inf1 has no such choice: its compiler has one level, puts weights into the program, and runs anywhere.
_SECOND_ONLY = ("optlevel", "inline_weights", "cpu_backend", "model_type")

WHERE_FROM = (
    "the packages of these names on the Python package index are empty; install the AWS Neuron SDK from its own "
    "package index, as its documentation (awsdocs-neuron) says, and exporter beside it as docs/neuron.md says"
)
NOT_VERIFIED = (
    "not verified on Neuron hardware: exporter's own tests of this target run a stand-in for the AWS Neuron SDK; "
    "the report says what ran where this artifact was built"
)


@dataclass(frozen=True, slots=True)
class Toolchain:
    """The packages of one generation: the module that traces and runs, the compiler as a package, and as a module."""

    module: str
    package: str
    compiler: str
    compiler_module: str


_NEURON = Toolchain("torch_neuron", "torch-neuron", "neuron-cc", "neuroncc")
_NEURONX = Toolchain("torch_neuronx", "torch-neuronx", "neuronx-cc", "neuronxcc")


def is_first_generation(settings: Settings) -> bool:
    """Tell whether a build is for Inf1."""
    return settings.get("instance_type") == _FIRST


def find_toolchain(settings: Settings) -> Toolchain:
    """Return the packages that compile for the machine asked for."""
    return _NEURON if is_first_generation(settings) else _NEURONX


def runtime_modules(settings: Settings) -> tuple[str, ...]:
    """Return what a process imports to run a compiled program."""
    return (find_toolchain(settings).module,)


def build_modules(settings: Settings) -> tuple[str, ...]:
    """Return what is imported to compile."""
    toolchain = find_toolchain(settings)
    return (toolchain.module, toolchain.compiler_module)


def build_packages(settings: Settings) -> tuple[str, ...]:
    """Return the packages whose versions shape a compiled program."""
    toolchain = find_toolchain(settings)
    return (toolchain.package, toolchain.compiler)


def computed_dtype(settings: Settings, dtype: str) -> str:
    """Return the dtype a program is as exact as: the coarsest that its operations on ``dtype`` are cast to."""
    if dtype != "float32" or not (is_first_generation(settings) or _casts(settings)):
        return dtype
    return CASTS[str(settings.get("auto_cast_type", DEFAULT_CAST))]


def _casts(settings: Settings) -> bool:
    return settings.get("auto_cast", "none") != "none"


def compiler_arguments(settings: Settings) -> list[str]:
    """Return the arguments of the compiler."""
    return _first_arguments(settings) if is_first_generation(settings) else _second_arguments(settings)


def _second_arguments(settings: Settings) -> list[str]:
    # Said even where it is `none`: earlier compilers cast matrix products unless told not to.
    arguments = ["--auto-cast", str(settings.get("auto_cast", "none"))]
    if _casts(settings):
        arguments += ["--auto-cast-type", str(settings.get("auto_cast_type", DEFAULT_CAST))]
    arguments += ["--optlevel", str(settings.get("optlevel", DEFAULT_OPTLEVEL))]
    if "instance_type" in settings:
        arguments += ["--target", str(settings["instance_type"])]
    if "model_type" in settings:
        arguments += ["--model-type", str(settings["model_type"])]
    return arguments


def _first_arguments(settings: Settings) -> list[str]:
    if not _casts(settings):
        return ["--fast-math", "none"]
    cast = settings.get("auto_cast_type", DEFAULT_CAST)
    if settings["auto_cast"] == "matmult":
        return ["--fast-math", f"fp32-cast-matmult-{cast}"]
    return ["--fast-math", "all" if cast == DEFAULT_CAST else f"fp32-cast-all-{cast}"]


def refuse_combinations(settings: Settings) -> None:
    """Refuse settings that cannot be had together.

    Raises:
        UsageError: says which, and why.
    """
    if "auto_cast_type" in settings and not _casts(settings):
        raise UsageError(
            "--auto-cast-type says what to cast to, and nothing is cast",
            help="add --auto-cast matmult or --auto-cast all",
        )
    if settings.get("dynamic_batch") and settings.get("inline_weights") is False:
        raise UsageError(
            "--dynamic-batch and --separate-weights cannot be had together: "
            "the SDK splits batches for programs that hold their weights",
            help="leave one of them out",
        )
    if not is_first_generation(settings):
        return
    for name in _SECOND_ONLY:
        if name in settings:
            flag = "separate-weights" if settings[name] is False else name.replace("_", "-")
            raise UsageError(f"--{flag} cannot be had for Inf1, whose compiler has no such choice", help="leave it out")
    if settings.get("auto_cast_type") == "tf32":
        raise UsageError("--auto-cast-type tf32 cannot be had for Inf1", help="its compiler casts to bf16 or fp16")


def refuse_verification(settings: Settings) -> None:
    """Refuse to verify where nothing can run.

    Raises:
        UsageError: the program is compiled on a machine without the device it is for.
    """
    if settings.get("cpu_backend"):
        raise UsageError(
            "--cpu-backend compiles for a device this machine does not have, "
            "so the program cannot be run here and verified",
            help="add --no-verify, and run 'exporter verify DIR' on the Neuron machine",
        )
