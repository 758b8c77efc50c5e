from __future__ import annotations

from exporter.drafting.draft import Draft
from exporter.drafting.subject import find_subject
from exporter.drafting.varying import add_variants

CONFIG = {
    "dim": 32,
    "n_layers": 1,
    "n_heads": 4,
    "hidden_dim": 37,
    "max_position_embeddings": 64,
    "vocab_size": 99,
    "num_labels": 7,
}


def varied(architecture: str, family: str, task: str, config: dict[str, object]) -> list[dict[str, object]]:
    draft = Draft(architecture, family, {"tasks": {task: {}}, "reference": {"config": config}})
    add_variants(draft, find_subject(architecture), lambda _: None)
    variants: list[dict[str, object]] = draft.parts["reference"].get("variants", [])
    return variants


def test_switches_that_go_together_are_one_variant():
    (variant,) = varied("distilbert", "encoder", "fill-mask", CONFIG)
    assert variant == {"activation": "relu", "tie_word_embeddings": False}


def test_a_switch_that_changes_nothing_is_no_variant():
    (variant,) = varied("distilbert", "encoder", "text-classification", CONFIG)
    # It says how positions are initialised, and no weight and no result of a given weight is another.
    assert "sinusoidal_pos_embds" not in variant


def test_a_draft_that_holds_for_no_switch_has_no_variants():
    # The model takes no positions, which the draft does not say.
    config: dict[str, object] = {"hidden_size": 60, "n_layer": 2, "n_head": 3, "vocab_size": 99}
    assert varied("bloom", "decoder", "text-generation", config) == []
