"""Pickles, looked at: plain values and tensors pass, and whatever imports or makes more does not."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from typing import Any

import pytest
import torch

from exporter.targets.torch_program.pickles import PickleError, check_pickle, is_of_tensors


class Calls:
    """An object whose pickle calls a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def saved(value: Any) -> bytes:
    """Return the pickle in what torch saves."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    with zipfile.ZipFile(buffer) as archive:
        return archive.read("archive/data.pkl")


@pytest.mark.parametrize(
    "value",
    [
        (torch.ones(2, dtype=torch.int64), {}),
        {"a": torch.zeros(2, 3), "b": [1, 2.5, None, True, "text", (1,)]},
        torch.nn.Parameter(torch.ones(3)),
        torch.ones(2, dtype=torch.bfloat16),
    ],
    ids=["inputs", "values", "parameter", "bfloat16"],
)
def test_tensors_pass(value: Any) -> None:
    check_pickle(saved(value), is_of_tensors)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("function", [os.system, eval, getattr, torch.load, pickle.loads], ids=lambda f: f.__name__)
def test_a_call_of_anything_else_is_refused(function: Any, protocol: int) -> None:
    with pytest.raises(PickleError):
        check_pickle(pickle.dumps(Calls(function, "echo"), protocol), is_of_tensors)


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00echo\x85R.",
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2 \n.",
        b"(S'echo'\nios\nsystem\n.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93.",
        b"\x80\x02\x82\x01.",
        b"\x80\x02ccollections\nOrderedDict\n)\x81}b.",
        b"\x80\x02N.N.",
        b"\x80\x02",
        b"",
        b"no pickle",
        b"\x80\x02K\x01.\x80\x02cos\nsystem\n.",
        b"\x80\x02Pstorage\n.",
    ],
    ids=[
        "global",
        "other-name",
        "inst",
        "stack-global",
        "extension",
        "build",
        "two",
        "cut",
        "empty",
        "text",
        "behind",
        "text-id",
    ],
)
def test_other_steps_are_refused(data: bytes) -> None:
    with pytest.raises(PickleError):
        check_pickle(data, is_of_tensors)


def test_objects_are_made_only_where_they_may_be() -> None:
    data = b"\x80\x02ccollections\nOrderedDict\n)\x81}b."
    check_pickle(data, is_of_tensors, objects=True)
    with pytest.raises(PickleError, match="the step"):
        check_pickle(data, is_of_tensors)
