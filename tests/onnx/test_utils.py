"""The earlier system's small functions about sizes and preprocessors."""

from __future__ import annotations

from pathlib import Path

from exporter.onnx import OnnxConfig
from exporter.onnx.utils import (
    EXTERNAL_DATA_FORMAT_SIZE_LIMIT,
    ParameterFormat,
    compute_effective_axis_dimension,
    compute_serialized_parameters_size,
    get_preprocessor,
)


def test_sizes_are_those_of_the_earlier_system():
    assert ParameterFormat.Float.size == 4
    assert compute_serialized_parameters_size(3, ParameterFormat.Float) == 12
    assert compute_effective_axis_dimension(-1, fixed_dimension=8, num_token_to_add=2) == 6
    assert compute_effective_axis_dimension(5, fixed_dimension=8) == 5
    assert EXTERNAL_DATA_FORMAT_SIZE_LIMIT == 2_147_483_648


def test_weights_of_2_gb_go_beside_the_graph():
    assert OnnxConfig.use_external_data_format(2**29)
    assert not OnnxConfig.use_external_data_format(2**29 - 1)


def test_a_checkpoint_without_preprocessing_files_has_none(tmp_path: Path):
    assert get_preprocessor(str(tmp_path)) is None
