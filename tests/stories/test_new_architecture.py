"""An architecture is a YAML file and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from commands import REPOSITORY, SPECS, Run, read_answer

import exporter
from exporter.language.catalog import list_specs

# Not in the catalogue, and nothing else in the repository speaks of it.
SPEC = """\
# yaml-language-server: $schema=../schemas/spec.schema.json
spec_version: 1
architecture: megatron-bert
extends: encoder

dims:
  type_vocab: config.type_vocab_size

inputs:
  token_type_ids: int64[batch, sequence] = randint(type_vocab)

tasks:
  feature-extraction: {}
  fill-mask: {}
  question-answering: {}

reference:
  config: {hidden_size: 32, num_hidden_layers: 5, num_attention_heads: 4, intermediate_size: 37,
           max_position_embeddings: 64, vocab_size: 99, type_vocab_size: 6, num_labels: 7}
"""


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "megatron-bert.yaml"
    path.write_text(SPEC, "utf-8")
    return path


def test_the_architecture_is_new():
    assert "megatron-bert" not in [path.stem for path in list_specs()]


def test_a_new_spec_is_linted_and_built_with_nothing_else(spec: Path, tmp_path: Path, run: Run):
    linted = run("lint", spec.name, "--models")
    assert linted.returncode == 0, linted.stdout + linted.stderr
    built = run("build", spec.name, "-o", "out", "--json")
    assert built.returncode == 0, built.stderr
    outcomes = {entry["task"]: entry for entry in read_answer(built.stdout)["builds"]}
    assert list(outcomes) == ["feature-extraction", "fill-mask", "question-answering"]
    for task, outcome in outcomes.items():
        assert outcome["ok"]
        assert outcome["architecture"] == "megatron-bert"
        assert exporter.verify(tmp_path / "out" / task).passed


def test_a_checkpoint_of_it_is_told_that_there_is_no_spec_and_built_with_one(
    spec: Path, tmp_path: Path, make_checkpoint
):
    checkpoint = make_checkpoint(
        "MegatronBertForTokenClassification",
        "megatron-bert",
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=20,
        max_position_embeddings=40,
        vocab_size=50,
        type_vocab_size=2,
        num_labels=4,
    )
    with pytest.raises(
        exporter.ExporterError, match="there is no spec for the architecture 'megatron-bert'"
    ) as failure:
        exporter.build(model=checkpoint, output=tmp_path / "out")
    assert "write one" in (failure.value.help or "")
    spec.write_text(SPEC.replace("  question-answering: {}\n", "  token-classification: {}\n"), "utf-8")
    (result,) = exporter.build(spec, model=checkpoint, output=tmp_path / "out")
    assert result.plan.task == "token-classification"
    assert result.plan.graphs[0].outputs[0].shape == ("batch", "sequence", 4)
    assert exporter.verify(tmp_path / "out").passed


# Architectures that are also English words, or words the engine itself uses.
WORDS = {"opt", "clip", "phi", "swin", "vit", "t5"}


def test_the_engine_names_no_architecture():
    names = sorted(path.stem for path in list_specs())
    spellings = {spelling for name in names for spelling in (name, name.replace("-", "_"), name.replace("_", "-"))}
    # A short name counts where it is quoted, a long one wherever it stands; class names are caught by their stem.
    # ``"Clip"`` is an operator of ONNX, which writes its operators with a capital.
    whole = [re.escape(name) for name in spellings if name not in WORDS]
    quoted = [re.escape(name) for name in spellings if name in WORDS]
    pattern = re.compile(rf"(?<![\w-])(?:{'|'.join(whole)})(?![\w-])|['\"](?:{'|'.join(quoted)})['\"]", re.IGNORECASE)
    mentions = [
        f"{path.relative_to(REPOSITORY)}:{number}: {match.group()}"
        for path in sorted((REPOSITORY / "exporter").rglob("*.py"))
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1)
        if (match := pattern.search(line.replace('"Clip"', "")))
    ]
    assert not mentions, "\n".join(mentions)


def test_no_model_class_is_named_in_the_engine():
    purposes = "CausalLM|MaskedLM|SequenceClassification|TokenClassification|ConditionalGeneration|ImageClassification"
    model_class = re.compile(rf"\b(?!Auto|Flat|Pretrained|PreTrained)[A-Z]\w*?For(?:{purposes})\b")
    texts = {path: path.read_text("utf-8") for path in (REPOSITORY / "exporter").rglob("*.py")}
    mentions = [(path.name, match.group()) for path, text in texts.items() for match in model_class.finditer(text)]
    assert not mentions


def test_specs_are_short():
    """Thirty lines or so say what a model is; what needs many more is a missing ability of the language."""
    longest = {
        path.stem: len(path.read_text("utf-8").splitlines()) for path in SPECS.glob("*.yaml") if path.stem != "tasks"
    }
    assert sorted(longest.values())[len(longest) // 2] <= 40, longest
