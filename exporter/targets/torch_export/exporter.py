"""Write an ``ExportedProgram`` of the flat model, the successor to TorchScript, in a ``.pt2`` file.

transformers' own patches for exportable models are applied while the program is recorded, as transformers' exporter
does. With ``--aoti`` the program is also compiled by AOTInductor, into a package for this kind of processor.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import torch

from exporter.errors import ExportError, describe_error
from exporter.models.arrays import to_torch
from exporter.models.flat_model import FlatModel
from exporter.planning.dummies import make_dummies
from exporter.planning.plan import GraphPlan, Plan
from exporter.targets.quiet import quiet_libraries
from exporter.targets.torch_program.process import COMPILED

_ASSERT: Any = torch.ops.aten._assert_scalar.default
# What a node remembers of the Python it came from: absolute paths of this machine.
_SOURCES = ("stack_trace", "source_fn_stack", "from_node", "custom")


def attention_of(plan: Plan) -> str | None:
    """Return None: the patches cover the model's own attention."""
    return None


def export_graph(model: Any, graph: GraphPlan, plan: Plan, directory: Path) -> list[torch.Tensor]:
    """Write one graph of a model to ``directory`` as an exported program and return the weights it uses.

    Raises:
        ExportError: the model cannot be exported, or not compiled.
    """
    flat = FlatModel(model, graph).eval()
    with quiet_libraries("torch"):
        program = _record(flat, graph, plan)
        _drop_contradicted(program, graph, plan)
        for node in program.graph.nodes:
            for key in _SOURCES:
                node.meta.pop(key, None)
        torch.export.save(program, directory / graph.file)
        if plan.recording.settings.get("aoti"):
            _compile(program, directory / graph.file, _title(graph, plan))
    return _used_weights(program)


def _title(graph: GraphPlan, plan: Plan) -> str:
    return f"'{graph.component}' of {plan.title}"


def _record(flat: FlatModel, graph: GraphPlan, plan: Plan) -> Any:
    from transformers.exporters.exporter_dynamo import reset_model_state
    from transformers.exporters.utils import apply_patches

    inputs = tuple(map(to_torch, make_dummies(graph, plan.sizes.trace, plan.sizes.seed).values()))
    shapes = tuple(dict.fromkeys(tensor.dynamic_axes(), torch.export.Dim.AUTO) for tensor in graph.inputs)
    patches: Any = apply_patches("dynamo")
    state: Any = reset_model_state(flat)
    try:
        with torch.no_grad(), patches, state:
            # Assertions in the graph, rather than guards at its door, can be weighed one by one.
            return torch.export.export(
                flat, inputs, dynamic_shapes=(shapes,), strict=False, prefer_deferred_runtime_asserts_over_guards=True
            )
    except Exception as error:
        raise ExportError(
            f"torch.export failed on {_title(graph, plan)}: {describe_error(error)}",
            help="say so in the spec under 'targets:' with the reason, or build another target",
        ) from error


def _drop_contradicted(program: Any, graph: GraphPlan, plan: Plan) -> None:
    """Drop the assertions about sizes that a planned point contradicts.

    The exporter asserts whatever it assumed about the sizes it saw, such as that there was some past. Where the spec
    promises the other case too, the assertion may stand for a branch that makes no difference: verification at that
    point tells.
    """
    false: set[str] = set()
    for point in plan.sizes.points[1:]:
        inputs = map(to_torch, make_dummies(graph, point, plan.sizes.seed).values())
        watch = _Watch(program.module(check_guards=False))
        # A program that fails at a point fails its verification, which says how.
        with contextlib.suppress(Exception), torch.no_grad():
            watch.run(*inputs)
        false |= watch.false
    for node in [node for node in program.graph.nodes if node.target is _ASSERT and node.args[1] in false]:
        program.graph.erase_node(node)
    program.graph.eliminate_dead_code()
    program.graph_module.recompile()


class _Watch(torch.fx.Interpreter):
    """Runs a program and notes the messages of assertions that do not hold, instead of stopping."""

    def __init__(self, module: Any) -> None:
        super().__init__(module)
        self.false: set[str] = set()

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        if target is _ASSERT:
            if not args[0]:
                self.false.add(args[1])
            return None
        return super().call_function(target, args, kwargs)


def _compile(program: Any, path: Path, title: str) -> None:
    """Compile a program into a package beside its file.

    Raises:
        ExportError: the compiler fails.
    """
    try:
        with torch.no_grad():
            torch._inductor.aoti_compile_and_package(program, package_path=str(path.with_suffix(COMPILED)))
    except Exception as error:
        raise ExportError(
            f"AOTInductor cannot compile {title}: {describe_error(error)}",
            help="it needs a C++ compiler (g++ or clang); without --aoti the program itself is built",
        ) from error


def _used_weights(program: Any) -> list[torch.Tensor]:
    signature = program.graph_signature
    names = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    tensors = {**program.state_dict, **program.constants}
    return [
        tensors[names[node.name]]
        for node in program.graph.nodes
        if node.op == "placeholder" and node.name in names and node.users and names[node.name] in tensors
    ]
