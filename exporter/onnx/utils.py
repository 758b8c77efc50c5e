"""The functions of the earlier system's module of this name, which scripts import it by."""

from __future__ import annotations

from ctypes import c_float, sizeof
from enum import Enum
from typing import Any

# The size of a protobuf file ends here; what is larger goes to a file beside the graph.
EXTERNAL_DATA_FORMAT_SIZE_LIMIT = 2 * 1024**3


class ParameterFormat(Enum):
    """How a parameter is stored."""

    Float = c_float

    @property
    def size(self) -> int:
        """The bytes of one parameter."""
        return sizeof(self.value)


def compute_effective_axis_dimension(dimension: int, fixed_dimension: int, num_token_to_add: int = 0) -> int:
    """Return a length without the tokens that a tokenizer adds; ``fixed_dimension`` stands for an open one (-1).

    >>> compute_effective_axis_dimension(-1, fixed_dimension=8, num_token_to_add=2)
    6
    """
    return (dimension if dimension > 0 else fixed_dimension) - num_token_to_add


def compute_serialized_parameters_size(num_parameters: int, dtype: ParameterFormat) -> int:
    """Return the bytes that parameters take in a file."""
    return num_parameters * dtype.size


def get_preprocessor(model_name: str) -> Any:
    """Return the processor, tokenizer or image or sound processor of a directory or hub id; None without any."""
    from exporter.models.preprocessors import load_preprocessor

    return load_preprocessor(model_name)
