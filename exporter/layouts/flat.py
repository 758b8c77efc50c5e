"""The flat layout: graphs beside the config, as ONNX Runtime and optimum load them."""

from __future__ import annotations

from exporter.layouts.layout import Layout

LAYOUT = Layout("flat", "graphs beside the config, as ONNX Runtime and optimum load them")
