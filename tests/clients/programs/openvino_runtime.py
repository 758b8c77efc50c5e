"""Run graphs in OpenVINO. Runs in its own environment."""

import json
import sys
from pathlib import Path

import numpy as np
import openvino

request = json.loads(Path(sys.argv[1]).read_text("utf-8"))
given, answered, compiled = np.load(request["given"]), {}, {}
for run, graph in enumerate(request["runs"]):
    file = graph["file"]
    if file not in compiled:
        # Processors that have bfloat16 would compute in it; what is compared is float32.
        compiled[file] = openvino.Core().compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    inputs = {name.partition("/")[2]: given[name] for name in given.files if name.startswith(f"{run}/")}
    results = compiled[file](inputs)
    answered |= {f"{run}/{name}": results[name] for name in graph["outputs"]}
np.savez(request["answered"], **answered)
print(json.dumps({"openvino": openvino.__version__}))
