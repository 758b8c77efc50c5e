from __future__ import annotations

import pytest

from exporter.drafting.choosing import candidates, choose_fit, fit_family, offered_tasks
from exporter.drafting.draft import Draft
from exporter.drafting.fitting import Fit
from exporter.drafting.kin import all_kin
from exporter.drafting.subject import find_subject
from exporter.errors import UsageError


def never(question: str, choices: list[str], option: str) -> str:
    raise AssertionError(question)


def test_candidates_are_families_whose_inputs_the_model_takes():
    names = [kin.name for kin in candidates(find_subject("bert"), all_kin("bert"))]
    assert {"encoder", "decoder"} <= set(names)
    assert not {"audio", "encoder-decoder", "image"} & set(names)


def test_tasks_without_a_class_are_not_offered():
    subject = find_subject("granite")
    kin = next(each for each in all_kin("granite") if each.name == "decoder")
    assert "text-classification" not in list(offered_tasks(subject, kin))


@pytest.mark.parametrize(("architecture", "family"), [("llama", "decoder"), ("bert", "encoder")])
def test_the_family_that_serves_most_tasks_is_chosen(architecture: str, family: str):
    subject = find_subject(architecture)
    fits = {}
    for kin in all_kin(architecture):
        if kin.name in ("encoder", "decoder"):
            made = fit_family(subject, kin, offered_tasks(subject, kin), lambda _: None)
            assert made is not None
            fits[kin.name] = made
    assert choose_fit(subject, fits, never).draft.family == family


def test_two_families_that_serve_as_many_tasks_are_a_question():
    fits = {name: Fit(Draft("bert", name, {"tasks": {"fill-mask": {}}})) for name in ("encoder", "decoder")}
    asked = []

    def ask(question: str, choices: list[str], option: str) -> str:
        asked.append((choices, option))
        return choices[1]

    assert choose_fit(find_subject("bert"), fits, ask) is fits["decoder"]
    assert asked == [(["encoder", "decoder"], "--family")]


def test_no_family_is_an_error():
    with pytest.raises(UsageError, match="no family of the catalogue fits 'bert'"):
        choose_fit(find_subject("bert"), {}, never)


def test_sides_that_cannot_differ_get_one_name():
    subject = find_subject("siglip_vision_model")
    kin = next(each for each in all_kin("siglip_vision_model") if each.name == "image")
    made = fit_family(subject, kin, ["feature-extraction"], lambda _: None)
    assert made is not None
    assert made.draft.parts["inputs"] == {"pixel_values": "float[batch, channels, height, height] = randn"}
    assert made.draft.parts["dims"] == {"tokens": "patches"}
