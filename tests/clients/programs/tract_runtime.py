"""Run graphs in tract. Runs in its own environment."""

import json
import sys
from pathlib import Path

import numpy as np
import tract

request = json.loads(Path(sys.argv[1]).read_text("utf-8"))
given, answered = np.load(request["given"]), {}
for run, graph in enumerate(request["runs"]):
    model = tract.onnx().load(graph["file"])
    inputs = [model.input_name(at) for at in range(model.input_count())]
    # It cannot multiply two symbols, so the sizes of every run are told, as its users do.
    for at, name in enumerate(inputs):
        array = given[f"{run}/{name}"]
        dtype = {"int64": "i64", "float32": "f32", "bool": "bool"}[str(array.dtype)]
        model.set_input_fact(at, ",".join([*map(str, array.shape), dtype]))
    results = model.into_model().into_runnable().run([given[f"{run}/{name}"] for name in inputs])
    # It names outputs after the nodes they come from; their order is the graph's.
    for name, result in zip(graph["outputs"], results, strict=True):
        answered[f"{run}/{name}"] = result.to_numpy()
np.savez(request["answered"], **answered)
print(json.dumps({"tract": tract.version()}))
