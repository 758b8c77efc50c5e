"""Settings of a run in a config: taken out, and said where they would have mattered."""

from __future__ import annotations

from typing import Any

import pytest

from exporter.models.configs import make_config
from exporter.models.run_time_flags import flag_remarks, without_flags

CONFIG = {"model_type": "my-model", "hidden_size": 24}


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("output_hidden_states", True),
        ("output_attentions", True),
        ("return_dict", False),
        ("use_return_dict", False),
        ("torchscript", True),
        ("use_cache", False),
        ("attn_implementation", "flash_attention_2"),
        ("_attn_implementation", "flash_attention_2"),
        ("chunk_size_feed_forward", 3),
    ],
)
def test_a_flag_is_taken_out_and_said(flag: str, value: Any) -> None:
    usual = make_config("bert", {})
    config = {**CONFIG, flag: value}
    assert without_flags(config) == CONFIG
    (remark,) = flag_remarks(config, usual)
    assert f"'{flag}' in config.json is {value!r}" in remark
    assert ("--output" in remark) == flag.startswith("output_")


def test_a_flag_inside_the_config_of_a_part_is_taken_out_once() -> None:
    config = {"text_config": {"output_attentions": True, "id2label": {"0": "use_cache"}}, "output_attentions": True}
    assert without_flags(config) == {"text_config": {"id2label": {"0": "use_cache"}}}
    assert len(list(flag_remarks(config, make_config("bert", {})))) == 1


@pytest.mark.parametrize(
    ("flag", "value"),
    [("use_cache", True), ("return_dict", True), ("torchscript", False), ("output_attentions", False)],
)
def test_what_a_model_has_anyway_is_not_said(flag: str, value: Any) -> None:
    assert not list(flag_remarks({**CONFIG, flag: value}, make_config("bert", {})))


def test_a_flag_that_a_config_does_not_know_is_usual_where_models_do_it_anyway() -> None:
    assert not list(flag_remarks({"decoder": {"use_cache": True}}, object()))


def test_labels_keep_the_names_of_flags() -> None:
    labels = {"id2label": {"0": "a"}, "label2id": {"use_cache": 0}, "task_specific_params": {"x": {"use_cache": False}}}
    assert without_flags(labels) == labels
