"""The front matter of a card: what is kept of a checkpoint's own card, and what a hostile one cannot do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard

import exporter
from exporter.artifacts.front_matter import NO_CARD, TheirCard, base_models, front_matter, read_their_card

LOCAL: dict[str, Any] = {"name": "mine", "commit": None, "adapter": None}
HUB: dict[str, Any] = {"name": "somebody/model", "commit": "0" * 40, "adapter": None}


def read(tmp_path: Path, content: str | bytes) -> TheirCard:
    path = tmp_path / "README.checkpoint.md"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_their_card(path)


def front(theirs: TheirCard, source: dict[str, Any], task: str = "text-classification", **options: Any) -> dict:
    text = front_matter(exporter.plan("distilbert", task, **options), source, theirs, (None, "onnx"))
    card = ModelCard(f"{text}\n\n# Text\n")
    data = yaml.safe_load(text.removeprefix("---\n").removesuffix("---"))
    # What the Hub's library reads is what stands there: nothing ends the front matter early.
    assert card.text.strip() == "# Text"
    assert {name for name, value in card.data.to_dict().items() if value is not None} == set(data)
    return data


def test_what_a_card_says_of_its_model_is_kept(tmp_path: Path) -> None:
    theirs = read(
        tmp_path,
        """---
license: other
license_name: my-license
license_link: LICENSE
language: [en, de]
base_model: other/base
pipeline_tag: zero-shot-classification
library_name: transformers
datasets: [glue, somebody/data]
tags: [legal, "license:other"]
model-index: [{name: x, results: []}]
---
# Mine
""",
    )
    data = front(theirs, LOCAL)
    assert data == {
        "license": "other",
        "license_name": "my-license",
        "license_link": "LICENSE",
        "language": ["en", "de"],
        "datasets": ["glue", "somebody/data"],
        "base_model": "other/base",
        "pipeline_tag": "zero-shot-classification",
        "library_name": "transformers",
        "tags": ["onnx", "distilbert", "text-classification", "legal", "license:other"],
    }
    assert front(theirs, HUB)["base_model"] == "somebody/model", "where it is from is known better than it says"


def test_without_a_card_ours_says_what_is_known() -> None:
    assert front(NO_CARD, LOCAL) == {
        "pipeline_tag": "text-classification",
        "library_name": "onnx",
        "tags": ["onnx", "distilbert", "text-classification"],
    }


def test_a_pipeline_of_another_task_is_not_kept() -> None:
    theirs = TheirCard({"pipeline_tag": "fill-mask"})
    assert front(theirs, LOCAL)["pipeline_tag"] == "text-classification"
    vision = front_matter(exporter.plan("vit", "feature-extraction"), LOCAL, NO_CARD, (None, "onnx"))
    assert 'pipeline_tag: "image-feature-extraction"' in vision
    segments = front_matter(exporter.plan("segformer", "semantic-segmentation"), LOCAL, NO_CARD, (None, "onnx"))
    assert 'pipeline_tag: "image-segmentation"' in segments
    assert "pipeline_tag" not in front_matter(exporter.plan("vit", "masked-im"), LOCAL, NO_CARD, (None, "onnx"))


@pytest.mark.parametrize(
    "content",
    [
        b"---\nlicense: mit\n",  # nothing ends it
        b"---\nlicense: &a mit\nlicense_name: *a\n---\n",
        b"---\nlicense: !!python/object/apply:os.system [ls]\n---\n",
        b"---\n- a list\n---\n",
        b"---\nlicense: [\n---\n",
        b"---\nlicense: m\x00it\n---\n",
        b"---\n" + b"a: [" * 1000 + b"\n---\n",
        b"---\n" + b"x: " + b"y" * (1 << 20) + b"\n---\n",
        b"---\n\xff\xfe\x00\x01: \n---\n",
    ],
)
def test_front_matter_that_cannot_be_read_is_told(content: bytes, tmp_path: Path) -> None:
    theirs = read(tmp_path, content)
    assert theirs.unreadable
    assert front(theirs, LOCAL) == front(NO_CARD, LOCAL)


@pytest.mark.parametrize(
    "content", [b"", b"# Only text\n", b"\x89PNG\r\n", b"----\nlicense: mit\n----\n", b"---\n---\n"]
)
def test_a_card_without_front_matter_says_nothing(content: bytes, tmp_path: Path) -> None:
    assert not read(tmp_path, content).values


@pytest.mark.parametrize(
    "content", ["﻿---\nlicense: mit\n---\n", "---\r\nlicense: mit\r\n---\r\n", "---  \nlicense: mit\n---"]
)
def test_a_byte_order_mark_and_the_lines_of_windows_do_no_harm(content: str, tmp_path: Path) -> None:
    assert read(tmp_path, content).values == {"license": "mit"}


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ('license: "mit\\n---\\n<script>"', "license"),
        ('license: "mit\\nextra_gated_prompt: yes"', "license"),
        ("license: {mit: yes}", "license"),
        ("license: " + "m" * 65, "license"),
        ("license_link: javascript:alert(1)", "license_link"),
        ("license_link: ../../etc/passwd", "license_link"),
        ("license_link: 'https://example.org/) [x](y'", "license_link"),
        ("base_model: ../other", "base_model"),
        ("base_model: 7", "base_model"),
        ("language: ['<b>', 5, {a: b}]", "language"),
        ('tags: ["a\\u202eb", "<img src=x>", "", "x\\"y"]', "tags"),
        ("pipeline_tag: [a, b]", "pipeline_tag"),
    ],
)
def test_a_value_that_is_no_plain_word_is_dropped(line: str, name: str, tmp_path: Path) -> None:
    assert name not in read(tmp_path, f"---\n{line}\n---\n").values


def test_norwegian_is_a_language_and_no_refusal(tmp_path: Path) -> None:
    assert front(read(tmp_path, "---\nlanguage: no\n---\n"), LOCAL)["language"] == "no"


def test_a_thousand_tags_are_cut(tmp_path: Path) -> None:
    tags = "".join(f"- tag{number}\n" for number in range(1000))
    assert len(read(tmp_path, f"---\ntags:\n{tags}---\n").values["tags"]) == 40


def test_an_adapter_is_made_of_two_models() -> None:
    adapter = {"name": "me/adapter", "commit": "1" * 40, "method": "LORA", "base": "a/base", "base_commit": "2" * 40}
    source = {"name": "me/adapter", "commit": "2" * 40, "adapter": adapter}
    assert base_models(source) == ("me/adapter", "a/base")
    assert base_models({**source, "adapter": {**adapter, "commit": None}}) == ("a/base",)
    assert base_models(LOCAL) == ()


def test_no_card_is_no_error(tmp_path: Path) -> None:
    assert read_their_card(tmp_path / "none") == NO_CARD
    assert read_their_card(tmp_path) == NO_CARD
