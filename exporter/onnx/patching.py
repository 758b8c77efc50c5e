"""``PatchingSpec``: a function that stands in for another one while a graph is recorded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Self


@dataclass
class PatchingSpec:
    """What to put in the place of an attribute, under the names of the earlier system.

    Attributes:
        o: the module, class or object that has the attribute.
        name: the attribute.
        custom_op: what is put there.
        orig_op: what is put back; None for what is there when the spec is given to a config object.
        op_wrapper: is called on both before they are put there, such as ``staticmethod``.
    """

    o: Any
    name: str
    custom_op: Callable[..., Any]
    orig_op: Callable[..., Any] | None = None
    op_wrapper: Callable[..., Any] | None = None

    def with_original(self) -> Self:
        """Return the patch with what is there now as what is put back.

        Raises:
            AttributeError: the object has no such attribute.
        """
        return self if self.orig_op is not None else replace(self, orig_op=getattr(self.o, self.name))

    def apply(self) -> None:
        """Put the patch in its place."""
        self._set(self.custom_op)

    def restore(self) -> None:
        """Put back what was there."""
        self._set(self.orig_op)

    def _set(self, op: Any) -> None:
        setattr(self.o, self.name, op if self.op_wrapper is None else self.op_wrapper(op))
