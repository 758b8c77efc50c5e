"""A page in Chromium embeds texts and classifies an image with transformers.js, and no request leaves the machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clients import pytorch
from clients.checkpoints import IMAGE_SIZE, SENTENCES
from clients.conftest import TRAINED, Artifact
from clients.environments import PROGRAMS, Array, Installer, installed_by_debian, run_program

pytestmark = [pytest.mark.clients, pytest.mark.timeout(1200)]

TEXTS = SENTENCES[:3]

OpenPage = Callable[[Path, Path, Array], dict[str, Any]]


@pytest.fixture
def open_page(installer: Installer, tmp_path: Path) -> OpenPage:
    """Open a page that embeds texts with one artifact and classifies an image with another; return what it answers."""

    def open_page(encoder: Path, classifier: Path, image: Array) -> dict[str, Any]:
        request = {
            "modules": installer.transformers_js(),
            "chromium": installed_by_debian("chromium", "chromium"),
            "folders": {"/models/encoder/": encoder, "/models/classifier/": classifier},
            "page": {"texts": TEXTS, "encoder": "encoder", "classifier": "classifier"},
            "image": {"bytes": image.flatten().tolist(), "width": IMAGE_SIZE, "height": IMAGE_SIZE},
            "screenshot": tmp_path / "page.png",
            "seconds": 120,
        }
        return run_program(["node", PROGRAMS / "browser.mjs"], request, tmp_path)

    return open_page


@pytest.mark.parametrize(
    ("kind", "weights"), [("sentences", "auto"), (TRAINED, "external")], ids=["one-file", "weights-beside"]
)
def test_a_page(
    kind: str, weights: str, open_page: OpenPage, artifact: Artifact, checkpoint: Callable[[str], Path]
) -> None:
    encoder = artifact(kind, layout="transformers-js", weights=weights)
    assert (encoder / "onnx" / "model.onnx_data").is_file() == (weights == "external")
    image = pytorch.picture()
    answer = open_page(encoder, artifact("things", layout="transformers-js"), image)
    assert "error" not in answer, answer["error"]
    outside = [url for url in answer["requests"] if not url.startswith((f"{answer['origin']}/", "data:", "blob:"))]
    assert not outside
    assert any(url.endswith(".wasm") for url in answer["requests"])
    assert any("/models/encoder/onnx/model.onnx" in url for url in answer["requests"])
    # The library asks every model whether it has a tokenizer.
    asked = f"404 {answer['origin']}/models/classifier/tokenizer_config.json"
    assert set(answer["complaints"]) <= {asked}
    embeddings = np.array(answer["embeddings"])
    expected = pytorch.embed(checkpoint(kind), TEXTS)
    np.testing.assert_allclose(embeddings, expected, rtol=0, atol=1e-5)
    logits = pytorch.call("AutoModelForImageClassification", checkpoint("things"), pytorch.pixels_of(image))["logits"]
    scores = torch.from_numpy(logits[0]).softmax(-1).numpy()
    by_label = {label["label"]: label["score"] for label in answer["labels"]}
    shown = np.array([by_label[label] for label in ("cat", "ship", "tree")])
    np.testing.assert_allclose(shown, scores, rtol=0, atol=1e-5)
    print(
        f"Chromium {answer['chromium']}, transformers.js {answer['version']}, {len(answer['requests'])} requests, "
        f"largest differences {np.abs(embeddings - expected).max():.1e} and {np.abs(shown - scores).max():.1e}"
    )
