"""The door for users of the earlier system: its command line, its lines and exit codes, and its names in Python."""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import transformers

import exporter
from exporter.cli.main import cli
from exporter.errors import CheckpointError, UsageError
from exporter.language.catalog import list_specs, load_tasks, resolve_task
from exporter.language.loading import load_spec
from exporter.onnx import (
    FeaturesManager,
    OnnxConfig,
    OnnxConfigWithPast,
    OnnxSeq2SeqConfigWithPast,
    export,
    models,
    validate_model_outputs,
)
from exporter.onnx.__main__ import main
from exporter.onnx.defaults import default_atol, default_opset
from exporter.onnx.lines import validation_lines
from exporter.targets.onnx import OPSETS
from exporter.verification.report import Comparison, Report, VerificationError

TESTS = Path(__file__).parent.parent
ENCODER = {
    "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 20, "max_position_embeddings": 40,
    "vocab_size": 50, "type_vocab_size": 2,
}  # fmt: skip
DECODER = {
    "n_embd": 16,
    "n_layer": 1,
    "n_head": 2,
    "vocab_size": 50,
    "n_positions": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def ticked(outputs: dict[str, tuple[int, ...]], atol: str = "1e-05") -> list[str]:
    lines = [
        "Validating ONNX model...",
        f"\t-[✓] ONNX model output names match reference model ({{{', '.join(map(repr, outputs))}}})",
    ]
    for name, shape in outputs.items():
        lines.append(f'\t- Validating ONNX Model output "{name}":')
        lines.append(f"\t\t-[✓] {shape} matches {shape}")
        lines.append(f"\t\t-[✓] all values close (atol: {atol})")
    return lines


# The command line


def check_export(
    capsys: pytest.CaptureFixture[str],
    arguments: list[str | Path],
    output: Path,
    logged: list[str],
    opset: int,
    *files: str,
) -> None:
    capsys.readouterr()  # of making the checkpoint
    assert main([*map(str, arguments), str(output)]) == 0, capsys.readouterr().err
    saved = ", ".join((output / name).as_posix() for name in files)
    assert capsys.readouterr().err.splitlines() == [*logged, f"All good, model saved at: {saved}"]
    assert {path.name for path in output.glob("*.onnx")} == set(files)
    for name in files:
        assert onnx.load(output / name).opset_import[0].version == opset
    assert exporter.verify(output).passed


def test_question_answering(capsys, make_checkpoint, tmp_path: Path):
    checkpoint = make_checkpoint("BertForQuestionAnswering", "bert", **ENCODER)
    logged = ticked({"start_logits": (2, 8), "end_logits": (2, 8)})
    check_export(
        capsys, ["--model", checkpoint, "--feature=question-answering"], tmp_path / "onnx", logged, 11, "model.onnx"
    )


def test_masked_lm_with_everything_given(capsys, make_checkpoint, tmp_path: Path):
    checkpoint = make_checkpoint("BertForMaskedLM", "bert", **ENCODER)
    arguments = [
        "-m", checkpoint, "--feature", "masked-lm", "--opset", "13", "--atol", "0.002", "--framework", "pt", "--cache_dir",
        tmp_path / "cache", "--preprocessor", "tokenizer", "--export_with_transformers",
    ]  # fmt: skip
    check_export(capsys, arguments, tmp_path / "onnx", ticked({"logits": (2, 8, 50)}, "0.002"), 13, "model.onnx")


def test_causal_lm_with_past(capsys, make_checkpoint, tmp_path: Path):
    checkpoint = make_checkpoint("GPT2LMHeadModel", "gpt2", **DECODER)
    logged = ticked({"logits": (2, 6, 50), "present.0.key": (2, 2, 11, 8), "present.0.value": (2, 2, 11, 8)})
    check_export(
        capsys, ["--model", checkpoint, "--feature=causal-lm-with-past"], tmp_path / "onnx", logged, 13, "model.onnx"
    )


def test_seq2seq_lm_is_one_file(capsys, make_checkpoint, tmp_path: Path):
    checkpoint = make_checkpoint(
        "T5ForConditionalGeneration", "t5", d_model=16, d_kv=5, d_ff=12, num_layers=1, num_decoder_layers=1, num_heads=3,
        vocab_size=50, relative_attention_num_buckets=8, relative_attention_max_distance=20,
    )  # fmt: skip
    logged = ticked({"logits": (2, 6, 50)})
    check_export(capsys, ["--model", checkpoint, "--feature=seq2seq-lm"], tmp_path / "onnx", logged, 13, "model.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "onnx" / "model.onnx"))
    assert [value.name for value in session.get_inputs()] == [
        "input_ids", "attention_mask", "decoder_input_ids", "decoder_attention_mask"
    ]  # fmt: skip


def test_vision2seq_lm_is_a_file_for_each_component(capsys, make_checkpoint, tmp_path: Path):
    encoder = {
        "model_type": "vit", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 12,
        "image_size": 12, "patch_size": 6,
    }  # fmt: skip
    decoder = {"model_type": "gpt2", "add_cross_attention": True, **DECODER}
    checkpoint = make_checkpoint(
        "VisionEncoderDecoderModel", "vision-encoder-decoder", encoder=encoder, decoder=decoder
    )
    check_export(
        capsys, ["--model", checkpoint, "--feature=vision2seq-lm"], tmp_path / "onnx",
        [*ticked({"last_hidden_state": (2, 5, 16)}), *ticked({"logits": (2, 6, 50)})], 11,
        "encoder_model.onnx", "decoder_model.onnx",
    )  # fmt: skip


def check_refused(capsys: pytest.CaptureFixture[str], code: int, *arguments: str | Path) -> str:
    """Check that a command line fails with one error and no traceback; return what it said."""
    try:
        found = main(list(map(str, arguments)))
    except SystemExit as left:
        found = int(left.code or 0)
    said = capsys.readouterr().err
    assert found == code, said
    assert said.count("error: ") == 1, said
    assert "Traceback" not in said
    return said


def test_downloads_are_kept_where_the_user_says(capsys, make_checkpoint, tmp_path: Path):
    """Without a network, what was downloaded before is found there, under the name and commit it was downloaded by."""
    entry, commit = tmp_path / "cache" / "models--organization--model", "0123456789abcdef0123456789abcdef01234567"
    checkpoint = make_checkpoint("BertForQuestionAnswering", "bert", **ENCODER)
    shutil.copytree(checkpoint, entry / "snapshots" / commit)
    (entry / "refs").mkdir()
    (entry / "refs" / "main").write_text(commit, "utf-8")
    arguments = ["--model", "organization/model", "--cache_dir", tmp_path / "cache"]
    check_export(capsys, arguments, tmp_path / "onnx", ticked({"last_hidden_state": (2, 8, 24)}), 11, "model.onnx")
    source = json.loads((tmp_path / "onnx" / "manifest.json").read_text("utf-8"))["source"]
    assert (source["name"], source["commit"]) == ("organization/model", commit)
    assert "hub cannot be reached" in check_refused(capsys, 1, "--model", "organization/model", tmp_path / "other")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--feature", "fill-masc"], "did you mean 'fill-mask'?"),
        (["--feature", "image-classification"], "the architecture 'bert' has no task 'image-classification'"),
        (["--opset", "9"], "the torchscript tracer writes opsets 11 to 20"),
        (["--opset", "99"], "the torchscript tracer writes opsets 11 to 20"),
        (["--framework", "tf"], "has no TensorFlow weights; it has PyTorch (model.safetensors)"),
    ],
)
def test_what_cannot_be_had_is_said_and_leaves_nothing(
    capsys, make_checkpoint, tmp_path: Path, arguments: list[str], reason: str
):
    checkpoint = make_checkpoint("BertForMaskedLM", "bert", **ENCODER)
    assert reason in check_refused(capsys, 1, "--model", checkpoint, *arguments, tmp_path / "onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_that_is_none_is_said(capsys, tmp_path: Path):
    assert "does not exist" in check_refused(capsys, 1, "--model", tmp_path / "nowhere", tmp_path / "onnx")
    (tmp_path / "empty").mkdir()
    assert "there is no config.json" in check_refused(capsys, 1, "--model", tmp_path / "empty", tmp_path / "onnx")
    assert not (tmp_path / "onnx").exists()


def test_a_model_without_the_weights_of_a_feature_fails(capsys, make_checkpoint, tmp_path: Path):
    """The earlier system exported the random head it had made up."""
    checkpoint = make_checkpoint("BertForMaskedLM", "bert", **ENCODER)
    said = check_refused(capsys, 1, "--model", checkpoint, "--feature", "token-classification", tmp_path / "onnx")
    assert "lacks 2 weights that BertForTokenClassification needs: classifier.bias, classifier.weight" in said
    assert list(tmp_path.iterdir()) == []


def test_what_is_in_the_place_of_the_output_stays(capsys, make_checkpoint, tmp_path: Path):
    checkpoint = make_checkpoint("BertForMaskedLM", "bert", **ENCODER)
    (tmp_path / "model.onnx").write_text("precious", "utf-8")
    assert "was not written by exporter" in check_refused(capsys, 1, "--model", checkpoint, tmp_path)
    assert "is a file" in check_refused(capsys, 1, "--model", checkpoint, tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx").read_text("utf-8") == "precious"


@pytest.mark.parametrize(
    "arguments",
    [
        ["onnx"], ["--model", "x"], ["--model", "x", "--opset", "new", "onnx"], ["--model", "x", "--atol", "-1", "onnx"],
        ["--model", "x", "--atol", "nan", "onnx"], ["--model", "x", "--framework", "jax", "onnx"],
        ["--model", "x", "--preprocessor", "none", "onnx"], ["--model", "x", "--nonsense", "onnx"],
    ],
)  # fmt: skip
def test_a_command_line_that_cannot_be_read_is_exit_code_2(capsys, arguments: list[str]):
    check_refused(capsys, 2, *arguments)


def test_a_failed_verification_says_which_values_and_which_shape():
    good = Comparison("model", "logits", "trace", {"batch": 2}, 0, (2, 7), 1e-7, 1e-7, 0.1, 0, 3.0, (0, 0))
    far = Comparison("model", "logits", "check 1", {"batch": 1}, 0, (1, 7), 1.0, 1.0, 99.0, 7, 3.0, (0, 0))
    other = Comparison("model", "boxes", "trace", {"batch": 2}, 0, (2, 4), 0, 0, 0, 0, 0, (), "the shape is [2, 4]")
    report = Report("onnxruntime", 1e-4, 0.0, (good, other, far), ("model.onnx has opset 12, and 11 was asked for",))
    assert list(validation_lines(report)) == [
        "Validating ONNX model...",
        '\t- Validating ONNX Model output "logits":',
        "\t\t-[✓] (2, 7) matches (2, 7)",
        "\t\t-[x] values not close enough (atol: 0.0001)",
        '\t- Validating ONNX Model output "boxes":',
        "\t\t-[x] the shape is [2, 4]",
        "\t-[x] model.onnx has opset 12, and 11 was asked for",
    ]


# The names in Python


def test_defaults_are_those_of_the_earlier_system():
    earlier = json.loads((TESTS.parent / "exporter" / "onnx" / "earlier.json").read_text("utf-8"))
    known = {path.stem for path in list_specs()}
    assert set(earlier["opsets"]) <= known
    assert set(earlier["components"]) <= known
    for path in list_specs():
        spec = load_spec(path)
        for task in spec.tasks.values():
            opset = default_opset(spec, task)
            assert opset in OPSETS[task.tracer.name]
            assert opset >= earlier["opsets"].get(spec.architecture, 11)
            assert default_atol(task) == max(1e-5, task.tolerances["float32"].atol)
    assert default_opset(load_spec("gpt2"), load_spec("gpt2").tasks["text-generation"]) == 13


def test_every_architecture_has_its_classes():
    for path in list_specs():
        described = models.describe_architecture(path.stem)
        assert getattr(models, described.__name__) is described
        plain = getattr(models, described.__name__.replace("OnnxConfig", "Config"))
        assert plain.__module__.startswith("transformers.")
        features = FeaturesManager.get_supported_features_for_model_type(path.stem.replace("_", "-"))
        assert set(features) == {task.feature for task in load_spec(path).tasks.values()}
        assert set(features) <= set(FeaturesManager.AVAILABLE_FEATURES)
    with pytest.raises(ImportError):
        from exporter.onnx import NonsenseOnnxConfig  # noqa: F401
    with pytest.raises(ImportError):
        from exporter.onnx.models import Bert  # noqa: F401


def test_configs_of_the_three_kinds():
    plain = models.BertOnnxConfig(models.BertConfig())
    assert type(plain).__mro__[1] is OnnxConfig
    assert plain.inputs == OrderedDict.fromkeys(
        ("input_ids", "attention_mask", "token_type_ids"), {0: "batch", 1: "sequence"}
    )
    assert (plain.default_onnx_opset, plain.atol_for_validation, plain.is_torch_support_available) == (11, 1e-5, True)
    choice = models.BertOnnxConfig.from_model_config(models.BertConfig(), task="multiple-choice")
    assert choice.inputs["input_ids"] == {0: "batch", 1: "choices", 2: "sequence"}

    config = models.GPT2Config(n_layer=1)
    decoder = models.GPT2OnnxConfig.with_past(config, task="causal-lm")
    assert isinstance(decoder, OnnxConfigWithPast)
    assert not isinstance(decoder, OnnxSeq2SeqConfigWithPast)
    assert decoder.values_override == {"use_cache": True}
    assert list(decoder.outputs) == ["logits", "present.0.key", "present.0.value"]
    assert models.GPT2OnnxConfig(config, task="text-generation-with-past").outputs == decoder.outputs
    assert list(models.GPT2OnnxConfig(config, task="causal-lm").outputs) == ["logits"]
    cache: dict[str, Any] = {}
    decoder.fill_with_past_key_values_(cache, direction="inputs")
    assert list(cache) == ["past_key_values.0.key", "past_key_values.0.value"]
    assert all(axes == {0: "batch", 2: "past_sequence"} for axes in cache.values())

    assert issubclass(models.T5OnnxConfig, OnnxSeq2SeqConfigWithPast)
    with pytest.raises(UsageError, match="has no task"):
        models.GPT2OnnxConfig(config, task="masked-lm")
    with pytest.raises(UsageError, match="neither 'inputs' nor 'outputs'"):
        decoder.fill_with_past_key_values_(cache, direction="present")
    with pytest.raises(UsageError, match="there is no spec for the architecture"):
        OnnxConfig(transformers.CTRLConfig())


def test_dummy_inputs_are_what_the_model_and_the_graph_take():
    config = models.GPT2Config(**{name: size for name, size in DECODER.items() if not name.endswith("id")})
    described = models.GPT2OnnxConfig.with_past(config, task="causal-lm")
    arguments = described.generate_dummy_inputs(None, batch_size=3, seq_length=9, framework="pt")
    model = transformers.GPT2LMHeadModel(config).eval()
    assert model(**arguments).logits.shape == (3, 9, 50)
    arguments = described.generate_dummy_inputs(None, batch_size=3, seq_length=9)
    fed = described.generate_dummy_inputs_onnxruntime(arguments)
    arrays = described.generate_dummy_inputs(None, batch_size=3, seq_length=9, framework="np")
    assert list(fed) == list(arrays) == list(described.inputs)
    for name, array in arrays.items():
        np.testing.assert_array_equal(fed[name], array)
    with pytest.raises(UsageError, match="cannot be made for 'tf'"):
        described.generate_dummy_inputs(None, framework="tf")


def test_export_writes_the_graph_and_leaves_the_model_as_it_was(make_checkpoint, tmp_path: Path, caplog):
    model = FeaturesManager.get_model_from_feature(
        "masked-lm", str(make_checkpoint("BertForMaskedLM", "bert", **ENCODER))
    )
    model.train()
    before = (model.config.to_dict(), model.config._attn_implementation, {id(one) for one in model.modules()})
    architecture, make = FeaturesManager.check_supported_model_or_raise(model, feature="masked-lm")
    config = make(model.config)
    path = tmp_path / "graph.onnx"
    names = export(None, model, config, config.default_onnx_opset, path)
    assert (architecture, names) == ("bert", (["input_ids", "attention_mask", "token_type_ids"], ["logits"]))
    assert [one.name for one in tmp_path.iterdir()] == ["graph.onnx"]
    with caplog.at_level(logging.INFO, "exporter.onnx"):
        validate_model_outputs(config, None, model, path, names[1], config.atol_for_validation)
    logged = [record.message for record in caplog.records if record.name.startswith("exporter.onnx")]
    assert logged == ticked({"logits": (2, 8, 50)})
    assert model.training
    assert before == (model.config.to_dict(), model.config._attn_implementation, {id(one) for one in model.modules()})

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


def test_an_export_that_fails_leaves_the_earlier_file(make_checkpoint, tmp_path: Path):
    model = transformers.BertModel.from_pretrained(make_checkpoint("BertForMaskedLM", "bert", **ENCODER))
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
    assert [one.name for one in tmp_path.iterdir()] == ["model.onnx"]


class Declared(OnnxConfig):
    """A config somebody wrote: two of the three inputs, the other way round, one length, and names of their own."""

    @property
    def inputs(self) -> OrderedDict[str, dict[int, str]]:
        return OrderedDict([("attention_mask", {0: "rows"}), ("input_ids", {0: "rows"})])


def test_a_declared_boundary_is_what_the_graph_has(make_checkpoint, tmp_path: Path):
    model = FeaturesManager.get_model_from_feature(
        "masked-lm", str(make_checkpoint("BertForMaskedLM", "bert", **ENCODER))
    )
    config = Declared(model.config, task="masked-lm")
    inputs, outputs = export(None, model, config, 14, tmp_path / "model.onnx")
    assert (inputs, outputs) == (["attention_mask", "input_ids"], ["logits"])
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    assert [(value.name, value.shape) for value in session.get_inputs()] == [
        ("attention_mask", ["rows", 8]), ("input_ids", ["rows", 8])
    ]  # fmt: skip
    assert [value.shape for value in session.get_outputs()] == [["rows", 8, 50]]
    validate_model_outputs(config, None, model, tmp_path / "model.onnx", outputs, config.atol_for_validation)


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ({"input_id": {0: "batch"}}, "did you mean 'input_ids'?"),
        ({"input_ids": {0: "batch", 2: "width"}}, "the axis 2 of 'input_ids' does not exist"),
        ({"input_ids": {0: "n", 1: "n"}}, "cannot be called 'n'"),
        ({"input_ids": {0: "sequence", 1: "length"}}, "cannot be called 'sequence'"),
        ({"input_ids": {0: "batch", 1: "past + sequence"}}, "does not say so"),
    ],
)
def test_a_declared_boundary_that_cannot_be_is_refused(inputs: dict[str, dict[int, str]], reason: str):
    kind = type("Kind", (OnnxConfig,), {"inputs": property(lambda self: inputs)})
    with pytest.raises(UsageError) as failure:
        kind(models.BertConfig()).plan()
    assert reason in f"{failure.value.message} {failure.value.help}"


def test_dummies_of_a_subclass_are_told_to_be_unused():
    kind = type("Kind", (OnnxConfig,), {"generate_dummy_inputs": lambda self, *_: {}})
    with pytest.warns(UserWarning, match="generate_dummy_inputs of Kind is not called"):
        kind(models.BertConfig()).plan()


def test_models_of_features(make_checkpoint, tmp_path: Path, caplog):
    keras = TESTS / "foreign" / "tf" / "distilbert__ForQuestionAnswering"
    assert FeaturesManager.determine_framework(str(keras)) == "tf"
    assert FeaturesManager.determine_framework("organization/model") == "pt"
    assert FeaturesManager.determine_framework("organization/model", "tf") == "tf"
    model = FeaturesManager.get_model_from_feature("question-answering", str(keras))
    assert type(model) is transformers.DistilBertForQuestionAnswering
    assert not model.training
    assert FeaturesManager.feature_to_task("causal-lm-with-past") == "causal-lm"

    checkpoint = make_checkpoint("BertForMaskedLM", "bert", **ENCODER)
    FeaturesManager.get_model_from_feature("token-classification", str(checkpoint))
    assert "has no values for classifier.bias, classifier.weight: they are random" in caplog.text
    with pytest.raises(UsageError, match="has no task 'seq2seq-lm'"):
        FeaturesManager.get_model_from_feature("seq2seq-lm", str(checkpoint))
    with pytest.raises(CheckpointError, match="has no TensorFlow weights"):
        FeaturesManager.get_model_from_feature("masked-lm", str(checkpoint), framework="tf")
    with pytest.raises(UsageError, match="there is no spec for the architecture 'nonsense'"):
        FeaturesManager.get_supported_features_for_model_type("nonsense")
    with pytest.raises(UsageError, match="has no feature 'causal-lm'"):
        FeaturesManager.get_config("distilbert", "causal-lm")


# The names of tasks


def test_tasks_go_by_all_their_names():
    words = [word for task in load_tasks().values() for word in set(task.words)]
    assert len(words) == len(set(words))
    for name, task in load_tasks().items():
        assert {resolve_task(word) for word in task.words} == {name}
        assert {resolve_task(f"{word}-with-past") for word in task.words} == {f"{name}-with-past"}
    assert resolve_task("summarization-with-past") == "text2text-generation-with-past"
    assert resolve_task("audio-ctc") == "automatic-speech-recognition"


def rows(title: str) -> list[list[str]]:
    """Return the cells of the table under a heading of the page on migrating."""
    page = (TESTS.parent / "docs" / "migrating.md").read_text("utf-8")
    section = page.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    lines = [line.replace("\\|", "/") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_the_page_on_migrating_names_what_there_is(capsys):
    """Every flag it sends people to exists, every flag of the earlier systems is in it, and so is every name of a task."""
    with pytest.raises(SystemExit):
        main(["--help"])
    ours = {
        "From `transformers.onnx`": set(re.findall(r"--\w+", capsys.readouterr().out)) - {"--help"},
        "From `optimum-cli export onnx`": {name for option in cli.commands["build"].params for name in option.opts},
    }
    for title, flags in ours.items():
        table = rows(title)
        assert all(len(cells) == 3 for cells in table)
        assert {flag for cells in table for flag in re.findall(r"`(--[\w-]+)", cells[1])} <= flags
    earlier = {flag for cells in rows("From `transformers.onnx`") for flag in re.findall(r"`(--\w+)", cells[0])}
    assert earlier == ours["From `transformers.onnx`"]
    assert [re.findall(r"`([\w-]+)`", " ".join(cells)) for cells in rows("Names of tasks")] == [
        list(dict.fromkeys(task.words)) for task in load_tasks().values()
    ]


