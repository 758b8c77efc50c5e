"""Load an artifact with a class of optimum and call it, or generate with it. Runs in optimum's own environment."""

import json
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import optimum.onnxruntime
import torch
from transformers import AutoTokenizer

request = json.loads(Path(sys.argv[1]).read_text("utf-8"))
given = {name: torch.from_numpy(array) for name, array in np.load(request["given"]).items()}
if request["texts"]:
    tokenizer = AutoTokenizer.from_pretrained(request["directory"], padding_side=request["padding_side"])
    given |= tokenizer(request["texts"], padding=True, return_tensors="pt")
model = getattr(optimum.onnxruntime, request["class"]).from_pretrained(request["directory"])
if request["generate"] is not None:
    answered = {"tokens": model.generate(**given, **request["generate"])}
else:
    answered = {name: value for name, value in model(**given).items() if isinstance(value, torch.Tensor)}
np.savez(request["answered"], **{name: value.detach().numpy() for name, value in answered.items()})
print(json.dumps({name: version(name) for name in ("optimum", "optimum-onnx", "transformers", "onnxruntime")}))
