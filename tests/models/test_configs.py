"""Configs and classes of transformers, and what is said where there is none."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import transformers
from transformers.utils import logging

import exporter
from exporter.errors import CheckpointError, ExportError, UsageError
from exporter.models.checkpoints import Checkpoint
from exporter.models.configs import (
    config_class,
    config_names,
    find_class,
    load_config,
    make_config,
    quiet_libraries,
)
from exporter.planning.plan import Plan

# Errors that say nothing: a bare one, and one whose text is only newlines.
SILENT = [AssertionError(), ValueError("\n\n")]


def save_config(folder: Path, **values: Any) -> Checkpoint:
    (folder / "config.json").write_text(json.dumps(values), "utf-8")
    return Checkpoint(folder, "mine", ("model.safetensors",))


def plan_with(**model: Any) -> Plan:
    plan = exporter.plan("bert", "fill-mask")
    return replace(plan, model=replace(plan.model, **model))


def test_libraries_are_quiet_and_then_as_they_were() -> None:
    level = logging.get_verbosity()
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        with quiet_libraries():
            warnings.warn("advice", stacklevel=1)
            assert logging.get_verbosity() == logging.ERROR
        assert not heard
        warnings.warn("ours", stacklevel=1)
    assert [str(warning.message) for warning in heard] == ["ours"]
    assert logging.get_verbosity() == level


def test_an_architecture_has_one_config_class() -> None:
    assert config_names()["bert"] == config_class("bert").__name__ == "BertConfig"


def test_values_are_laid_over_the_defaults() -> None:
    config = make_config("bert", {"hidden_size": 24})
    assert (config.hidden_size, config.model_type) == (24, "bert")
    assert config.num_hidden_layers == transformers.BertConfig().num_hidden_layers


def test_an_unknown_architecture_is_told_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="has no architecture 'distilbret'") as refusal:
        make_config("distilbret", {})
    assert refusal.value.help == "did you mean 'distilbert'?"


def test_a_refused_value_is_told() -> None:
    with pytest.raises(CheckpointError, match=r"transformers refuses the config of 'bert': .*hidden_size"):
        make_config("bert", {"hidden_size": "wide"})


@pytest.mark.parametrize("error", SILENT, ids=repr)
def test_errors_without_text_are_told_by_their_kind(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise error

    checkpoint = save_config(tmp_path, model_type="bert")
    monkeypatch.setattr(transformers.AutoConfig, "for_model", refuse)
    monkeypatch.setattr(transformers.BertConfig, "from_dict", refuse)
    with pytest.raises(CheckpointError) as made:
        make_config("bert", {})
    assert made.value.message == f"transformers refuses the config of 'bert': {type(error).__name__}"
    with pytest.raises(CheckpointError) as loaded:
        load_config(checkpoint, {})
    assert loaded.value.message == f"the config of 'mine' cannot be loaded: {type(error).__name__}"


def test_a_config_is_loaded_with_the_values_of_its_task(tmp_path: Path) -> None:
    checkpoint = save_config(tmp_path, model_type="bert", hidden_size=24, vocab_size=50)
    config = load_config(checkpoint, {"is_decoder": True, "vocab_size": 60})
    assert (config.hidden_size, config.vocab_size, config.is_decoder) == (24, 60, True)


def test_a_config_without_its_architecture_is_told(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"config.json of 'mine' has no 'model_type'") as refusal:
        load_config(save_config(tmp_path, hidden_size=24), {})
    assert "model_type" in (refusal.value.help or "")


def test_code_of_a_checkpoint_runs_only_where_it_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("raise SystemExit('it ran')", "utf-8")
    auto_map = {"AutoConfig": "own.Config"}
    with pytest.raises(CheckpointError, match="cannot be loaded") as refusal:
        load_config(save_config(tmp_path, model_type="never_heard_of", auto_map=auto_map), {})
    assert refusal.value.help == "pass --trust-remote-code to run the checkpoint's own code"


def test_a_class_is_that_of_the_plan_or_of_its_auto_class() -> None:
    config = make_config("bert", {})
    assert find_class(plan_with(), config) is transformers.BertForMaskedLM
    assert find_class(plan_with(model_class="BertForPreTraining"), config) is transformers.BertForPreTraining


def test_a_config_chooses_among_several_classes() -> None:
    plan = plan_with(auto_class="AutoModel")
    config = make_config("funnel", {})
    assert find_class(plan, config) is transformers.FunnelModel
    config.architectures = ["TFFunnelBaseModel"]
    assert find_class(plan, config) is transformers.FunnelBaseModel


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"model_class": "BertForNothing"}, "has no class 'BertForNothing'"),
        ({"auto_class": "AutoModelForNothing"}, "has no auto class 'AutoModelForNothing'"),
        ({"auto_class": "AutoModelForCTC"}, "AutoModelForCTC does not know the architecture 'bert'"),
    ],
)
def test_a_class_that_is_not_there_is_told(model: dict[str, str], message: str) -> None:
    with pytest.raises(ExportError, match=message):
        find_class(plan_with(**model), make_config("bert", {}))
