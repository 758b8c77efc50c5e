"""What an untouched model computes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from exporter.errors import ExporterError, ExportError, describe_error
from exporter.models.arrays import to_numpy, to_torch
from exporter.models.configs import quiet_libraries
from exporter.models.flat_model import FlatModel
from exporter.planning.dtypes import Array, Oracle


def run_model(
    call: Callable[..., Any], inputs: tuple[torch.Tensor, ...], title: str, fixed: Mapping[str, int] | None = None
) -> Any:
    """Call a model without gradients and turn whatever it raises into an ExportError.

    Args:
        call: the model, or a method of it.
        inputs: its arguments.
        title: what the inputs were declared for, as a message names it: ``'model' of my-model fill-mask``.
        fixed: the dims that the request gave one size, which the model may not take.

    Raises:
        ExportError: the model refuses the inputs.
    """
    try:
        with torch.no_grad(), quiet_libraries():
            return call(*inputs)
    except ExporterError:
        raise
    except Exception as error:
        sizes = ", ".join(f"{dim}={size}" for dim, size in (fixed or {}).items())
        raise ExportError(
            f"the model refuses the inputs declared for {title}: {describe_error(error)}",
            help=f"check that the model takes the sizes given with --dim: {sizes}"
            if sizes
            else "compare 'exporter plan' with the model's forward()",
        ) from error


def make_oracle(flat: FlatModel) -> Oracle:
    """Return a function from input arrays to the arrays an untouched model computes."""
    flat.eval()

    def oracle(inputs: Mapping[str, Array]) -> list[Array]:
        with torch.no_grad(), quiet_libraries():
            return [to_numpy(output) for output in flat(*map(to_torch, inputs.values()))]

    return oracle
