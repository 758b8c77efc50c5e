"""Reversible changes to libraries while a graph is recorded.

Some models are computed with operators a graph cannot hold, where plainer ones give the same numbers. A spec names the
patch and the reason under ``patches:``; the manifest reports it. Only recording is patched: verification runs beside a
model that never saw the patch, so a patch that changes a number fails the build. A patch is named for what it changes,
never for a model.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from types import ModuleType
from typing import Any

from exporter.models.recorded_python import (
    RecordedNumpy,
    record_as_strided,
    record_einsum,
    record_function,
    record_interpolate,
    record_stride,
    record_view,
)

Patch = Callable[[Sequence[ModuleType]], AbstractContextManager[None]]
_MISSING = object()
# Where releases of transformers build masks.
_MASK_MODULES = ("transformers.masking_utils", "transformers.modeling_attn_mask_utils")
# Reshape has `allowzero` since this opset.
_ALLOWZERO_OPSET = 14


@contextmanager
def applied_patches(names: Iterable[str], model: Any) -> Iterator[None]:
    """Apply patches while the block runs, and undo them whatever happens in it.

    Args:
        names: patches by name.
        model: the ``nn.Module`` about to be recorded; some patches change the Python modules its classes are written
            in.
    """
    sources = {sys.modules[type(part).__module__]: None for part in model.modules()}
    modules = [module for module in sources if not module.__name__.startswith("torch.")]
    with ExitStack() as stack:
        for name in names:
            stack.enter_context(PATCHES[name](modules))
        yield


@contextmanager
def _replaced(owner: Any, **attributes: Any) -> Iterator[None]:
    """Set attributes of a module or class while the block runs."""
    before = {name: vars(owner).get(name, _MISSING) for name in attributes}
    for name, value in attributes.items():
        setattr(owner, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is _MISSING:
                delattr(owner, name)
            else:
                setattr(owner, name, value)


def _single_sequence_masks(_: Sequence[ModuleType]) -> AbstractContextManager[None]:
    """Build masks without looking for several sequences packed into one row, which takes operators ONNX lacks.

    Position ids that a model counts itself are never packed, and with a tracer looking on transformers cannot see that.
    """
    from transformers import masking_utils

    return _replaced(masking_utils, find_packed_sequence_indices=lambda position_ids: None)


@contextmanager
def _kept_masks(_: Sequence[ModuleType]) -> Iterator[None]:
    """Build every mask, as transformers does where it sees a tracer; else it leaves out a mask that pads nothing.

    The mask modules alone are told that a tracer is there. Elsewhere in transformers that answer also chooses between
    two ways to compute the same numbers.
    """

    def is_tracing(tensor: Any = None) -> bool:
        return True

    with ExitStack() as stack:
        for name in _MASK_MODULES:
            # What a release does not have builds no mask in it.
            if importlib.util.find_spec(name) is not None:
                stack.enter_context(_replaced(importlib.import_module(name), is_tracing=is_tracing))
        yield


@contextmanager
def _recorded_sizes(modules: Sequence[ModuleType]) -> Iterator[None]:
    """Record what Python and numpy compute from sizes.

    Unpatched, ``min``, ``max``, ``len`` and numpy arrays freeze sizes at the traced ones.

    The names are replaced in the modules the model is written in, and nowhere else.
    """
    import torch

    with ExitStack() as stack:
        for module in modules:
            functions: dict[str, Any] = {name: record_function(name) for name in ("min", "max", "len")}
            if hasattr(module, "np"):
                functions["np"] = RecordedNumpy()
            stack.enter_context(_replaced(module, **functions))
        stack.enter_context(_replaced(torch, tensor=record_function("tensor")))
        yield


@contextmanager
def _gathered_strides(_: Sequence[ModuleType]) -> Iterator[None]:
    """Record views by strides as a gather whose indices follow the sizes; a tracer writes strides down as numbers."""
    import torch

    with _replaced(torch.Tensor, stride=record_stride, as_strided=record_as_strided):
        yield


def _multiplied_einsum(_: Sequence[ModuleType]) -> AbstractContextManager[None]:
    """Record products in Einstein notation as matrix products.

    ONNX Runtime divides by zero in Einsum where an axis is empty.
    """
    import torch

    return _replaced(torch, einsum=record_einsum)


@contextmanager
def _empty_axes(_: Sequence[ModuleType]) -> Iterator[None]:
    """Write a reshape to computed sizes with ``allowzero``, so that a zero among them is a length.

    Without ``allowzero`` a zero copies an axis of the input. ONNX allows no ``allowzero`` beside "the rest" (-1), so
    reshapes with a -1 stay as they are.
    """
    import torch
    from torch.onnx import symbolic_helper

    exporter: Any = torch.onnx

    def reshape(graph: Any, tensor: Any, shape: Any) -> Any:
        listed = symbolic_helper._is_packed_list(shape)
        sizes = (
            [symbolic_helper._maybe_get_const(size, "i") for size in symbolic_helper._unpack_list(shape)]
            if listed
            else []
        )
        if not sizes or -1 in [size for size in sizes if isinstance(size, int)]:
            return symbolic_helper._reshape_helper(graph, tensor, shape)
        return symbolic_helper._reshape_helper(graph, tensor, shape, allowzero=1)

    operators = ("aten::reshape", "aten::view")
    for operator in operators:
        exporter.register_custom_op_symbolic(operator, reshape, _ALLOWZERO_OPSET)
    try:
        yield
    finally:
        for operator in operators:
            exporter.unregister_custom_op_symbolic(operator, _ALLOWZERO_OPSET)


def _split_axes(_: Sequence[ModuleType]) -> AbstractContextManager[None]:
    """Record the split of the last axis in two with both lengths, where the model leaves the first open (-1).

    A runtime finds an open length by dividing, and where another axis is empty it would divide nothing by nothing.
    """
    import torch

    return _replaced(torch.Tensor, view=record_view)


def _indexed_nearest(_: Sequence[ModuleType]) -> AbstractContextManager[None]:
    """Record resizing to the nearest value as PyTorch's own choice of indices.

    ONNX Runtime divides by out / in where PyTorch multiplies by in / out, and rounds down: with 70 rows of which 5 are
    kept it takes row 13 for row 14.
    """
    from torch.nn import functional

    return _replaced(functional, interpolate=record_interpolate(functional.interpolate))


class _NoContext:
    """The context of an autograd function's ``forward()`` where nothing is differentiated: it keeps nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None


def _inlined_functions(_: Sequence[ModuleType]) -> AbstractContextManager[None]:
    """Record what autograd functions written in Python compute.

    Unpatched, a tracer records the call of such a function, which no saved program can make.
    """
    import torch

    def apply(cls: Any, *args: Any) -> Any:
        return cls.forward(_NoContext(), *args)

    return _replaced(torch.autograd.Function, apply=classmethod(apply))


PATCHES: Mapping[str, Patch] = {
    "single-sequence-masks": _single_sequence_masks,
    "kept-masks": _kept_masks,
    "recorded-sizes": _recorded_sizes,
    "gathered-strides": _gathered_strides,
    "multiplied-einsum": _multiplied_einsum,
    "empty-axes": _empty_axes,
    "indexed-nearest": _indexed_nearest,
    "split-axes": _split_axes,
    "inlined-functions": _inlined_functions,
}
