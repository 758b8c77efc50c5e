"""Reversible changes to libraries while a graph is recorded.

Some models are computed with operators a graph cannot hold, where plainer ones give the same numbers. A spec names the patch
and the reason under ``patches:``; the manifest reports it. Only recording is patched: verification runs beside a model that
never saw the patch, so one that changes a number fails the build. A patch is named for what it changes, never for a model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any


@contextmanager
def applied_patches(names: Iterable[str]) -> Iterator[None]:
    """Apply patches while the block runs, and undo them whatever happens in it."""
    with ExitStack() as stack:
        for name in names:
            stack.enter_context(PATCHES[name]())
        yield


@contextmanager
def _replaced(owner: Any, **attributes: Any) -> Iterator[None]:
    """Set attributes of a module or class while the block runs."""
    before = {name: getattr(owner, name) for name in attributes}
    for name, value in attributes.items():
        setattr(owner, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(owner, name, value)


def _single_sequence_masks() -> AbstractContextManager[None]:
    """Build masks without looking for several sequences packed into one row, which takes operators ONNX lacks.

    Position ids that a model counts itself are never packed, and with a tracer looking on transformers cannot see that.
    """
    from transformers import masking_utils

    return _replaced(masking_utils, find_packed_sequence_indices=lambda position_ids: None)


PATCHES: Mapping[str, Callable[[], AbstractContextManager[None]]] = {
    "single-sequence-masks": _single_sequence_masks,
}
