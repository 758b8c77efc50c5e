"""onnxruntime-genai generates from a decoder what PyTorch generates, token for token."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from clients import pytorch
from clients.conftest import Artifact
from clients.environments import Installer, run_on_arrays

pytestmark = [pytest.mark.clients, pytest.mark.timeout(1200)]

REQUIREMENTS = ("onnxruntime-genai==0.18.0",)
PROMPTS = ["The train", "Nobody knows where the old", "He bought three apples, two pears and"]


@pytest.mark.parametrize("kind", ["stories", "essays"])
def test_a_decoder_generates(
    kind: str, installer: Installer, artifact: Artifact, checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    python = installer.python("genai", *REQUIREMENTS)
    request = {"directory": artifact(kind, layout="genai"), "texts": PROMPTS, "new_tokens": pytorch.NEW_TOKENS}
    answered = run_on_arrays(python, "genai_decoder.py", request, {}, tmp_path)
    for number, prompt in enumerate(PROMPTS):
        inputs = pytorch.tokenize(checkpoint(kind), [prompt])
        (expected,) = pytorch.generate("AutoModelForCausalLM", checkpoint(kind), inputs)
        assert answered[f"{number}/tokens"].tolist() == expected.tolist()
        logits = pytorch.call("AutoModelForCausalLM", checkpoint(kind), inputs)["logits"]
        last = answered[f"{number}/logits"][:, -1]
        np.testing.assert_allclose(last, logits[:, -1], rtol=0, atol=2e-5)
        print(f"largest difference {np.abs(last - logits[:, -1]).max():.1e}")
