"""The heads that the catalogue keeps are those of the models, and a checkpoint without one is refused at once."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from commands import SPECS, TINY_BERT
from safetensors.torch import load_file, save_file
from transformers.conversion_mapping import get_checkpoint_conversion_mapping

from exporter.errors import CheckpointError
from exporter.language.catalog import list_specs
from exporter.language.loading import load_spec
from exporter.language.spec import Spec, TaskSpec, overlay_config
from exporter.models.checkpoints import open_directory
from exporter.models.config_library import read_kept
from exporter.models.configs import make_config, quiet_libraries
from exporter.models.heads import KEPT, check_head, read_heads

BERT = load_spec("bert")


def classes_of(task: TaskSpec, config: Any) -> tuple[type, ...]:
    if task.model_class is not None:
        return (getattr(transformers, task.model_class),)
    classes = getattr(transformers, str(task.auto_class))._model_mapping[type(config)]
    return classes if isinstance(classes, tuple) else (classes,)


def head_weights(cls: Any, config: Any) -> set[str] | None:
    """Return the weights of a class that its base model lacks; None where there is no base, or no such model."""
    try:
        with quiet_libraries(), torch.device("meta"):
            model = cls(config)
        model.tie_weights()
    except Exception:  # a variant of the config that this class does not take
        return None
    prefix = str(getattr(model, "base_model_prefix", "") or "")
    if not prefix or not isinstance(getattr(model, prefix, None), torch.nn.Module):
        return set()
    named = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    return {name for name in named if not name.startswith(f"{prefix}.")}


def heads_of(spec: Spec) -> dict[str, dict[str, list[str]]]:
    heads: dict[str, dict[str, list[str]]] = {}
    # Files of such architectures may have other names, which are changed as they are loaded.
    if get_checkpoint_conversion_mapping(spec.architecture):
        return heads
    for task in spec.tasks.values():
        key = task.model_class or task.auto_class or ""
        if key in heads or key == "AutoModel":
            continue
        found: dict[str, list[set[str]]] = {}
        for number in (None, *range(1, len(spec.variants) + 1)):
            form = spec.with_variant(number)
            config = make_config(spec.architecture, overlay_config(form.reference, task.reference_config, task.config))
            for cls in classes_of(task, config):
                weights = head_weights(cls, config)
                if weights is not None:
                    found.setdefault(cls.__name__, []).append(weights)
        common = {name: sorted(reduce(set.intersection, sets)) for name, sets in found.items()}
        # Where one of the classes has no head of its own, nothing can be missing.
        if common and all(common.values()):
            heads[key] = common
    return heads


def kept() -> dict[str, Any]:
    return dict(json.loads((SPECS / KEPT).read_text("utf-8"))) if (SPECS / KEPT).is_file() else {}


@pytest.mark.parametrize("path", list_specs(), ids=lambda path: path.stem)
def test_the_catalogue_keeps_the_heads_of_its_models(path: Path, request: pytest.FixtureRequest) -> None:
    classes = read_kept()
    if classes is None or classes.version != transformers.__version__:
        pytest.skip("the heads are kept as of another version of transformers")
    heads = heads_of(load_spec(path))
    if request.config.getoption("--update-goldens"):
        every = {**kept(), path.stem: heads}
        lines = (
            f" {json.dumps(name)}: {json.dumps(every[name], sort_keys=True)}" for name in sorted(every) if every[name]
        )
        (SPECS / KEPT).write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")
    assert kept().get(path.stem, {}) == heads


@pytest.fixture(scope="module")
def masked_lm(make_checkpoint: Callable[..., Path]) -> Path:
    return make_checkpoint("BertForMaskedLM", "bert", **TINY_BERT)


def tasks_without_a_head(path: Path) -> Iterator[str]:
    for name, task in BERT.tasks.items():
        try:
            check_head(open_directory(path, "mine"), "bert", task)
        except CheckpointError:
            yield name


def test_tasks_whose_head_is_missing_are_refused(masked_lm: Path) -> None:
    assert set(tasks_without_a_head(masked_lm)) == {
        "text-classification",
        "token-classification",
        "question-answering",
        "multiple-choice",
    }
    with pytest.raises(CheckpointError, match=r"lacks 2 weights that BertForSequenceClassification needs") as refusal:
        check_head(open_directory(masked_lm, "mine"), "bert", BERT.tasks["text-classification"])
    assert "classifier.bias and classifier.weight" in refusal.value.message.replace(", ", " and ")
    assert "choose a task" in str(refusal.value.help)


def test_a_head_behind_another_prefix_or_in_part_is_left_to_those_who_load_it(masked_lm: Path, tmp_path: Path) -> None:
    weights = load_file(masked_lm / "model.safetensors")
    (tmp_path / "config.json").write_text((masked_lm / "config.json").read_text())
    more = {**weights, "module.model.classifier.weight": torch.zeros(2, 24)}
    save_file(more, tmp_path / "model.safetensors", {"format": "pt"})
    # All of these heads are called `classifier`.
    assert list(tasks_without_a_head(tmp_path)) == ["question-answering"]


def test_what_has_no_header_or_no_known_head_is_not_looked_at(masked_lm: Path) -> None:
    checkpoint = open_directory(masked_lm, "mine")
    task = BERT.tasks["text-classification"]
    check_head(checkpoint, "never-heard-of", task)
    check_head(dataclasses.replace(checkpoint, container="bin"), "bert", task)
    check_head(dataclasses.replace(checkpoint, framework="tf"), "bert", task)
    assert read_heads()["bert"]["AutoModelForQuestionAnswering"][0].model_class == "BertForQuestionAnswering"
