from __future__ import annotations

from types import SimpleNamespace

import pytest

from exporter.drafting.matching import evaluates, fitting_expressions, value_of


@pytest.fixture
def config() -> SimpleNamespace:
    return SimpleNamespace(hidden_size=80, num_heads=8, num_kv_heads=4, sizes=[8, 12, 16], pad_token_id=12, kind="a")


def test_what_other_specs_say_comes_first(config: SimpleNamespace):
    known = ["config.missing", "config.num_heads // 2", "config.num_heads"]
    assert fitting_expressions("kv_heads", 4, config, known)[:2] == ["config.num_heads // 2", "config.num_kv_heads"]


def test_a_share_of_a_width_is_matched(config: SimpleNamespace):
    assert "config.hidden_size // config.num_heads" in fitting_expressions("head_dim", 10, config, [])


def test_ids_are_no_sizes_and_the_last_of_a_list_is_one(config: SimpleNamespace):
    assert fitting_expressions("hidden", 16, config, [])[0] == "config.sizes | last"
    assert "config.pad_token_id" not in fitting_expressions("hidden", 12, config, [])


def test_likely_names_come_first():
    config = SimpleNamespace(a_size=7, head_size=7)
    assert fitting_expressions("head_dim", 7, config, [])[0] == "config.head_size"


@pytest.mark.parametrize(
    ("text", "value"),
    [("config.hidden_size / 3", None), ("config.none", None), ("hidden", None), ("config.kind", None)],
)
def test_what_gives_no_whole_number_gives_none(text: str, value: None, config: SimpleNamespace):
    assert value_of(text, config) is value


def test_dims_over_other_dims_are_not_looked_into(config: SimpleNamespace):
    assert evaluates({"rows": "config.num_heads", "cells": "rows * config.missing", "all": {"derived": "x"}}, config)
    assert not evaluates({"rows": "config.missing"}, config)
