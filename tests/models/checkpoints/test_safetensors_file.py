"""A safetensors file whose bytes are not all there is refused by its header, before it is mapped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from exporter.errors import CheckpointError
from exporter.models.checkpoints.safetensors_file import check_safetensors, safetensors_framework


def write_file(path: Path, header: Any, content: bytes = b"") -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content)
    return path


def test_names_and_shapes_are_those_that_were_saved(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    tensors = {"a": torch.zeros(2, 3), "b": torch.zeros(4, dtype=torch.bfloat16), "c": torch.zeros(())}
    save_file(tensors, path, {"format": "pt"})
    assert check_safetensors(path) == {"a": (2, 3), "b": (4,), "c": ()}


def test_every_length_but_the_whole_one_is_refused(tmp_path: Path) -> None:
    whole, part = tmp_path / "whole", tmp_path / "model.safetensors"
    save_file({"a": torch.zeros(2, 3), "b": torch.zeros(4)}, whole)
    content = whole.read_bytes()
    for length in range(len(content)):
        part.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match=r"model.safetensors is (not a readable|truncated)"):
            check_safetensors(part)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b"not json", "its header is not JSON"),
        (b"[" * 5000, "its header is not JSON"),
        ([], "its header is not a mapping"),
        ({"a": {"dtype": "F32"}}, "the entry of 'a' is malformed"),
        ({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}, "the entry of 'a' is malformed"),
        ({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}}, "the entry of 'a' is malformed"),
        ({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, r"'a' has 4 bytes, but F32\[2\] takes 8"),
        ({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, "'a' ends at byte .* but the file has"),
        ({"a": {"dtype": "F32", "shape": [True], "data_offsets": [0, 4]}}, "the entry of 'a' is malformed"),
        ({"a": {"dtype": "F32", "shape": [1.0], "data_offsets": [0, 4]}}, "the entry of 'a' is malformed"),
        ({"a": {"dtype": "F32", "shape": "1", "data_offsets": [0, 4]}}, "the entry of 'a' is malformed"),
        ({"a": {"dtype": "F32", "shape": [1] * 65, "data_offsets": [0, 4]}}, "the entry of 'a' is malformed"),
        ({"a": {"dtype": "F32", "shape": [1 << 62], "data_offsets": [0, 4]}}, "the entry of 'a' is malformed"),
        ({"a": {"dtype": "F32", "shape": [0, 1 << 61], "data_offsets": [0, 4]}}, "'a' has 4 bytes, but F32"),
        ({"a": {"dtype": "Q9", "shape": [1], "data_offsets": [0, 4]}}, "of the dtype 'Q9', which is not known"),
        ({"a": {"dtype": ["F32"], "shape": [1], "data_offsets": [0, 4]}}, "which is not known"),
        ({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4, 4]}}, "the entry of 'a' is malformed"),
        ({"__metadata__": {"format": 3}}, "'__metadata__' is not a mapping of texts"),
        ({"__metadata__": ["pt"]}, "'__metadata__' is not a mapping of texts"),
        (
            {name: {"dtype": "F16", "shape": [2], "data_offsets": [0, 4]} for name in "ab"},
            "'a' and 'b' overlap",
        ),
        (
            {
                "a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]},
                "b": {"dtype": "U8", "shape": [1], "data_offsets": [2, 3]},
            },
            "'a' and 'b' overlap",
        ),
        (b'{"a": 1, "b": 2, "a": 3}', "its header names 'a' twice"),
        (b'{"a": NaN}', "the entry of 'a' is malformed"),
        (b'{"a": ' + b"9" * 5000 + b"}", "its header is not JSON"),
        (b"\xef\xbb\xbf{}", "its header is not JSON"),
        (b'{"\xff": 1}', "its header is not JSON"),
        (b'{"a": [' + b"[]," * 2_500_000 + b"[]]}", "its header has more than 4,000,000 values"),
    ],
)
def test_a_header_that_makes_no_sense_is_told(header: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=message):
        check_safetensors(write_file(tmp_path / "model.safetensors", header, bytes(4)))


@pytest.mark.parametrize(
    ("metadata", "framework"),
    [
        (None, "pt"),
        ({"format": "pt"}, "pt"),
        ({"format": "mlx"}, "pt"),
        ({"format": "tf"}, "tf"),
        ({"format": "flax"}, "flax"),
    ],
)
def test_the_format_says_whose_names_they_are(metadata: dict[str, str] | None, framework: str, tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "model.safetensors", metadata)
    assert safetensors_framework(tmp_path / "model.safetensors") == framework


def test_an_unknown_format_is_refused(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "model.safetensors", {"format": "np"})
    with pytest.raises(CheckpointError, match=r"saved by another framework \(format: np\)"):
        safetensors_framework(tmp_path / "model.safetensors")
