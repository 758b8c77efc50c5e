"""Embed texts with sentence-transformers on its ONNX backend. Runs in optimum's environment, which it needs."""

import json
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
from sentence_transformers import SentenceTransformer

request = json.loads(Path(sys.argv[1]).read_text("utf-8"))
model = SentenceTransformer(request["directory"], backend="onnx", device="cpu", local_files_only=True)
np.savez(request["answered"], embeddings=model.encode(request["texts"]))
print(json.dumps({name: version(name) for name in ("sentence-transformers", "optimum-onnx", "transformers")}))
