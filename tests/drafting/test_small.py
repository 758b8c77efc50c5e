from __future__ import annotations

from typing import ClassVar

import pytest
from transformers import CONFIG_MAPPING

from exporter.drafting.small import schemes, small_values


class Config:
    """A config as transformers has them: its values are its attributes."""

    attribute_map: ClassVar[dict[str, str]] = {"hidden_size": "width", "num_hidden_layers": "n_layer"}

    def __init__(self, **values: object) -> None:
        vars(self).update(values)


def test_a_key_is_known_by_the_name_that_other_configs_have_for_it():
    small = small_values(Config(width=4096, n_layer=32, vocab_size=50_000), schemes()[0])
    assert small == {"width": 80, "n_layer": 3, "vocab_size": 99}


def test_what_is_small_already_stays():
    assert small_values(Config(width=16, n_layer=2), schemes()[0]) == {}


def test_every_kind_of_layer_occurs_once_and_then_the_first_again():
    kinds = ["window", "window", "full", "window", "window", "state"]
    small = small_values(Config(n_layer=6, layer_types=kinds), schemes()[0])
    assert small == {"n_layer": 4, "layer_types": ["window", "full", "state", "window"]}


def test_layers_of_one_kind_are_not_listed():
    assert small_values(Config(n_layer=6, layer_types=["full"] * 6), schemes()[0]) == {"n_layer": 3}


def test_kinds_are_told_by_all_lists_together():
    lists = {"layer_types": ["a", "a", "b", "b"], "mlp_types": ["dense", "sparse", "sparse", "sparse"]}
    small = small_values(Config(n_layer=4, **lists), schemes()[0])
    assert small["layer_types"] == ["a", "a", "b", "a"]
    assert small["mlp_types"] == ["dense", "sparse", "sparse", "dense"]


def test_special_tokens_are_inside_the_vocabulary():
    small = small_values(
        Config(vocab_size=32_000, pad_token_id=None, bos_token_id=31_000, eos_token_id=2), schemes()[0]
    )
    assert small["pad_token_id"] == 98
    assert small["bos_token_id"] == 97
    assert "eos_token_id" not in small


def test_experts_get_sizes_that_their_products_take():
    small = small_values(
        Config(width=64, intermediate_size=4096, num_experts=64, moe_intermediate_size=512), schemes()[0]
    )
    assert small["intermediate_size"] % 4 == small["moe_intermediate_size"] % 4 == 0


@pytest.mark.parametrize("scheme", schemes())
def test_parts_of_a_config_have_widths_of_their_own(scheme):
    small = small_values(CONFIG_MAPPING["clip"](), scheme)
    assert small["text_config"]["hidden_size"] != small["vision_config"]["hidden_size"]


def test_stages_stay_as_many_as_there_are_and_in_proportion():
    config = Config(hidden_sizes=[32, 64, 160, 256], num_heads=[1, 2, 5, 8], depths=[2, 3, 6, 2], num_encoder_blocks=4)
    small = small_values(config, schemes()[0])
    assert small == {"hidden_sizes": [8, 16, 40, 64], "depths": [1, 2, 1, 2]}


def test_images_have_two_sides_first():
    assert small_values(Config(image_size=224), schemes()[0]) == {"image_size": [24, 36]}
    assert small_values(Config(image_size=224), schemes()[-1]) == {"image_size": 30}
