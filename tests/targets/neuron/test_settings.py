"""What the settings of a build ask of the Neuron SDK: arguments, dtypes, packages, and what cannot be had."""

from __future__ import annotations

import re
from typing import Any

import pytest

from exporter.errors import UsageError
from exporter.planning.target import check_settings
from exporter.targets.neuron.settings import (
    build_modules,
    build_packages,
    compiler_arguments,
    computed_dtype,
    refuse_verification,
    runtime_modules,
)
from exporter.targets.registry import find_target


@pytest.mark.parametrize(
    ("settings", "arguments"),
    [
        ({}, "--auto-cast none --optlevel 2"),
        ({"auto_cast": "none"}, "--auto-cast none --optlevel 2"),
        ({"auto_cast": "matmult"}, "--auto-cast matmult --auto-cast-type bf16 --optlevel 2"),
        (
            {"auto_cast": "all", "auto_cast_type": "tf32", "optlevel": 3},
            "--auto-cast all --auto-cast-type tf32 --optlevel 3",
        ),
        (
            {"instance_type": "trn1", "model_type": "generic"},
            "--auto-cast none --optlevel 2 --target trn1 --model-type generic",
        ),
        ({"instance_type": "inf1"}, "--fast-math none"),
        ({"instance_type": "inf1", "auto_cast": "all"}, "--fast-math all"),
        ({"instance_type": "inf1", "auto_cast": "all", "auto_cast_type": "fp16"}, "--fast-math fp32-cast-all-fp16"),
        ({"instance_type": "inf1", "auto_cast": "matmult"}, "--fast-math fp32-cast-matmult-bf16"),
    ],
)
def test_compiler_arguments(settings: dict[str, Any], arguments: str) -> None:
    assert compiler_arguments(settings) == arguments.split()


@pytest.mark.parametrize(
    ("settings", "dtype", "computed"),
    [
        ({}, "float32", "float32"),
        ({"auto_cast": "matmult"}, "float32", "bfloat16"),
        ({"auto_cast": "matmult", "auto_cast_type": "fp16"}, "float32", "float16"),
        ({"auto_cast": "all"}, "float16", "float16"),
        ({"instance_type": "inf1"}, "float32", "bfloat16"),
    ],
)
def test_the_dtype_a_program_is_as_exact_as(settings: dict[str, Any], dtype: str, computed: str) -> None:
    assert computed_dtype(settings, dtype) == computed


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"auto_cast_type": "bf16"}, "nothing is cast"),
        ({"auto_cast": "matmul"}, "'matmul' is no value of the setting 'auto_cast'"),
        ({"optlevel": 4}, "'4' is no value"),
        ({"dynamic_batch": "yes"}, "'yes' is no value of the setting 'dynamic_batch'"),
        ({"dynamic_batch": True, "inline_weights": False}, "--dynamic-batch and --separate-weights"),
        ({"instance_type": "inf1", "optlevel": "1"}, "--optlevel cannot be had for Inf1"),
        ({"instance_type": "inf1", "inline_weights": False}, "--separate-weights cannot be had for Inf1"),
        ({"instance_type": "inf1", "auto_cast": "all", "auto_cast_type": "tf32"}, "tf32 cannot be had for Inf1"),
        ({"freeze": True}, "--freeze does not go with the target neuron"),
    ],
)
def test_settings_that_cannot_be_had(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        check_settings(find_target("neuron"), settings)


@pytest.mark.parametrize(
    ("settings", "modules", "packages"),
    [
        ({}, ("torch_neuronx", "neuronxcc"), ("torch-neuronx", "neuronx-cc")),
        ({"instance_type": "trn2"}, ("torch_neuronx", "neuronxcc"), ("torch-neuronx", "neuronx-cc")),
        ({"instance_type": "inf1"}, ("torch_neuron", "neuroncc"), ("torch-neuron", "neuron-cc")),
    ],
)
def test_each_generation_has_its_packages(
    settings: dict[str, Any], modules: tuple[str, ...], packages: tuple[str, ...]
) -> None:
    assert build_modules(settings) == modules
    assert runtime_modules(settings) == modules[:1]
    assert build_packages(settings) == packages


def test_what_a_machine_without_the_device_compiles_is_not_verified_there() -> None:
    refuse_verification({})
    with pytest.raises(UsageError, match="cannot be run here and verified"):
        refuse_verification({"cpu_backend": True})
