"""The model card: its program runs as it stands, its text is the build's, and somebody else's README is left alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import yaml
from commands import run_card

import exporter
from exporter.artifacts.manifest import CARD_MARK

Make = Callable[..., Path]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Build one task of a reference, once."""

    @lru_cache
    def made(architecture: str, task: str, **options: Any) -> Path:
        (built,) = exporter.build(
            architecture, task=task, output=tmp_path_factory.mktemp(architecture) / "artifact", **options
        )
        return built.directory

    return made


def program_of(folder: Path) -> str:
    (program,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text("utf-8"), re.DOTALL)
    return str(program)


@pytest.mark.parametrize(
    ("architecture", "task", "options", "prints"),
    [
        ("bert", "fill-mask", {}, ["logits (2, 8, 99)"]),
        ("vit", "image-classification", {"dtype": "float16"}, ["logits (2, 7)"]),
        ("wav2vec2", "audio-classification", {}, ["logits (2, 7)"]),
        ("clip", "zero-shot-image-classification", {}, ["logits_per_image (", "logits_per_text ("]),
        ("bert", "fill-mask", {"target": "torchscript"}, ["(2, 8, 99)"]),
        ("bert", "fill-mask", {"target": "torch-export", "dtype": "bfloat16"}, ["(2, 8, 99)"]),
        ("bert", "fill-mask", {"layout": "transformers-js"}, ["logits (2, 8, 99)"]),
    ],
)
def test_the_program_prints_the_outputs(
    architecture: str, task: str, options: dict[str, Any], prints: list[str], made: Make
) -> None:
    said = run_card(made(architecture, task, **options))
    assert all(line in said for line in prints), said


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_the_program_of_a_decoder_generates_with_its_cache(dtype: str, made: Make) -> None:
    folder = made("gpt2", "text-generation-with-past", dtype=dtype)
    tokens = np.array([list(map(int, re.findall(r"\d+", run_card(folder))))])
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
    cache = {
        value.name: np.zeros([1, value.shape[1], 0, value.shape[3]], dtype)
        for value in session.get_inputs()
        if value.name.startswith("past_key_values.")
    }
    fed = {"input_ids": tokens[:, :-1], "attention_mask": np.ones_like(tokens[:, :-1]), **cache}
    scores: Any = session.run(["logits"], fed)[0]
    assert tokens.shape[1] == 6 + 8
    assert scores[:, 5:].argmax(-1).tolist() == tokens[:, 6:].tolist()


def test_the_programs_of_all_forms_of_a_task_generate_the_same(made: Make) -> None:
    forms = [
        made("t5", "text2text-generation"),
        made("t5", "text2text-generation-with-past"),
        made("t5", "text2text-generation-with-past", layout="transformers-js"),
    ]
    said = [run_card(folder) for folder in forms]
    assert said[0].startswith("[[ 0") or said[0].startswith("[[0")
    assert len(said[0].split()) >= 9
    assert said[1:] == said[:1] * 2


def test_the_program_hears_a_recording(made: Make) -> None:
    folder = made("whisper", "automatic-speech-recognition-with-past")
    assert "input_features" in program_of(folder)
    assert len(re.findall(r"\d+", run_card(folder))) == 9


def test_the_card_tells_what_was_built_and_nothing_of_where_or_when(made: Make, tmp_path: Path) -> None:
    folder = made("bert", "fill-mask")
    text = (folder / "README.md").read_text("utf-8")
    front = yaml.safe_load(text.split("---\n")[1])
    assert front == {"pipeline_tag": "fill-mask", "library_name": "onnx", "tags": ["onnx", "bert", "fill-mask"]}
    assert "| `input_ids` | `int64[batch, sequence]` |" in text
    assert "learnt nothing" in text
    assert f"exporter {exporter.__version__}" in text
    assert not re.search(r"20\d\d-\d\d|\d\d:\d\d", text)
    assert not {str(folder.parent), str(Path.home()), str(Path.cwd())} & set(re.split(r"[\s`]", text))
    (again,) = exporter.build("bert", task="fill-mask", output=tmp_path / "again")
    assert (again.directory / "README.md").read_text("utf-8") == text


def test_the_card_of_a_checkpoint_names_it_and_says_where_nothing_was_verified(made: Make, tmp_path: Path) -> None:
    from exporter.models.references import save_reference

    save_reference(exporter.plan("bert", "fill-mask"), tmp_path / "my [model]")
    (tmp_path / "my [model]" / "README.md").write_text("what its author wrote")
    (built,) = exporter.build(
        model=tmp_path / "my [model]", task="fill-mask", verify=False, dtype="bfloat16", output=tmp_path / "built"
    )
    text = (built.directory / "README.md").read_text("utf-8")
    assert "The checkpoint `my [model]`" in text
    assert "what its author wrote" not in text
    assert (built.directory / "README.checkpoint.md").read_text("utf-8") == "what its author wrote"
    assert "base_model" not in text
    assert "**It was not.**" in text
    assert "not measured" in text
    assert "```python" not in text


def test_a_readme_that_is_not_ours_is_kept(tmp_path: Path) -> None:
    target = tmp_path / "artifact"
    build = {"task": "fill-mask", "output": target}
    exporter.build("distilbert", **build)
    card = target / "README.md"
    ours = card.read_text("utf-8")
    card.write_text(ours + "stale\n")
    assert exporter.verify(target).passed
    exporter.build("distilbert", **build)
    assert card.read_text("utf-8") == ours
    theirs = ours.replace(CARD_MARK, "") + "with what we know of it\n"
    card.write_text(theirs)
    exporter.build("distilbert", **build)
    assert card.read_text("utf-8") == theirs
    assert exporter.verify(target).passed
