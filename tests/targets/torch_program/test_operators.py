"""The operators of torch that a stranger's program may call, held against those of the installed torch."""

from __future__ import annotations

import re

import pytest
import torch

from exporter.targets.torch_program.operators import may_call

# Words that arguments of operators have whose text is a mode, a message, or one of the texts and mappings that
# operators compute on.
HARMLESS = re.compile(
    "a|activation|algorithm|api_name|approximate|assert_msg|b|chars|cls|device_type|dict|driver|el|equation|"
    "fillchar|idx|ind|indexing|input|inputs|interpolation|item|key|l|message|mode|msg|new|norm|old|ord|p|pad_mode|"
    "padding|padding_side|reduce|rounding_mode|s|self|separator|side|string|substr|t|to_add|type|UPLO|values"
)


def test_no_operator_that_may_be_called_takes_the_name_of_a_file():
    """A new torch may bring one: its argument has a name that nobody has looked at yet."""
    met = set()
    for schema in torch._C._jit_get_all_schemas():
        namespace, _, operator = schema.name.partition("::")
        if may_call(namespace, operator):
            texts = {argument.name for argument in schema.arguments if "str" in str(argument.type)}
            met |= {f"{schema.name}({name})" for name in texts if not HARMLESS.fullmatch(name)}
    assert met == set()


@pytest.mark.parametrize("name", ["aten.add", "prims.mul", "prim.NumToTensor", "prim.is_cuda", "aten._unsafe_view"])
def test_what_computes_may_be_called(name: str):
    assert may_call(*name.split("."))


@pytest.mark.parametrize(
    "name",
    [
        "aten.save",
        "aten.from_file",
        "aten._sparse_coo_tensor_unsafe",
        "prim.rpc_sync",
        "prim.PythonOp",
        "c10d.send",
        "profiler._record_function_enter",
        "debugprims.load_tensor",
        "mine.anything",
        "quantized.linear",
    ],
)
def test_what_reaches_out_may_not(name: str):
    assert not may_call(*name.split("."))
