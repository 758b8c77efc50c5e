"""What the torch programs share: a saved program takes tensors by position and runs in a process that has torch alone.

TorchScript, exported programs and what the Neuron SDK compiles differ in how they are recorded. The rest of their
records is the same for all of them: `TORCH_PROGRAM`, which each target spreads into its record.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypedDict

from exporter.planning.plan import GraphPlan, Plan
from exporter.planning.target import OpenSession, Session, Settings


def session_opener(
    runtime_modules: Callable[[Settings], tuple[str, ...]] | None = None, help: str | None = None
) -> OpenSession:
    """Return what opens the programs of a target.

    Args:
        runtime_modules: from the settings of a build to the modules whose operators its programs use; None for torch
            alone.
        help: where to get those modules.
    """

    def open_program(path: Path, plan: Plan, *, shipped: bool = False) -> Session:
        from exporter.targets.torch_program.session import TorchSession

        modules = runtime_modules(plan.recording.settings) if runtime_modules is not None else ()
        return TorchSession(path, modules, help=help)

    return open_program


def _check_structure(directory: Path, graph: GraphPlan, plan: Plan) -> list[str]:
    """Judge the sidecar: what a torch program holds nobody can read."""
    from exporter.targets.torch_program.signature import signature_problems

    return signature_problems(directory, graph, plan)


def _describe_open_dims(directory: Path, graph: GraphPlan, plan: Plan, verdicts: Mapping[str, str]) -> None:
    from exporter.targets.torch_program.signature import write_signature

    write_signature(directory, graph, plan, verdicts)


def _start_runtime() -> None:
    from exporter.targets.torch_program.session import start_torch_process

    start_torch_process()


class TorchProgram(TypedDict):
    """The fields of a `Target` that are the same for every torch program."""

    check_structure: Callable[[Path, GraphPlan, Plan], list[str]]
    probed: bool
    describe_open_dims: Callable[[Path, GraphPlan, Plan, Mapping[str, str]], None]
    start_runtime: Callable[[], None]
    refused_options: Mapping[str, str]


TORCH_PROGRAM: TorchProgram = {
    "check_structure": _check_structure,
    "probed": True,
    "describe_open_dims": _describe_open_dims,
    "start_runtime": _start_runtime,
    "refused_options": {
        "opset": "only ONNX has opsets",
        "merged": "the clients of merged decoders load ONNX",
        "weights": "its weights are always in its file",
    },
}
