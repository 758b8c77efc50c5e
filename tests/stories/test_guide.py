"""The ONNX half of the earlier system's guide: every code block runs, with other import lines and model names."""

from __future__ import annotations

import contextlib
import doctest
import io
import os
import re
import shutil
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands import offline_environment

TESTS = Path(__file__).parent.parent
BLOCKS = re.findall(
    r"^```(bash|python)\n(.*?)^```$", (TESTS / "guide" / "onnx.es.md").read_text("utf-8"), re.MULTILINE | re.DOTALL
)
# What changes on an import line, an installation included.
IMPORTS = {
    "transformers.onnx": "exporter.onnx",
    "from transformers.models.distilbert import": "from exporter.onnx import",
    "pip install transformers[onnx]": "pip install checkpoint-exporter[build]",
}
WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "using",
    "with",
    "distil",
    "##bert",
    "on",
    "##nx",
    "run",
    "##time",
    "!",
]


@pytest.fixture(scope="module")
def names(make_checkpoint: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Checkpoints as wide as those of the guide, so that its shapes are theirs, by the names they replace."""
    sizes = {
        "dim": 768,
        "n_layers": 1,
        "n_heads": 12,
        "hidden_dim": 29,
        "vocab_size": 97,
        "max_position_embeddings": 64,
    }
    tokenizer = tmp_path_factory.mktemp("tokenizer")
    (tokenizer / "vocab.txt").write_text("\n".join(WORDS) + "\n", "utf-8")
    (tokenizer / "tokenizer_config.json").write_text('{"tokenizer_class": "DistilBertTokenizer"}\n', "utf-8")
    made = {
        "distilbert/distilbert-base-uncased-finetuned-sst-2-english": make_checkpoint(
            "DistilBertForSequenceClassification", "distilbert", num_labels=2, **sizes
        ),
        "distilbert/distilbert-base-uncased": make_checkpoint("DistilBertForMaskedLM", "distilbert", **sizes),
    }
    for directory in made.values():
        shutil.copytree(tokenizer, directory, dirs_exist_ok=True)
    made["keras-io/transformers-qa"] = TESTS / "foreign" / "tf" / "distilbert__ForQuestionAnswering"
    return {name: str(directory) for name, directory in made.items()}


def changed(block: str, names: dict[str, str]) -> str:
    for old, new in (*IMPORTS.items(), *names.items()):
        block = block.replace(old, new)
    return block


def test_the_guide_says_what_it_said():
    assert [language for language, _ in BLOCKS].count("bash") == 8
    assert [language for language, _ in BLOCKS].count("python") == 12


def test_every_block_of_the_guide_runs(names: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """In their order and in one place, as a reader would: later blocks use what earlier ones wrote and defined."""
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"OrderedDict": OrderedDict}
    logged = ""
    for number, (language, block) in enumerate(BLOCKS):
        where = f"block {number} of the guide:\n{block}"
        if language == "python":
            run_python(changed(block, names), namespace, where)
        elif block.startswith("Validating ONNX model..."):
            # The earlier system left weights out without a word.
            lines = logged.expandtabs(8).splitlines(keepends=True)
            assert "".join(line for line in lines if not line.startswith("The checkpoint: ")) == block, where
        else:
            logged = run_bash(changed(block, names), tmp_path, where)
    # What the guide says about its own last objects.
    assert namespace["onnx_inputs"] == list(namespace["onnx_config"].inputs) == ["input_ids", "attention_mask"]
    assert namespace["onnx_outputs"] == list(namespace["onnx_config"].outputs)
    assert namespace["outputs"][0].shape == (1, 11, 768)


def run_bash(block: str, directory: Path, where: str) -> str:
    """Run the commands of a block, up to an empty line; what follows is what they print. Return what they logged."""
    commands, _, printed = block.partition("\n\n")
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    done = subprocess.run(
        ["bash", "-c", commands],
        cwd=directory,
        env=offline_environment(PATH=path, PIP_NO_INDEX="1", COLUMNS="150"),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{where}\n{done.stderr}"
    for line in printed.splitlines():
        # The help: every argument the guide shows is still there, under its names.
        if argument := re.match(r"  (-[^{]*?|output)(?:\s\{.*\}|\s{2,}.*)?$", line):
            assert argument[1].strip() in done.stdout, f"{where}\n{done.stdout}"
    return done.stderr


def run_python(block: str, namespace: dict[str, Any], where: str) -> None:
    for example in doctest.DocTestParser().get_examples(block):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(example.source, "<guide>", "exec"), namespace)
        if example.want:
            check_printed(printed.getvalue(), example.want, namespace, where)


def check_printed(printed: str, promised_text: str, namespace: dict[str, Any], where: str) -> None:
    """Compare values, not text: quotes and the form of an OrderedDict differ between versions of Python."""
    # One block of the guide ends in a stray s.
    promised = eval(promised_text.strip().removesuffix("s"), dict(namespace))
    value = eval(printed, dict(namespace))
    if "causal-lm" in promised_text:
        # The guide lists one feature too many: there is no model of this architecture with such a head, and never was.
        from transformers import AutoModelForCausalLM, DistilBertConfig

        assert DistilBertConfig not in AutoModelForCausalLM._model_mapping
        assert set(promised) - set(value) == {"causal-lm"}, where
    else:
        assert value == promised, where
