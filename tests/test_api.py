"""The Python API: the command line's pipeline as functions."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from commands import SPECS

import exporter
from exporter import api
from exporter.errors import CheckpointError, ExporterError, UsageError
from exporter.language.diagnostics import SpecError


def test_everything_public_is_documented_and_typed():
    for name in exporter.__all__:
        thing = getattr(exporter, name)
        assert inspect.getdoc(thing), name
        if inspect.isfunction(thing):
            signature = inspect.signature(thing)
            assert signature.return_annotation is not inspect.Signature.empty
            for parameter in signature.parameters.values():
                assert parameter.annotation is not inspect.Parameter.empty, f"{name}({parameter.name})"
                if parameter.kind is not inspect.Parameter.VAR_POSITIONAL:
                    assert f"{parameter.name}:" in (inspect.getdoc(thing) or "") or name == "load_spec"
    assert set(exporter.__all__) <= set(dir(exporter))
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = exporter.nonsense


def test_load_spec_takes_a_path_or_an_architecture(tmp_path: Path):
    by_name, by_path = exporter.load_spec("gpt2"), exporter.load_spec(SPECS / "gpt2.yaml")
    assert by_name == by_path
    assert by_name.architecture == "gpt2"
    assert "text-generation-with-past" in by_name.tasks
    with pytest.raises(UsageError):
        exporter.load_spec("gpt3")
    with pytest.raises(UsageError):
        exporter.load_spec(tmp_path / "nowhere.yaml")
    (tmp_path / "bad.yaml").write_text("spec_version: 1\n", "utf-8")
    with pytest.raises(SpecError) as failure:
        exporter.load_spec(tmp_path / "bad.yaml")
    assert {finding.rule for finding in failure.value.diagnostics} == {"missing-key"}


def test_plan_takes_specs_names_configs_and_checkpoints(make_checkpoint):
    import transformers

    spec = exporter.load_spec("bert")
    plan = exporter.plan(spec, "masked-lm", opset=13, dtype="float16")
    assert (plan.task, plan.recording.opset, plan.model.dtype) == ("fill-mask", 13, "float16")
    # A mapping is laid over the reference's config; a config object is taken as it is.
    assert exporter.plan("bert", "fill-mask", config={"vocab_size": 31}).graphs[0].outputs[0].shape[-1] == 31
    config = transformers.BertConfig(vocab_size=77, type_vocab_size=3)
    assert exporter.plan("bert", "fill-mask", config=config).graphs[0].outputs[0].shape[-1] == 77
    checkpoint = make_checkpoint(
        "BertForMaskedLM",
        "bert",
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=20,
        max_position_embeddings=40,
        vocab_size=50,
        type_vocab_size=2,
    )
    assert exporter.plan("bert", "fill-mask", model=checkpoint).graphs[0].outputs[0].shape[-1] == 50
    with pytest.raises(CheckpointError):
        exporter.plan("bert", "fill-mask", config={"hidden_act": {}, "num_labels": "many"}).to_data()
    with pytest.raises(TypeError):
        exporter.plan("bert", "fill-mask", opsett=13)  # type: ignore[call-arg]


def test_lint_returns_findings_and_raises_for_what_is_not_there(tmp_path: Path):
    assert exporter.lint(SPECS / "bert.yaml").passed
    (tmp_path / "x.yaml").write_text("spec_version: 1\nspec_version: 1\n", "utf-8")
    result = exporter.lint(tmp_path / "x.yaml", select=["duplicate-key"])
    assert [(finding.rule, finding.span.line) for finding in result.diagnostics] == [("duplicate-key", 2)]
    assert exporter.lint(tmp_path / "x.yaml", ignore=["EXP0", "EXP1", "EXP2", "EXP7"]).passed
    with pytest.raises(UsageError):
        exporter.lint(tmp_path / "y.yaml")


def test_build_returns_what_it_made_and_raises_what_failed(tmp_path: Path):
    said: list[str] = []
    results = exporter.build(
        "gpt2", task=("default", "causal-lm-with-past"), output=tmp_path / "out", progress=said.append
    )
    assert [result.plan.task for result in results] == ["feature-extraction", "text-generation-with-past"]
    assert [result.directory.name for result in results] == ["feature-extraction", "text-generation-with-past"]
    for result in results:
        assert result.report is not None
        assert result.report.passed
        assert exporter.verify(result.directory).passed
        assert {
            path.relative_to(result.directory).as_posix() for path in result.directory.rglob("*") if path.is_file()
        } == set(result.files)
    assert any(text.startswith("exporting") for text in said)
    with pytest.raises(ExporterError, match="failed verification") as failure:
        exporter.build("gpt2", task="default", output=results[0].directory, atol=0, rtol=0)
    assert failure.value.exit_code == 1
    assert exporter.verify(results[0].directory).passed
    (unverified,) = exporter.build("gpt2", task="default", output=tmp_path / "none", atol=0, rtol=0, verify=False)
    assert unverified.report is None

    # The export config of a graph is what the graph has, and its dummies are what it takes.
    config = exporter.ExportConfig("gpt2", task="causal-lm-with-past")
    session = onnxruntime.InferenceSession(str(results[1].directory / "model.onnx"))
    assert list(config.inputs) == [value.name for value in session.get_inputs()]
    assert list(config.outputs) == [value.name for value in session.get_outputs()]
    for point in ("trace", "check 1", "check 2"):
        inputs = config.dummy_inputs(point, seed=5)
        outputs = session.run(None, inputs)
        assert outputs[0].shape[:2] == inputs["input_ids"].shape


def test_an_export_config_shows_the_boundary():
    config = exporter.ExportConfig("gpt2", task="causal-lm-with-past", opset=15)
    assert config.opset == 15
    assert config.atol == exporter.plan("gpt2", "causal-lm-with-past").bound.atol
    assert config.inputs["input_ids"] == {0: "batch", 1: "sequence"}
    assert config.inputs["attention_mask"] == {0: "batch", 1: "past_sequence + sequence"}
    assert config.inputs["past_key_values.0.key"] == {0: "batch", 2: "past_sequence"}
    assert config.outputs["present.2.value"] == {0: "batch", 2: "past_sequence + sequence"}
    assert "causal-lm" in repr(config) or "text-generation" in repr(config)
    first, again, other = config.dummy_inputs(), config.dummy_inputs(), config.dummy_inputs(seed=1)
    assert first["input_ids"].dtype == np.int64
    np.testing.assert_equal(first, again)
    assert (first["input_ids"] != other["input_ids"]).any()
    with pytest.raises(ExporterError, match="no point 'nowhere'"):
        config.dummy_inputs("nowhere")


def test_an_export_config_of_other_configs_and_components():
    wide = exporter.ExportConfig("gpt2", {"n_layer": 1, "n_head": 2, "n_embd": 10}, "causal-lm-with-past")
    assert wide.dummy_inputs()["past_key_values.0.key"].shape == (2, 2, 5, 5)
    assert "past_key_values.1.key" not in wide.inputs
    decoder = exporter.ExportConfig("t5", task="seq2seq-lm-with-past", component="decoder_with_past")
    assert "past_key_values.0.decoder.key" in decoder.inputs
    assert list(exporter.ExportConfig("t5", task="seq2seq-lm").outputs) == ["last_hidden_state"]
    with pytest.raises(ExporterError, match="no component 'head'"):
        exporter.ExportConfig("t5", task="seq2seq-lm", component="head")


def test_publishing_says_what_it_needs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(api, "is_installed", lambda name: name == "numpy")
    with pytest.raises(UsageError, match="needs huggingface_hub and ml_dtypes, which are not installed") as raised:
        api.push(tmp_path, "me/model")
    assert raised.value.help == "pip install 'checkpoint-exporter[publish]'"


def test_publishing_looks_before_it_asks(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not an artifact"):
        api.push(tmp_path, "me/model", dry_run=True)
    with pytest.raises(TypeError, match="there is no argument 'privat'"):
        api.push(tmp_path, "me/model", privat=True)  # type: ignore[call-arg]
