"""What files beside a graph say of its use, and that odd ones are passed over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from exporter.artifacts.facts import Facts, Picture, Sound, read_facts


def facts_of(folder: Path, **files: Any) -> Facts:
    for name, data in files.items():
        (folder / f"{name}.json").write_text(data if isinstance(data, str) else json.dumps(data), "utf-8")
    return read_facts(folder)


def test_labels_stand_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    assert facts_of(tmp_path, config={"id2label": {"1": "b", "0": "a", "2": "c"}}).labels == ("a", "b", "c")


@pytest.mark.parametrize("labels", [["a"], {"0": "a", "2": "b"}, {"0": 5}, {"x": "a"}, None, "a"])
def test_labels_that_are_none_are_passed_over(labels: Any, tmp_path: Path) -> None:
    assert facts_of(tmp_path, config={"id2label": labels}).labels == ()


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        ({"problem_type": "multi_label_classification", "id2label": {"0": "a", "1": "b"}}, "several"),
        ({"problem_type": "regression", "id2label": {"0": "a", "1": "b"}}, "number"),
        ({"id2label": {"0": "a"}}, "number"),
        ({"id2label": {"0": "a", "1": "b"}}, "one"),
        ({}, "one"),
    ],
)
def test_scores_are_read_in_the_way_the_config_says(config: dict[str, Any], kind: str, tmp_path: Path) -> None:
    assert facts_of(tmp_path, config=config).kind == kind


@pytest.mark.parametrize(
    ("files", "start", "stop"),
    [
        ({}, (0,), ()),
        ({"config": {"decoder_start_token_id": 6, "eos_token_id": 2}}, (6,), (2,)),
        (
            {"config": {"decoder_start_token_id": 6}, "generation_config": {"decoder_start_token_id": 5}},
            (5,),
            (),
        ),
        ({"generation_config": {"eos_token_id": [3, 4]}, "config": {"eos_token_id": 2}}, (0,), (3, 4)),
        ({"generation_config": {"decoder_start_token_id": 2, "forced_bos_token_id": 9}}, (2, 9), ()),
        (
            {
                "generation_config": {
                    "decoder_start_token_id": 7,
                    "lang_to_id": {"<|en|>": 8},
                    "task_to_id": {"transcribe": 9},
                    "no_timestamps_token_id": 10,
                }
            },
            (7, 8, 9, 10),
            (),
        ),
        ({"generation_config": {"decoder_start_token_id": 7, "no_timestamps_token_id": 10}}, (7, 10), ()),
        ({"config": {"decoder_start_token_id": True, "eos_token_id": "2"}}, (0,), ()),
        ({"config": {"decoder_start_token_id": -1, "eos_token_id": [None]}}, (0,), ()),
        ({"generation_config": {"lang_to_id": {}, "task_to_id": {}}}, (0,), ()),
    ],
)
def test_a_text_starts_and_ends_as_the_files_say(
    files: dict[str, Any], start: tuple[int, ...], stop: tuple[int, ...], tmp_path: Path
) -> None:
    facts = facts_of(tmp_path, **files)
    assert (facts.start, facts.stop) == (start, stop)


@pytest.mark.parametrize(
    ("settings", "size"),
    [
        ({"size": {"height": 30, "width": 40}}, (30, 40)),
        ({"size": 32}, (32, 32)),
        ({"size": {"shortest_edge": 256}}, (256, 256)),
        (
            {"size": {"shortest_edge": 256}, "do_center_crop": True, "crop_size": {"height": 224, "width": 224}},
            (224,) * 2,
        ),
        ({"size": {"height": 30, "width": 40}, "do_resize": False}, None),
        ({"size": "large"}, None),
        ({}, None),
    ],
)
def test_a_processor_of_pictures_says_what_size_it_makes(settings: dict[str, Any], size: Any, tmp_path: Path) -> None:
    made = facts_of(tmp_path, preprocessor_config={"image_processor_type": "ViTImageProcessor", **settings})
    assert made.picture == Picture(size, ("scaled",) if settings.get("do_resize") else made.picture.steps)


def test_a_processor_of_several_kinds_has_parts(tmp_path: Path) -> None:
    parts = {
        "image_processor": {"image_processor_type": "CLIPImageProcessor", "size": 32},
        "feature_extractor": {"feature_extractor_type": "X", "sampling_rate": 16000, "feature_size": 80},
    }
    facts = facts_of(tmp_path, processor_config={"processor_class": "CLIPProcessor", **parts})
    assert facts.picture == Picture((32, 32), ())
    assert facts.sound == Sound(16000, 80, None)


@pytest.mark.parametrize("rate", [0, -1, 10**9, "16000", None, True])
def test_a_rate_that_is_none_makes_no_sound(rate: Any, tmp_path: Path) -> None:
    settings = {"feature_extractor_type": "X", "sampling_rate": rate}
    assert facts_of(tmp_path, preprocessor_config=settings).sound is None


def test_processors_with_code_of_their_own_are_not_called(tmp_path: Path) -> None:
    settings = {"image_processor_type": "X", "auto_map": {"AutoImageProcessor": "x.X"}}
    assert facts_of(tmp_path, preprocessor_config=settings).picture is None


@pytest.mark.parametrize("text", ["", "[]", "null", "{", "﻿{}", '{"a": NaN}', "[" * 100_000])
def test_files_that_are_no_mappings_say_nothing(text: str, tmp_path: Path) -> None:
    assert facts_of(tmp_path, config=text, generation_config=text, preprocessor_config=text) == Facts()
