"""The names of ``exporter.onnx``, each imported when it is asked for."""

from __future__ import annotations

import pytest

import exporter.onnx


def test_every_public_name_is_there():
    for name in exporter.onnx.__all__:
        assert getattr(getattr(exporter.onnx, name), "__name__", name) == name


def test_a_class_of_an_architecture_is_a_name_too():
    assert exporter.onnx.DistilBertOnnxConfig.architecture == "distilbert"


def test_other_names_are_refused():
    with pytest.raises(AttributeError, match=r"module 'exporter.onnx' has no attribute 'nonsense'"):
        exporter.onnx.nonsense  # noqa: B018
