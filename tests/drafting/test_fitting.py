from __future__ import annotations

import pytest

from exporter.drafting.draft import Draft
from exporter.drafting.fitting import Unfit, compose, fit
from exporter.drafting.kin import all_kin
from exporter.drafting.small import schemes, small_values
from exporter.drafting.subject import find_subject


def fitted(architecture: str, family: str, *tasks: str):
    subject = find_subject(architecture)
    kin = next(each for each in all_kin(architecture) if each.name == family)
    return fit(subject, kin, {}, tasks, small_values(subject.config, schemes()[0]))


def test_a_dim_that_the_config_lacks_is_bound_as_other_specs_bind_it():
    made = fitted("gpt2", "decoder", "text-generation-with-past")
    assert made.draft.parts["dims"] == {"kv_heads": "config.n_head"}
    assert made.left_out == {}


def test_an_argument_that_the_model_does_not_take_is_withdrawn():
    made = fitted("bloom", "decoder", "text-generation")
    assert made.draft.parts["arguments"] == {"position_ids": None}


def test_token_types_become_an_input_where_the_model_takes_them():
    made = fitted("bert", "encoder", "fill-mask")
    assert made.draft.parts["dims"] == {"type_vocab": "config.type_vocab_size"}


def test_a_dim_of_another_size_is_matched_to_the_config():
    made = fitted("opt", "decoder", "feature-extraction")
    assert made.draft.parts["dims"]["hidden"] == "config.word_embed_proj_dim"


def test_a_task_that_does_not_fit_leaves_nothing_behind():
    made = fitted("bert", "decoder", "feature-extraction", "text-generation-with-past")
    assert list(made.draft.tasks) == ["feature-extraction"]
    assert "returns no 'past_key_values.0.key'" in made.left_out["text-generation-with-past"]


def test_what_is_no_spec_is_unfit():
    with pytest.raises(Unfit):
        compose(Draft("some-model", "no-family"))


def test_a_cache_with_windows_is_given_as_a_family_gives_it():
    made = fitted("gemma2", "decoder", "text-generation-with-past")
    assert made.left_out == {}
    assert made.draft.parts["reference"]["config"]["sliding_window"] < 6


def test_a_dim_of_which_nothing_is_known_is_measured():
    made = fitted("yolos", "detection", "object-detection")
    assert made.draft.parts["dims"]["queries"] == "config.num_detection_tokens"
