"""Write a Neuron program: the flat model compiled by the AWS Neuron SDK at fixed sizes, as the TorchScript it returns.

``config.json`` gets the block ``neuron`` in which optimum-neuron reads what was compiled and how.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import torch

from exporter.errors import ExportError, UsageError, describe_error
from exporter.models.arrays import to_torch
from exporter.models.flat_model import FlatModel
from exporter.planning.dummies import make_dummies
from exporter.planning.plan import GraphPlan, Plan
from exporter.targets.neuron.settings import (
    DEFAULT_CAST,
    DEFAULT_OPTLEVEL,
    compiler_arguments,
    find_toolchain,
    is_first_generation,
)
from exporter.targets.quiet import quiet_libraries
from exporter.targets.torchscript.exporter import save_script, trace_graph, used_weights

# What optimum-neuron calls the lengths of a program's axes; it refuses names it does not know.
_SHAPE_NAMES = {
    "batch": "batch_size",
    "text_batch": "text_batch_size",
    "image_batch": "image_batch_size",
    "sequence": "sequence_length",
    "choices": "num_choices",
    "samples": "audio_sequence_length",
}
_IMAGES = "pixel_values"
_IMAGE_SHAPE_NAMES = ("num_channels", "height", "width")
_DTYPES = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}


def attention_of(plan: Plan) -> str | None:
    """Return None: the model's own attention, which the SDK takes apart."""
    return None


def export_graph(model: Any, graph: GraphPlan, plan: Plan, directory: Path) -> list[torch.Tensor]:
    """Compile one graph of a model into ``directory`` and return the weights it uses.

    Raises:
        ExportError: the model cannot be traced or compiled.
    """
    # A compiled program does not tell which weights it was made from; a plain trace of the same model does.
    weights = used_weights(trace_graph(model, graph, plan))
    save_script(compile_graph(model, graph, plan), directory / graph.file)
    return weights


def compile_graph(model: Any, graph: GraphPlan, plan: Plan) -> torch.jit.ScriptModule:
    """Compile one graph of a model at the plan's trace sizes, where every mask is padded.

    Raises:
        ExportError: the compiler failed.
        UsageError: its work directory cannot be made.
    """
    flat = FlatModel(model, graph).eval()
    inputs = tuple(map(to_torch, make_dummies(graph, plan.sizes.trace, plan.sizes.seed).values()))
    settings = plan.recording.settings
    toolchain = find_toolchain(settings)
    sdk: Any = importlib.import_module(toolchain.module)
    options: dict[str, Any] = {
        "compiler_args": compiler_arguments(settings),
        "compiler_workdir": _work_directory(graph, plan),
    }
    dynamic = bool(settings.get("dynamic_batch"))
    try:
        with torch.no_grad(), quiet_libraries():
            if is_first_generation(settings):
                compiled: Any = sdk.trace(flat, inputs, **options, dynamic_batch_size=dynamic, strict=False)
            else:
                compiled = sdk.trace(
                    flat,
                    inputs,
                    **options,
                    inline_weights_to_neff=settings.get("inline_weights", True),
                    cpu_backend=settings.get("cpu_backend", False),
                )
                compiled = sdk.dynamic_batch(compiled) if dynamic else compiled
    except Exception as error:
        raise ExportError(
            f"{toolchain.module}.trace failed on '{graph.component}' of {plan.title}: {describe_error(error)}",
            help="give --compiler-workdir DIR and see what the compiler left there",
        ) from error
    module: torch.jit.ScriptModule = compiled
    return module


def _work_directory(graph: GraphPlan, plan: Plan) -> str | None:
    """Return where the compiler of one graph keeps its files, or None for a place of its own choice."""
    given = plan.recording.settings.get("compiler_workdir")
    if given is None:
        return None
    path = Path(str(given)).absolute()
    path = path if len(plan.graphs) == 1 else path / graph.component
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"the compiler's directory '{path}' cannot be made: {error.strerror}",
            help="give another --compiler-workdir",
        ) from error
    return str(path)


def write_block(directory: Path, plan: Plan) -> None:
    """Tell ``config.json`` in an artifact what was compiled, and how."""
    path = directory / "config.json"
    config = json.loads(path.read_text("utf-8"))
    config["neuron"] = describe_compilation(plan)
    path.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", "utf-8")


def describe_compilation(plan: Plan) -> dict[str, Any]:
    """Return the block ``neuron`` of ``config.json``: the compiler, the sizes it compiled for and what it was told."""
    settings = plan.recording.settings
    toolchain = find_toolchain(settings)
    cast = settings.get("auto_cast", "none")
    return {
        "compiler_type": toolchain.compiler,
        "compiler_version": str(importlib.import_module(toolchain.compiler_module).__version__),
        "inline_weights_to_neff": settings.get("inline_weights", True),
        **{f"static_{name}": size for name, size in _static_shapes(plan).items()},
        "dynamic_batch_size": bool(settings.get("dynamic_batch")),
        "tensor_parallel_size": 1,
        "optlevel": str(settings.get("optlevel", DEFAULT_OPTLEVEL)),
        "auto_cast": None if cast == "none" else cast,
        "auto_cast_type": None if cast == "none" else settings.get("auto_cast_type", DEFAULT_CAST),
        "instance_type": settings.get("instance_type"),
        "int_dtype": "int64",
        "float_dtype": _DTYPES[plan.model.dtype],
        "model_type": plan.model.architecture,
        "output_attentions": False,
        "output_hidden_states": False,
        "task": plan.task,
    }


def _static_shapes(plan: Plan) -> dict[str, int]:
    sizes = {**plan.sizes.trace.sizes, **plan.sizes.fixed}
    shapes = {name: sizes[dim] for dim, name in _SHAPE_NAMES.items() if dim in sizes}
    for tensor in plan.graphs[0].inputs:
        if tensor.name == _IMAGES and len(tensor.shape) == 1 + len(_IMAGE_SHAPE_NAMES):
            lengths = tensor.sizes_at(plan.sizes.trace.sizes)[1:]
            shapes.update(zip(_IMAGE_SHAPE_NAMES, lengths, strict=True))
    return shapes
