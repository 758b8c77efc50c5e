"""The command line of the earlier system: its arguments, lines and exit codes."""

from __future__ import annotations

import errno
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnxruntime
import pytest
from commands import REPOSITORY

import exporter
from exporter.cli.main import cli
from exporter.language.catalog import load_tasks
from exporter.onnx import __main__ as door
from exporter.onnx.__main__ import main


@dataclass(frozen=True)
class Saved:
    """What a run that succeeds leaves: the lines it logs, and files of one opset."""

    logged: list[str]
    opset: int
    files: tuple[str, ...] = ("model.onnx",)


def check_export(
    capsys: pytest.CaptureFixture[str], arguments: list[str | Path], output: Path, expected: Saved
) -> None:
    capsys.readouterr()  # of making the checkpoint
    assert main([*map(str, arguments), str(output)]) == 0, capsys.readouterr().err
    saved = ", ".join((output / name).as_posix() for name in expected.files)
    assert capsys.readouterr().err.splitlines() == [*expected.logged, f"All good, model saved at: {saved}"]
    assert {path.name for path in output.glob("*.onnx")} == set(expected.files)
    for name in expected.files:
        assert onnx.load(output / name).opset_import[0].version == expected.opset
    assert exporter.verify(output).passed


def test_question_answering(question_answering, ticked, capsys, tmp_path: Path):
    logged = ticked({"start_logits": (2, 8), "end_logits": (2, 8)})
    check_export(
        capsys, ["--model", question_answering, "--feature=question-answering"], tmp_path / "onnx", Saved(logged, 11)
    )


def test_masked_lm_with_everything_given(masked_lm, ticked, capsys, tmp_path: Path):
    arguments = [
        "-m",
        masked_lm,
        "--feature",
        "masked-lm",
        "--opset",
        "13",
        "--atol",
        "0.002",
        "--framework",
        "pt",
        "--cache_dir",
        tmp_path / "cache",
        "--preprocessor",
        "tokenizer",
        "--export_with_transformers",
    ]
    check_export(capsys, arguments, tmp_path / "onnx", Saved(ticked({"logits": (2, 8, 50)}, "0.002"), 13))


def test_causal_lm_with_past(ticked, decoder_sizes, capsys, make_checkpoint, tmp_path: Path):
    checkpoint = make_checkpoint("GPT2LMHeadModel", "gpt2", **decoder_sizes)
    logged = ticked({"logits": (2, 6, 50), "present.0.key": (2, 2, 11, 8), "present.0.value": (2, 2, 11, 8)})
    check_export(capsys, ["--model", checkpoint, "--feature=causal-lm-with-past"], tmp_path / "onnx", Saved(logged, 13))


def test_seq2seq_lm_is_one_file(ticked, capsys, make_checkpoint, tmp_path: Path):
    checkpoint = make_checkpoint(
        "T5ForConditionalGeneration",
        "t5",
        d_model=16,
        d_kv=5,
        d_ff=12,
        num_layers=1,
        num_decoder_layers=1,
        num_heads=3,
        vocab_size=50,
        relative_attention_num_buckets=8,
        relative_attention_max_distance=20,
    )
    logged = ticked({"logits": (2, 6, 50)})
    check_export(capsys, ["--model", checkpoint, "--feature=seq2seq-lm"], tmp_path / "onnx", Saved(logged, 13))
    session = onnxruntime.InferenceSession(str(tmp_path / "onnx" / "model.onnx"))
    assert [value.name for value in session.get_inputs()] == [
        "input_ids",
        "attention_mask",
        "decoder_input_ids",
        "decoder_attention_mask",
    ]


def test_vision2seq_lm_is_a_file_for_each_component(ticked, decoder_sizes, capsys, make_checkpoint, tmp_path: Path):
    encoder = {
        "model_type": "vit",
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 12,
        "image_size": 12,
        "patch_size": 6,
    }
    decoder = {"model_type": "gpt2", "add_cross_attention": True, **decoder_sizes}
    checkpoint = make_checkpoint(
        "VisionEncoderDecoderModel", "vision-encoder-decoder", encoder=encoder, decoder=decoder
    )
    logged = [*ticked({"last_hidden_state": (2, 5, 16)}), *ticked({"logits": (2, 6, 50)})]
    saved = Saved(logged, 11, ("encoder_model.onnx", "decoder_model.onnx"))
    check_export(capsys, ["--model", checkpoint, "--feature=vision2seq-lm"], tmp_path / "onnx", saved)


def check_refused(capsys: pytest.CaptureFixture[str], code: int, *arguments: str | Path) -> str:
    """Check that a command line fails with one error and no traceback; return what it said."""
    try:
        exit_code = main(list(map(str, arguments)))
    except SystemExit as left:
        exit_code = int(left.code or 0)
    said = capsys.readouterr().err
    assert exit_code == code, said
    assert said.count("error: ") == 1, said
    assert "Traceback" not in said
    return said


def test_downloads_are_kept_where_the_user_says(question_answering, ticked, capsys, tmp_path: Path):
    """Without a network, what was downloaded before is found there, under the name and commit it was downloaded by."""
    entry, commit = tmp_path / "cache" / "models--organization--model", "0123456789abcdef0123456789abcdef01234567"
    shutil.copytree(question_answering, entry / "snapshots" / commit)
    (entry / "refs").mkdir()
    (entry / "refs" / "main").write_text(commit, "utf-8")
    arguments = ["--model", "organization/model", "--cache_dir", tmp_path / "cache"]
    left = "The checkpoint: 2 weights are left out, of other tasks: qa_outputs.bias, qa_outputs.weight"
    logged = [*ticked({"last_hidden_state": (2, 8, 24)}), left]
    check_export(capsys, arguments, tmp_path / "onnx", Saved(logged, 11))
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
    masked_lm, capsys, tmp_path: Path, arguments: list[str], reason: str
):
    assert reason in check_refused(capsys, 1, "--model", masked_lm, *arguments, tmp_path / "onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_that_is_none_is_said(capsys, tmp_path: Path):
    assert "does not exist" in check_refused(capsys, 1, "--model", tmp_path / "nowhere", tmp_path / "onnx")
    (tmp_path / "empty").mkdir()
    assert "there is no config.json" in check_refused(capsys, 1, "--model", tmp_path / "empty", tmp_path / "onnx")
    assert not (tmp_path / "onnx").exists()


def test_a_model_without_the_weights_of_a_feature_fails(masked_lm, capsys, tmp_path: Path):
    """The earlier system exported the random head it had made up."""
    said = check_refused(capsys, 1, "--model", masked_lm, "--feature", "token-classification", tmp_path / "onnx")
    assert "lacks 2 weights that BertForTokenClassification needs: classifier.bias, classifier.weight" in said
    assert list(tmp_path.iterdir()) == []


def test_what_is_in_the_place_of_the_output_stays(masked_lm, capsys, tmp_path: Path):
    (tmp_path / "model.onnx").write_text("precious", "utf-8")
    assert "was not written by exporter" in check_refused(capsys, 1, "--model", masked_lm, tmp_path)
    assert "is a file" in check_refused(capsys, 1, "--model", masked_lm, tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx").read_text("utf-8") == "precious"


def test_what_the_machine_refuses_is_a_failure_and_no_bug(capsys, monkeypatch, tmp_path: Path):
    def fail(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "there/config.json")

    monkeypatch.setattr(door, "plan_builds", fail)
    said = check_refused(capsys, 1, "--model", "there", tmp_path / "onnx")
    assert said.startswith("error: 'there/config.json' cannot be used: Permission denied\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["onnx"],
        ["--model", "x"],
        ["--model", "x", "--opset", "new", "onnx"],
        ["--model", "x", "--atol", "-1", "onnx"],
        ["--model", "x", "--atol", "nan", "onnx"],
        ["--model", "x", "--framework", "jax", "onnx"],
        ["--model", "x", "--preprocessor", "none", "onnx"],
        ["--model", "x", "--nonsense", "onnx"],
    ],
)
def test_a_command_line_that_cannot_be_read_is_exit_code_2(capsys, arguments: list[str]):
    check_refused(capsys, 2, *arguments)


def rows(title: str) -> list[list[str]]:
    """Return the cells of the first table under a heading of the page on migrating."""
    page = (REPOSITORY / "docs" / "migrating.md").read_text("utf-8")
    section = page.partition(f"\n## {title}\n")[2].partition("\n##")[0]
    lines = [line.replace("\\|", "/") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_the_page_on_migrating_names_what_there_is(capsys):
    """The flags it sends people to exist; every flag of the earlier systems and every name of a task is in it."""
    with pytest.raises(SystemExit):
        main(["--help"])
    printed = capsys.readouterr().out
    assert "{audio-classification,audio-classification-with-past,causal-lm,causal-lm-with-past,default," in printed
    ours = {
        "From `transformers.onnx`": set(re.findall(r"--\w+", printed)) - {"--help"},
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
