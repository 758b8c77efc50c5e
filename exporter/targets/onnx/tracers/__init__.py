"""The mechanisms that record a flat model as an ONNX graph.

A tracer returns a `Trace`: the graph, and the tensors of the model that some of its values stand for. Weights are never
inside that graph; `weights.py` streams them when the file is written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass
class Trace:
    """What a tracer recorded.

    ``model`` is an ``onnx_ir.Model`` whose graph inputs are the declared ones in order and whose outputs likewise,
    under the tracer's names. ``weights`` maps the name of each value that stands for a parameter or buffer to the
    torch tensor.
    """

    model: Any
    weights: dict[str, Any]
