"""Configs without transformers: they have the values that transformers' configs have, or say that they cannot."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import pytest
import transformers

from exporter.building.preparing import foresee
from exporter.building.request import choose_task, plan_config
from exporter.errors import ExporterError
from exporter.language.catalog import list_specs
from exporter.language.loading import load_spec
from exporter.language.spec import Spec, overlay_config
from exporter.models import config_library, told_config
from exporter.models.config_classes import ConfigClass
from exporter.models.config_library import find_config_class
from exporter.models.configs import make_config, quiet_libraries
from exporter.models.told_config import ToldConfig, UntoldError
from exporter.planning.choices import Choice
from exporter.planning.options import Options
from exporter.planning.plan import Plan

ARCHITECTURES = [path.stem for path in list_specs()]
# What no class tells: the kind of frequencies that its code gives another name.
UNTOLD = {("phi3", 3)}
# Values of another form than JSON has them in, which no spec reads.
OTHER_FORM = {"dtype", "id2label", "label2id", "layer_types"}


def forms(spec: Spec) -> Iterator[tuple[int | None, Spec]]:
    for number in (None, *range(1, len(spec.variants) + 1)):
        yield number, spec.with_variant(number)


@pytest.fixture(params=["installed", "kept"])
def source(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where config classes are from: the installed transformers, or what the catalogue keeps."""
    if request.param == "kept":
        for module in (config_library, told_config):
            monkeypatch.setattr(module, "library_directory", lambda: None)
    return str(request.param)


def outcome(make: Callable[[], Plan]) -> Plan | tuple[type, str]:
    """Return a plan, or how it is refused."""
    try:
        return make()
    except ExporterError as error:
        return type(error), error.message


def foreseen_plan(choice: Choice) -> Plan:
    return foresee(choice, None).plan


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_plan_in_a_moment_is_the_plan_of_a_build(architecture: str, source: str) -> None:
    """Every task of every architecture, for its reference; and for each of its variants, where transformers is."""
    for number, spec in forms(load_spec(architecture)):
        if number is not None and source == "kept":
            return
        for task in spec.tasks.values():
            choice = choose_task(spec, task, Options(variant=number))
            values = overlay_config(spec.reference, task.reference_config, task.config)
            if (architecture, number) in UNTOLD:
                with pytest.raises(UntoldError):
                    foresee(choice, None)
                continue
            options = Options(variant=number)
            plan = outcome(partial(plan_config, spec, task, make_config(architecture, values), options))
            assert outcome(partial(foreseen_plan, choice)) == plan, (number, task.name)


def drawn_values(kind: ConfigClass, draw: random.Random) -> dict[str, Any]:
    """Return some values of a config, under their own names and others they have had."""
    fixed = {*OTHER_FORM, "transformers_version", "architectures", "problem_type", "rope_parameters"}
    names = [name for name in kind.fields if name not in fixed]
    values: dict[str, Any] = {}
    for name in draw.sample(names, min(len(names), draw.randint(0, 5))):
        match kind.fields[name]:
            case bool(usual):
                values[name] = not usual
            case int(usual):
                values[name] = draw.choice([usual * 2, usual, 0, None])
            case float():
                values[name] = 0.5
            case None:
                values[name] = draw.choice([None, 4, 8])
    values |= dict.fromkeys(draw.sample(sorted(kind.aliases), min(1, len(kind.aliases))), 24)
    values |= dict.fromkeys(draw.sample(sorted(kind.renamed), min(1, len(kind.renamed))), 48)
    more: list[tuple[str, Any]] = [("num_labels", draw.randint(1, 5)), ("id2label", {"0": "a", "1": "b"}), ("other", 3)]
    if kind.rope:
        more.append(("rope_scaling", {"type": "linear", "factor": 2.0}))
    return values | {name: value for name, value in more if draw.random() < 0.3}


def differences(told: ToldConfig, real: Any, path: str = "config") -> Iterator[str]:
    """Yield where a told config has another value than transformers' config of the same data."""
    kind = told._kind
    names = {*kind.fields, *kind.rules, *kind.aliases, *kind.parts, *told._values, "num_labels", "never_heard_of"}
    for name in sorted(names - OTHER_FORM):
        try:
            value = getattr(told, name, None)
        except UntoldError:
            continue
        actual = getattr(real, name, None)
        if isinstance(value, ToldConfig):
            assert isinstance(actual, transformers.PreTrainedConfig)
            yield from differences(value, actual, f"{path}.{name}")
        elif isinstance(value, Mapping) and name == "rope_parameters":
            kinds = {
                key: entry["rope_type"]
                for key, entry in {**value, "": value}.items()
                if isinstance(entry, dict) and "rope_type" in entry
            }
            for key, rope in kinds.items():
                if (actual[key] if key else actual)["rope_type"] != rope:
                    yield f"{path}.{name}.{key}: {rope!r} told, {actual!r} in fact"
        elif json.dumps(value, default=str) != json.dumps(actual, default=str):
            yield f"{path}.{name}: {value!r} told, {actual!r} in fact"


def check(architecture: str, count: int, draw: random.Random) -> int:
    found = find_config_class(architecture)
    if found is None:
        return 0
    compared = 0
    for values in ({}, *(drawn_values(found[0], draw) for _ in range(count))):
        copy = json.loads(json.dumps(values))
        try:
            with quiet_libraries():
                real = transformers.CONFIG_MAPPING[architecture](**copy)
        except Exception:  # values that transformers refuses, however it does
            continue
        told = told_config.told_config(architecture, values)
        assert list(differences(told, real)) == [], (architecture, values)
        compared += 1
    return compared


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_told_values_are_those_of_transformers(architecture: str) -> None:
    assert check(architecture, 12, random.Random(architecture)) >= 2


@pytest.mark.exhaustive
def test_told_values_of_every_architecture_are_those_of_transformers() -> None:
    draw, failed, compared = random.Random(0), [], 0
    for architecture in transformers.CONFIG_MAPPING:
        try:
            compared += check(architecture, 6, draw)
        except AssertionError as error:
            failed.append(str(error).splitlines()[0])
    assert failed == []
    assert compared > 1_000


def test_what_is_not_told_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UntoldError, match="the config of 'never-heard-of' follows from code") as refusal:
        told_config.told_config("never-heard-of", {})
    assert refusal.value.exit_code == 2
    assert "imports transformers" in str(refusal.value.help)
    monkeypatch.setattr(told_config, "library_directory", lambda: None)
    with pytest.raises(UntoldError) as refusal:
        told_config.told_config("bert", {"auto_map": {}})
    assert "install" in str(refusal.value.help)


def test_values_laid_over_a_config_are_set_last() -> None:
    config = told_config.told_config("gpt2", {"n_head": 3, "num_attention_heads": 4}, {"n_layer": 2})
    assert (config.n_head, config.num_attention_heads, config.n_layer, config.num_hidden_layers) == (4, 4, 2, 2)
    with pytest.raises(AttributeError):
        _ = config.never_heard_of
    with pytest.raises(UntoldError):
        _ = config.to_dict


def test_a_condition_on_what_is_not_told_is_no_condition() -> None:
    """An expression does not take what nobody knows for what is not there."""
    spec = load_spec("phi3").with_variant(3)
    task = next(iter(spec.tasks.values()))
    with pytest.raises(ExporterError, match="rotary frequencies"):
        foresee(choose_task(spec, task, Options()), None)
