"""Generate with onnxruntime-genai from texts that its own tokenizer takes apart. Runs in its own environment."""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime_genai as genai

request = json.loads(Path(sys.argv[1]).read_text("utf-8"))
model = genai.Model(request["directory"])
tokenizer = genai.Tokenizer(model)
answered = {}
for number, text in enumerate(request["texts"]):
    prompt = tokenizer.encode(text)
    parameters = genai.GeneratorParams(model)
    parameters.set_search_options(do_sample=False, max_length=len(prompt) + request["new_tokens"])
    generator = genai.Generator(model, parameters)
    generator.append_tokens(prompt)
    answered[f"{number}/logits"] = np.array(generator.get_output("logits"))
    while not generator.is_done():
        generator.generate_next_token()
    answered[f"{number}/tokens"] = np.array(generator.get_sequence(0))
np.savez(request["answered"], **answered)
print(json.dumps({"onnxruntime-genai": genai.__version__}))
