from __future__ import annotations

import json
from pathlib import Path

import pytest
from transformers import BertConfig

from exporter.drafting.subject import find_subject, switches
from exporter.errors import UsageError
from exporter.models.checkpoints import Source


def test_the_tasks_are_those_of_the_auto_classes():
    subject = find_subject("bert")
    assert {"fill-mask", "multiple-choice"} <= set(subject.tasks)
    assert "image-classification" not in subject.tasks
    assert subject.serves("fill-mask", {})
    assert not subject.serves("fill-mask", {"auto_class": "AutoModelForCTC"})


def test_an_unknown_architecture_is_refused_with_a_near_one():
    with pytest.raises(UsageError, match="no architecture 'bertt'"):
        find_subject("bertt")


def test_nothing_at_all_is_refused():
    with pytest.raises(UsageError, match="nothing says what to draft"):
        find_subject(None)


def test_a_checkpoint_says_its_architecture_and_its_switches(tmp_path: Path):
    config = BertConfig(hidden_size=12, num_attention_heads=2, hidden_act="relu")
    (tmp_path / "config.json").write_text(json.dumps(config.to_dict()), "utf-8")
    from safetensors.numpy import save_file

    save_file({}, tmp_path / "model.safetensors")
    subject = find_subject(None, Source(str(tmp_path)))
    assert subject.architecture == "bert"
    assert subject.switches == {"hidden_act": "relu"}
    with pytest.raises(UsageError, match="is of the architecture 'bert', not 'gpt2'"):
        find_subject("gpt2", Source(str(tmp_path)))


def test_sizes_and_ids_are_no_switches():
    assert switches(BertConfig(hidden_size=12, use_cache=False), BertConfig()) in ({}, {"use_cache": False})
