"""A checkpoint of sentence-transformers gives the embedding of a text, and says so where it gives hidden states."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from commands import TINY_BERT, Run, assert_clean_failure
from safetensors.torch import save_file

import exporter

WEIGHTS = {
    "linear.weight": torch.randn(5, 48, generator=torch.Generator().manual_seed(1)),
    "linear.bias": torch.ones(5),
}
MODULES = [
    {"path": "", "type": "sentence_transformers.models.Transformer"},
    {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    {"path": "2_Dense", "type": "sentence_transformers.models.Dense"},
    {"path": "3_Normalize", "type": "sentence_transformers.models.Normalize"},
]
POOLING = {"word_embedding_dimension": 24, "pooling_mode_mean_tokens": True, "pooling_mode_lasttoken": True}
DENSE = {"in_features": 48, "out_features": 5, "activation_function": "torch.nn.modules.activation.Tanh"}


@pytest.fixture(scope="module")
def checkpoint(make_checkpoint: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small encoder with a pooling of two modes, a layer behind it, and a module that has no files."""
    folder = tmp_path_factory.mktemp("sentences") / "embedder"
    shutil.copytree(make_checkpoint("BertModel", "bert", **TINY_BERT), folder)
    (folder / "modules.json").write_text(json.dumps(MODULES), "utf-8")
    for name, config in (("1_Pooling", POOLING), ("2_Dense", DENSE)):
        (folder / name).mkdir()
        (folder / name / "config.json").write_text(json.dumps(config), "utf-8")
    (folder / "3_Normalize").mkdir()
    save_file(WEIGHTS, folder / "2_Dense" / "model.safetensors")
    return folder


def test_the_modules_are_in_the_graph(checkpoint: Path, tmp_path: Path) -> None:
    import transformers

    (result,) = exporter.build(model=checkpoint, task="sentence-similarity", output=tmp_path / "out")
    assert result.report is not None
    assert result.report.passed
    ids = np.random.default_rng(0).integers(0, 50, (3, 9))
    mask = np.ones_like(ids)
    mask[1, 4:] = 0
    mask[2, 1:] = 0
    session = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx")
    feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
    given = np.asarray(session.run(["sentence_embedding"], feed)[0])

    model = transformers.BertModel.from_pretrained(checkpoint).eval()
    with torch.no_grad():
        states = model(torch.tensor(ids), attention_mask=torch.tensor(mask)).last_hidden_state
        rows = [states[row][torch.tensor(mask[row]) == 1] for row in range(3)]
        pooled = torch.stack([torch.cat([tokens.mean(0), tokens[-1]]) for tokens in rows])
        embedding = torch.tanh(pooled @ WEIGHTS["linear.weight"].T + WEIGHTS["linear.bias"])
    np.testing.assert_allclose(given, torch.nn.functional.normalize(embedding).numpy(), atol=1e-6)

    files = json.loads((tmp_path / "out" / "manifest.json").read_text("utf-8"))["source"]["files"]
    assert {"modules.json", "2_Dense/config.json", "2_Dense/model.safetensors"} <= set(files)
    card = (tmp_path / "out" / "README.md").read_text("utf-8")
    assert "by mean + lasttoken pooling, dense to 5 (Tanh), normalize." in card
    assert exporter.verify(tmp_path / "out", model=str(checkpoint)).passed
    changed = tmp_path / "changed"
    shutil.copytree(checkpoint, changed)
    save_file({name: weight + 1 for name, weight in WEIGHTS.items()}, changed / "2_Dense" / "model.safetensors")
    with pytest.raises(exporter.CheckpointError, match=r"2_Dense/model.safetensors differ"):
        exporter.verify(tmp_path / "out", model=str(changed))


def test_hidden_states_are_said_not_to_be_embeddings(checkpoint: Path, tmp_path: Path, run: Run) -> None:
    built = run("build", "--model", checkpoint, "-o", tmp_path / "out")
    assert built.returncode == 0, built.stderr
    assert "(Pooling, Dense, Normalize) is not in the graph; --task sentence-similarity puts it there" in built.stdout
    (outputs,) = (graph.outputs for graph in exporter.plan("bert", "feature-extraction").graphs)
    session = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx")
    assert [output.name for output in session.get_outputs()] == [tensor.name for tensor in outputs]
    assert all((tmp_path / "out" / module["path"]).is_dir() for module in MODULES)
    assert (tmp_path / "out" / "2_Dense" / "model.safetensors").is_file()


def test_a_module_that_no_graph_holds_is_refused(checkpoint: Path, tmp_path: Path, run: Run) -> None:
    folder = tmp_path / "own"
    shutil.copytree(checkpoint, folder)
    (folder / "modules.json").write_text(
        json.dumps([*MODULES, {"path": "4_LSTM", "type": f"{__name__}.LSTM"}]), "utf-8"
    )
    refused = run("plan", "--model", folder, "--task", "sentence-similarity")
    assert "is code of its own" in assert_clean_failure(refused, 1)


def test_a_model_in_a_folder_of_its_own_gives_the_same_embeddings(checkpoint: Path, tmp_path: Path, run: Run) -> None:
    folder = tmp_path / "old"
    shutil.copytree(checkpoint, folder)
    (folder / "0_Transformer").mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / name).rename(folder / "0_Transformer" / name)
    modules = [{"path": "0_Transformer", "type": "sentence_transformers.models.Transformer"}, *MODULES[1:]]
    (folder / "modules.json").write_text(json.dumps(modules), "utf-8")
    (result,) = exporter.build(model=folder, task="sentence-similarity", output=tmp_path / "out")
    assert [step.size for step in result.plan.model.head] == [48, 5, 5]
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text("utf-8"))
    assert manifest["source"]["name"] == "old"
    assert (tmp_path / "out" / "0_Transformer" / "config.json").is_file()
    assert (tmp_path / "out" / "config.json").is_file()
    refused = run("build", "--model", folder, "--layout", "sentence-transformers", "-o", tmp_path / "laid-out")
    assert "keeps its model in '0_Transformer'" in assert_clean_failure(refused, 1)
