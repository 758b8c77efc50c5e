"""`export` and `validate_model_outputs` of a model somebody holds."""

from __future__ import annotations

import logging
from pathlib import Path

import onnx
import pytest
import torch
import transformers

import exporter
from exporter.errors import UsageError
from exporter.onnx import FeaturesManager, export, models, validate_model_outputs
from exporter.verification.report import VerificationError


def test_export_writes_the_graph_and_leaves_the_model_as_it_was(masked_lm, ticked, tmp_path: Path, caplog):
    model = FeaturesManager.get_model_from_feature("masked-lm", str(masked_lm))
    model.train()
    before = (model.config.to_dict(), model.config._attn_implementation, {id(module) for module in model.modules()})
    architecture, make = FeaturesManager.check_supported_model_or_raise(model, feature="masked-lm")
    config = make(model.config)
    path = tmp_path / "graph.onnx"
    names = export(None, model, config, config.default_onnx_opset, path)
    assert (architecture, names) == ("bert", (["input_ids", "attention_mask", "token_type_ids"], ["logits"]))
    assert [path.name for path in tmp_path.iterdir()] == ["graph.onnx"]
    with caplog.at_level(logging.INFO, "exporter.onnx"):
        validate_model_outputs(config, None, model, path, names[1], config.atol_for_validation)
    logged = [record.message for record in caplog.records if record.name.startswith("exporter.onnx")]
    # The bound is the spec's: of this task it is wider than that of the earlier system.
    assert logged == ticked({"logits": (2, 8, 50)}, f"{config.atol_for_validation:g}")
    assert model.training
    assert before == (
        model.config.to_dict(),
        model.config._attn_implementation,
        {id(module) for module in model.modules()},
    )

    # Another model's graph, a graph without an output, and no graph at all.
    with torch.no_grad():
        next(model.parameters()).mul_(1.01)
    with pytest.raises(VerificationError, match="'logits' differs by") as failure:
        validate_model_outputs(config, None, model, path, names[1], config.atol_for_validation)
    assert failure.value.report is not None
    with pytest.raises(VerificationError, match="there is no output pooled"):
        validate_model_outputs(config, None, model, path, ["logits", "pooled"], 10.0)
    with pytest.raises(UsageError, match="cannot be read"):
        validate_model_outputs(config, None, model, tmp_path / "other.onnx", names[1], 1e-5)
    (tmp_path / "other.onnx").write_text("no graph", "utf-8")
    with pytest.raises(UsageError, match="is not an ONNX graph"):
        validate_model_outputs(config, None, model, tmp_path / "other.onnx", names[1], 1e-5)


def test_an_export_that_fails_leaves_the_earlier_file(masked_lm, tmp_path: Path):
    model = transformers.BertModel.from_pretrained(masked_lm)
    path = tmp_path / "model.onnx"
    path.write_text("earlier", "utf-8")
    for task, opset, error in (
        ("masked-lm", 11, exporter.ExporterError),  # the model has another head
        ("default", 9, UsageError),
        ("causal-lm", 11, UsageError),  # and was not made as a decoder
    ):
        with pytest.raises(error):
            export(None, model, models.BertOnnxConfig(model.config, task=task), opset, path)
    with pytest.raises(UsageError, match="device 'cuda'"):
        export(None, model, models.BertOnnxConfig(model.config), 11, path, device="cuda")
    with pytest.raises(UsageError, match="cannot be written"):
        export(None, model, models.BertOnnxConfig(model.config), 11, tmp_path / "nowhere" / "model.onnx")
    assert path.read_text("utf-8") == "earlier"
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


@pytest.mark.parametrize(
    ("error", "reason"), [(OSError("the disk is gone\nin sector 3"), "the disk is gone"), (OSError(), "OSError")]
)
def test_a_file_that_cannot_be_read_says_why(monkeypatch, tmp_path: Path, error: OSError, reason: str):
    def load(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(onnx, "load", load)
    path = tmp_path / "model.onnx"
    with pytest.raises(UsageError) as failure:
        validate_model_outputs(models.BertOnnxConfig(models.BertConfig()), None, None, path, [], None)
    assert failure.value.message == f"'{path}' cannot be read: {reason}"
