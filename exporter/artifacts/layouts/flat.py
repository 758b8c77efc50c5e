"""The flat layout: graphs beside the config, as ONNX Runtime and optimum load them."""

from __future__ import annotations

from exporter.artifacts.layouts.layout import Layout
from exporter.planning.arrangement import Arrangement

LAYOUT = Layout(Arrangement("flat"), "graphs beside the config, as ONNX Runtime and optimum load them")
