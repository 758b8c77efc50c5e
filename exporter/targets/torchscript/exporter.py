"""Write TorchScript: ``torch.jit.trace`` of the flat model, saved with nothing in it of the machine it was made on.

Tensors are passed by position and come back as a tuple; ``signature.py`` writes the names, dtypes and symbolic dims
beside the file.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from exporter.errors import ExportError, describe_error, first_line
from exporter.models.arrays import to_torch
from exporter.models.flat_model import FlatModel
from exporter.planning.dummies import make_dummies
from exporter.planning.plan import GraphPlan, Plan
from exporter.targets.quiet import quiet_libraries

# Where the Python line of each operator is kept: absolute paths of this machine, of use to nobody else. And a checksum
# over the whole file with those in it, which therefore differs from machine to machine; no reader needs one.
_LEFT_OUT = (".debug_pkl", "/.data/serialization_id")
# Tensors start at multiples of this in the file, so that they can be mapped.
_ALIGNMENT = 64
_BLOCK = 1 << 22


def attention_of(plan: Plan) -> str | None:
    """Return None: the model's own attention, sdpa where it has it."""
    return None


def export_graph(model: Any, graph: GraphPlan, plan: Plan, directory: Path) -> list[torch.Tensor]:
    """Write one graph of a model to ``directory`` as TorchScript and return the weights it uses.

    Raises:
        ExportError: the model cannot be traced.
    """
    if plan.recording.settings.get("untie"):
        untie_weights(model)
    traced = trace_graph(model, graph, plan)
    weights = used_weights(traced)
    if plan.recording.settings.get("freeze"):
        traced = torch.jit.freeze(traced)
    save_script(traced, directory / graph.file)
    return weights


def trace_graph(model: Any, graph: GraphPlan, plan: Plan) -> torch.jit.ScriptModule:
    """Trace one graph of a model at the plan's trace sizes.

    Raises:
        ExportError: the model cannot be traced.
    """
    flat = FlatModel(model, graph).eval()
    trace: Any = torch.jit.trace
    inputs = tuple(map(to_torch, make_dummies(graph, plan.sizes.trace, plan.sizes.seed).values()))
    try:
        with torch.no_grad(), quiet_libraries():
            traced: torch.jit.ScriptModule = trace(flat, inputs, check_trace=False, strict=False)
    except Exception as error:
        raise ExportError(
            f"torch.jit.trace failed on '{graph.component}' of {plan.title}: {describe_error(error)}",
            help="say so in the spec under 'targets:' with the reason, or build another target",
        ) from error
    return traced


def used_weights(traced: torch.jit.ScriptModule) -> list[torch.Tensor]:
    """Return the parameters and buffers that a traced graph reads: its file also holds those that nothing reads."""
    owners: dict[str, Any] = {}
    used: list[torch.Tensor] = []
    graph: Any = traced.inlined_graph
    owners[next(graph.inputs()).debugName()] = traced
    for node in graph.nodes():
        if node.kind() == "prim::GetAttr" and node.input().debugName() in owners:
            value = getattr(owners[node.input().debugName()], node.s("name"))
            if isinstance(value, torch.Tensor):
                used.append(value)
            else:
                owners[node.output().debugName()] = value
    return used


def untie_weights(model: torch.nn.Module) -> None:
    """Give every parameter that shares its storage with an earlier one a copy of its own, in place."""
    seen: set[int] = set()
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.data_ptr() in seen:
                setattr(module, name, torch.nn.Parameter(parameter.detach().clone(), requires_grad=False))
            seen.add(parameter.data_ptr())


def save_script(traced: torch.jit.ScriptModule, path: Path) -> None:
    """Save a traced module so that equal graphs give equal bytes: without the places in the Python source it came from.

    Raises:
        ExportError: the trace holds something that cannot be saved.
    """
    whole = path.with_name(f".{path.name}.whole")
    try:
        try:
            torch.jit.save(traced, str(whole))
        except RuntimeError as error:
            raise ExportError(f"the trace cannot be saved as TorchScript: {first_line(error)}") from error
        _copy_archive(whole, path)
    finally:
        whole.unlink(missing_ok=True)


def _copy_archive(source: Path, target: Path) -> None:
    """Copy an archive without what its entries tell of this machine and this moment."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as new:
        for entry in old.infolist():
            if not entry.filename.endswith(_LEFT_OUT):
                _copy_entry(old, entry, new, target.stem)


def _copy_entry(old: zipfile.ZipFile, entry: zipfile.ZipInfo, new: zipfile.ZipFile, stem: str) -> None:
    # The first part of a name is that of the file it was first saved as.
    name = f"{stem}/{entry.filename.partition('/')[2]}"
    copy = zipfile.ZipInfo(name)
    copy.file_size = entry.file_size
    copy.extra = _padding(new, name)
    with old.open(entry) as source, new.open(copy, "w") as target:
        for block in _blocks(source):
            target.write(block)


def _blocks(file: Any) -> Iterator[bytes]:
    while block := file.read(_BLOCK):
        yield block


def _padding(new: zipfile.ZipFile, name: str) -> bytes:
    """Return an extra field ("FB", as torch writes it) after which an entry's data is aligned."""
    header = 30 + len(name.encode()) + 4
    offset = new.fp.tell() + header if new.fp is not None else header
    length = -offset % _ALIGNMENT
    return b"FB" + length.to_bytes(2, "little") + b"Z" * length
