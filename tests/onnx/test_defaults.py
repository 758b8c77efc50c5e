"""What the earlier system did where nothing was asked for."""

from __future__ import annotations

import json

from commands import REPOSITORY

from exporter.language.catalog import list_specs
from exporter.language.loading import load_spec
from exporter.onnx.defaults import default_atol, default_opset
from exporter.targets.onnx import OPSETS


def test_defaults_are_those_of_the_earlier_system():
    earlier = json.loads((REPOSITORY / "exporter" / "onnx" / "earlier.json").read_text("utf-8"))
    known = {path.stem for path in list_specs()}
    assert set(earlier["opsets"]) <= known
    assert set(earlier["components"]) <= known
    for path in list_specs():
        spec = load_spec(path)
        for task in spec.tasks.values():
            opset = default_opset(spec, task)
            assert opset in OPSETS[task.tracer.name]
            assert opset >= earlier["opsets"].get(spec.architecture, 11)
            assert default_atol(task) == max(1e-5, task.tolerances["float32"].atol)
    assert default_opset(load_spec("gpt2"), load_spec("gpt2").tasks["text-generation"]) == 13
