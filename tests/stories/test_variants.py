"""Specs on configs other than their references: declared variants, and sizes nobody chose.

A default run draws one config for each architecture; ``pytest -m exhaustive`` draws more, and builds every task of
every variant.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import exporter
from exporter.building.pool import Outcome
from exporter.building.requests import Build, plan_builds
from exporter.errors import UsageError
from exporter.language.catalog import list_specs
from exporter.language.loading import load_spec
from exporter.language.spec import Spec, overlay_config

SPECS = {path.stem: load_spec(path) for path in list_specs()}
# Sizes that can grow without a word to any other: how many rows a table has, never what must divide what.
GROWING = ("vocab_size", "num_labels", "max_position_embeddings", "n_positions", "num_queries")


@st.composite
def configs(draw: st.DrawFn, spec: Spec) -> dict[str, Any]:
    """Draw a config the spec must hold for: the reference or a variant, with larger tables."""
    config = draw(
        st.sampled_from([spec.reference, *(spec.with_variant(at + 1).reference for at in range(len(spec.variants)))])
    )
    larger = {
        key: value + draw(st.integers(1, 30), label=key) for key in GROWING if isinstance(value := config.get(key), int)
    }
    return overlay_config(config, larger)


def build_checkpoint(
    architecture: str, config: dict[str, Any], task: str, folder: Path, build_one: Callable[[Build], Outcome]
) -> None:
    """Save a model of a config as a checkpoint and build that, as a user would."""
    from exporter.models.references import save_reference

    spec = dataclasses.replace(SPECS[architecture], reference=config)
    try:
        plan = exporter.plan(spec, task)
    except UsageError:
        return  # the task is not offered for this config, and the message says why
    save_reference(plan, folder / "checkpoint")
    asked = {"model": str(folder / "checkpoint"), "tasks": (task,), "output": folder / "artifact"}
    (build,) = plan_builds([architecture], asked)
    outcome = build_one(build)
    assert outcome.error is None, f"{architecture} {task} on {config}: {outcome.error.message}"
    assert outcome.report is not None
    assert outcome.report.passed


@pytest.mark.parametrize("architecture", SPECS)
def test_a_second_config_builds_and_verifies(architecture: str, build_one, tmp_path_factory):
    spec = SPECS[architecture]

    @settings(max_examples=1, suppress_health_check=list(HealthCheck))
    @given(configs(spec), st.sampled_from(sorted(spec.tasks)))
    def check(config: dict[str, Any], task: str) -> None:
        build_checkpoint(architecture, config, task, tmp_path_factory.mktemp(architecture), build_one)

    check()


@pytest.mark.exhaustive
@pytest.mark.parametrize("architecture", SPECS)
def test_many_configs_build_and_verify(architecture: str, build_one, tmp_path_factory):
    spec = SPECS[architecture]

    @settings(max_examples=12, suppress_health_check=list(HealthCheck))
    @given(configs(spec), st.sampled_from(sorted(spec.tasks)))
    def check(config: dict[str, Any], task: str) -> None:
        build_checkpoint(architecture, config, task, tmp_path_factory.mktemp(architecture), build_one)

    check()


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("architecture", "task", "config"),
    [
        ("falcon", "text-generation-with-past", {"alibi": True}),
        ("gemma3_text", "feature-extraction", {"use_bidirectional_attention": True}),
    ],
)
def test_what_one_tracer_is_refused_for_the_other_builds(architecture, task, config, build_one, tmp_path: Path):
    from exporter.models.references import save_reference

    spec = dataclasses.replace(SPECS[architecture], reference=overlay_config(SPECS[architecture].reference, config))
    with pytest.raises(UsageError) as refusal:
        exporter.plan(spec, task)
    assert "--tracer dynamo" in refusal.value.message
    save_reference(exporter.plan(spec, task, tracer="dynamo"), tmp_path / "checkpoint")
    model, output = str(tmp_path / "checkpoint"), tmp_path / "artifact"
    asked = {"model": model, "tasks": (task,), "output": output, "tracer": "dynamo"}
    (build,) = plan_builds([architecture], asked)
    outcome = build_one(build)
    assert outcome.error is None, outcome.error.message
    assert outcome.report is not None
    assert outcome.report.passed


def variants() -> list[Any]:
    return [
        pytest.param(name, number + 1, task, id=f"{name}/{number + 1}/{task}")
        for name, spec in SPECS.items()
        for number in range(len(spec.variants))
        for task in spec.tasks
    ]


@pytest.mark.exhaustive
@pytest.mark.parametrize(("architecture", "number", "task"), variants())
def test_every_variant_builds_and_verifies(architecture: str, number: int, task: str, build_one, tmp_path: Path):
    try:
        exporter.plan(architecture, task, variant=number)
    except UsageError:
        return  # the task is not offered for this config, and the message says why
    output = tmp_path / "artifact"
    (build,) = plan_builds([architecture], {"tasks": (task,), "output": output, "variant": number})
    outcome = build_one(build)
    assert outcome.error is None, outcome.error.message
