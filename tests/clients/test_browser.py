"""A page in Chromium embeds texts and classifies an image with transformers.js, and no request leaves the machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from clients import pytorch
from clients.checkpoints import IMAGE_SIZE, SENTENCES
from clients.conftest import TRAINED, Artifact
from clients.environments import PROGRAMS, Installer, installed_by_debian, run_program

pytestmark = [pytest.mark.clients, pytest.mark.timeout(1200)]

TEXTS = SENTENCES[:3]


@pytest.mark.parametrize(
    ("kind", "weights"), [("sentences", "auto"), (TRAINED, "external")], ids=["one-file", "weights-beside"]
)
def test_a_page(
    kind: str, weights: str, installer: Installer, artifact: Artifact, checkpoint: Callable[[str], Path], tmp_path: Path
) -> None:
    encoder = artifact(kind, layout="transformers-js", weights=weights)
    classifier = artifact("things", layout="transformers-js")
    assert (encoder / "onnx" / "model.onnx_data").is_file() == (weights == "external")
    image = pytorch.picture()
    answer = run_program(
        ["node", PROGRAMS / "browser.mjs"],
        {
            "modules": installer.transformers_js(),
            "chromium": installed_by_debian("chromium", "chromium"),
            "folders": {"/models/encoder/": encoder, "/models/classifier/": classifier},
            "page": {"texts": TEXTS, "encoder": "encoder", "classifier": "classifier"},
            "image": {"bytes": image.flatten().tolist(), "width": IMAGE_SIZE, "height": IMAGE_SIZE},
            "screenshot": tmp_path / "page.png",
            "seconds": 120,
        },
        tmp_path,
    )
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
    by_label = {one["label"]: one["score"] for one in answer["labels"]}
    found = np.array([by_label[label] for label in ("cat", "ship", "tree")])
    np.testing.assert_allclose(found, scores, rtol=0, atol=1e-5)
    print(
        f"Chromium {answer['chromium']}, transformers.js {answer['version']}, {len(answer['requests'])} requests, "
        f"largest differences {np.abs(embeddings - expected).max():.1e} and {np.abs(found - scores).max():.1e}"
    )
