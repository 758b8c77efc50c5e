"""sentence-transformers embeds texts with a trained checkpoint's graph as PyTorch does with its weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from clients import pytorch
from clients.checkpoints import SENTENCES
from clients.conftest import TRAINED, Artifact
from clients.environments import Installer, run_on_arrays

pytestmark = [pytest.mark.clients, pytest.mark.timeout(2400)]


def test_the_onnx_backend(
    installer: Installer, artifact: Artifact, checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    directory = artifact(TRAINED, layout="sentence-transformers")
    assert not list(directory.rglob("*.safetensors")), "PyTorch's weights would be there to fall back on"
    request = {"directory": directory, "texts": SENTENCES}
    answered = run_on_arrays(installer.optimum(), "sentence_encoder.py", request, {}, tmp_path)["embeddings"]
    expected = pytorch.embed(checkpoint(TRAINED), SENTENCES)
    np.testing.assert_allclose(answered, expected, rtol=0, atol=1e-5)
    print(f"largest difference {np.abs(answered - expected).max():.1e}")
