"""Intermediate representations, looked at before OpenVINO opens them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from exporter.errors import UntrustedError
from exporter.targets.openvino.inspection import inspect_representation

CONSTANT = '<layer id="1" name="w" type="Const" version="{version}"><data element_type="f32" {place} /></layer>'


def write(folder: Path, *, version: str = "opset1", place: str = 'offset="0" size="12"', before: str = "") -> Path:
    layer = CONSTANT.format(version=version, place=place)
    text = f'<?xml version="1.0"?>{before}<net name="m" version="11"><layers>{layer}</layers></net>'
    (folder / "model.xml").write_text(text, "utf-8")
    (folder / "model.bin").write_bytes(b"\0" * 12)
    return folder / "model.xml"


def test_what_openvino_writes_passes(tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino")
    value = openvino.opset13.parameter([2, 3], np.float32, name="x")
    model = openvino.Model(
        [openvino.opset13.add(value, openvino.opset13.constant(np.ones(3, np.float32)))], [value], "m"
    )
    openvino.save_model(model, tmp_path / "model.xml", compress_to_fp16=False)
    inspect_representation(tmp_path / "model.xml")
    inspect_representation(write(tmp_path))


@pytest.mark.parametrize(
    "place", ['offset="4" size="12"', 'offset="-1" size="4"', 'offset="0" size="-4"', 'offset="x" size="4"']
)
def test_weights_outside_their_file_are_refused(place: str, tmp_path: Path) -> None:
    with pytest.raises(UntrustedError, match="a weight of it"):
        inspect_representation(write(tmp_path, place=place))


def test_a_bin_that_is_missing_holds_no_weight(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.with_suffix(".bin").unlink()
    with pytest.raises(UntrustedError, match="of 0 bytes"):
        inspect_representation(path)


@pytest.mark.parametrize("version", ["extension", "", "mine", "opset"])
def test_operators_of_a_library_are_refused(version: str, tmp_path: Path) -> None:
    with pytest.raises(UntrustedError, match="needs a library of operators"):
        inspect_representation(write(tmp_path, version=version))


@pytest.mark.parametrize(
    "before",
    [
        '<!DOCTYPE net [<!ENTITY a "aaaa">]>',
        '<!DOCTYPE net SYSTEM "file:///etc/passwd">',
        "<!doctype net>",
        "<!-- " + "x" * (1 << 20) + ' --><!DOCTYPE net [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
    ],
    ids=["entity", "system", "lower-case", "late"],
)
def test_entities_are_refused(before: str, tmp_path: Path) -> None:
    with pytest.raises(UntrustedError, match="declares entities"):
        inspect_representation(write(tmp_path, before=before))


@pytest.mark.parametrize("data", [b"", b"<net", b"<other/>", b"<net>\xff</net>", b"\xfe\xff\0<", b"PK"], ids=repr)
def test_a_file_that_is_no_representation_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.xml").write_bytes(data)
    with pytest.raises(UntrustedError, match=r"model\.xml is not opened"):
        inspect_representation(tmp_path / "model.xml")
