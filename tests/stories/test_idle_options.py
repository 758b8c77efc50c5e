"""An option that means nothing beside the others is refused, with the option and what to do, and at every door alike.

For each option there is: the situations in which it means nothing, or why there is none.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from commands import read_answer
from safetensors.numpy import save_file

import exporter
from exporter import api
from exporter.building.request import OPTIONS
from exporter.cli.main import main
from exporter.errors import ExporterError
from exporter.targets.registry import TARGETS

FLAGS = {flag.name: flag for target in TARGETS.values() for flag in target.flags}
Given = Mapping[str, Any]


@dataclass(frozen=True)
class Situation:
    """A request in which an option means nothing.

    Attributes:
        option: the option.
        spec: an architecture; None for that of the checkpoint.
        task: a task; None for the one there is by default.
        given: the option and those beside it.
        says: part of the reason.
    """

    option: str
    spec: str | None
    task: str | None
    given: Given
    says: str

    def __str__(self) -> str:
        return f"{self.option} of {self.spec} {self.task} beside {', '.join(sorted({*self.given} - {self.option}))}"


def of(option: str, spec: str | None, task: str | None, says: str, **given: Any) -> Situation:
    return Situation(option, spec, task, given, says)


NEURON = {"targets": ("neuron",), "verify": False, "dims": {"batch": 1, "sequence": 8}}
WITH_PAST = "text2text-generation-with-past"


def on_neuron(option: str, says: str, **settings: Any) -> Situation:
    return Situation(option, "bert", "fill-mask", {**NEURON, "settings": settings}, says)


def without_checkpoint(option: str, value: Any) -> Situation:
    given = {option: value}
    return Situation(option, "bert", "fill-mask", given, f"--{option.replace('_', '-')} goes with a checkpoint")


SITUATIONS = (
    without_checkpoint("revision", "main"),
    without_checkpoint("subfolder", "onnx"),
    without_checkpoint("framework", "tf"),
    without_checkpoint("cache_dir", "cache"),
    without_checkpoint("trust_remote_code", True),
    of("revision", None, None, "--revision goes with a hub id", model="checkpoint", revision="main"),
    of("framework", None, None, "Flax", model="checkpoint", framework="flax"),
    of("subfolder", None, None, "has no folder 'onnx'", model="checkpoint", subfolder="onnx"),
    of("dims", "bert", "fill-mask", "'past_sequence' is no dynamic dim", dims={"past_sequence": 4}),
    of("dims", "vit", "image-classification", "'sequence' is no dynamic dim", dims={"sequence": 4}),
    of("dims", "t5", "text2text-generation", "is no dynamic dim", dims={"past_decoder_sequence": 4}),
    of(
        "static",
        "bert",
        "fill-mask",
        "--static leaves no dim open, and --dynamic-batch leaves open: batch",
        **{**NEURON, "static": True, "settings": {"dynamic_batch": True}},
    ),
    *(
        of("opset", "bert", "fill-mask", "--opset does not go with the target", opset=18, targets=(name,))
        for name in ("torchscript", "torch-export", "neuron")
    ),
    of("tracer", "bert", "fill-mask", "is always recorded by", tracer="dynamo", targets=("torchscript",)),
    of("tracer", "bert", "fill-mask", "is always recorded by", tracer="dynamo", targets=("neuron",)),
    of("tracer", "bert", "fill-mask", "is always recorded by", tracer="torchscript", targets=("torch-export",)),
    *(
        of("weights", "bert", "fill-mask", "--weights does not go with", weights="external", targets=(name,))
        for name in TARGETS
        if name != "onnx"
    ),
    of("monolith", "bert", "fill-mask", "--monolith means nothing for", monolith=True),
    of("monolith", "gpt2", "text-generation-with-past", "--monolith means nothing for", monolith=True),
    of("merged", "bert", "fill-mask", "--merged means nothing for", merged=True),
    of("merged", "gpt2", "text-generation-with-past", "--merged means nothing for", merged=True),
    of("merged", "t5", "text2text-generation", "cannot be had with one decoder", merged=True),
    *(
        of("merged", "t5", WITH_PAST, "--merged does not go with", merged=True, targets=(name,))
        for name in ("openvino", "torchscript", "torch-export")
    ),
    of("monolith", "t5", WITH_PAST, "ask for two forms", monolith=True, merged=True),
    of("monolith", "t5", WITH_PAST, "ask for two forms", monolith=True, layout="transformers-js"),
    of("output_hidden_states", "bert", "sentence-similarity", "--output-hidden-states", output_hidden_states=True),
    of("output_attentions", "resnet", "image-classification", "--output-attentions", output_attentions=True),
    of("layout", "bert", "fill-mask", "the layout genai is for", layout="genai"),
    of("layout", "bert", "fill-mask", "the layout sentence-transformers", layout="sentence-transformers"),
    *(
        of("layout", "bert", "feature-extraction", "the layout", layout="transformers-js", targets=(name,))
        for name in TARGETS
        if name != "onnx"
    ),
    of("variant", None, None, "--variant goes with a spec's reference", model="checkpoint", variant=1),
    of("variant", "roberta", "fill-mask", "variant", variant=7),
    *(
        of("settings", "bert", "fill-mask", f"{flag.option} does not go with the target", settings={flag.name: value})
        for flag in FLAGS.values()
        for value in [flag.kind[0] if isinstance(flag.kind, tuple) else True if flag.kind is bool else "directory"]
    ),
    of(
        "settings",
        "bert",
        "fill-mask",
        "--compress-to-fp16 means nothing for a build in float16",
        targets=("openvino",),
        dtype="float16",
        settings={"compress_to_fp16": True},
    ),
    of(
        "settings",
        "bert",
        "fill-mask",
        "--auto-cast means nothing for a build in bfloat16",
        **{**NEURON, "dtype": "bfloat16", "settings": {"auto_cast": "all"}},
    ),
    on_neuron("settings", "--auto-cast-type says what to cast to, and nothing is cast", auto_cast_type="bf16"),
    on_neuron("settings", "cannot be had together", dynamic_batch=True, inline_weights=False),
    on_neuron("settings", "cannot be had for Inf1", instance_type="inf1", optlevel="1"),
)
# Options that say something in every request, and why.
ALWAYS = {
    "spec": "what is built",
    "tasks": "what is built; one that the architecture lacks is refused by name",
    "targets": "what is built",
    "output": "where it goes",
    "verify": "every build is verified or not",
    "model": "what is built",
    "dtype": "every graph has one",
    "atol": "the bound stands in the manifest, for whoever verifies the artifact later",
    "rtol": "as atol",
    "seed": "of the inputs a graph is recorded with",
}


def test_every_option_has_situations_or_a_reason_why_there_is_none():
    concerned = {situation.option for situation in SITUATIONS}
    assert concerned | set(ALWAYS) == set(OPTIONS)
    assert not concerned & set(ALWAYS)
    foreign = {name for each in SITUATIONS if "targets" not in each.given for name in each.given.get("settings", ())}
    assert foreign == set(FLAGS)


@pytest.fixture(autouse=True)
def in_a_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory with a checkpoint, in which no worker may be started."""

    def no_worker(*_: object, **__: object) -> None:
        raise AssertionError("work was started for an option that means nothing")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(subprocess, "Popen", no_worker)
    (tmp_path / "checkpoint").mkdir()
    config = {"model_type": "bert", "architectures": ["BertForMaskedLM"], "hidden_size": 24, "num_attention_heads": 3}
    (tmp_path / "checkpoint" / "config.json").write_text(json.dumps(config), "utf-8")
    save_file({"bert.embeddings.LayerNorm.weight": np.ones(24, "float32")}, tmp_path / "checkpoint/model.safetensors")


def by_a_dry_run(situation: Situation) -> Iterator[tuple[str, str | None]]:
    """Yield what is said by the command line's first door: every reason."""
    given = {**situation.given, **({"tasks": (situation.task,)} if situation.task else {})}
    for looked_at in api.dry_run([situation.spec] if situation.spec else [], given):
        yield from ((refusal.message, refusal.help) for refusal in looked_at.refusals)


def by_the_api(situation: Situation) -> Iterator[tuple[str, str | None]]:
    names = {"targets": "target"}
    keywords = {names.get(name, name): value for name, value in situation.given.items()}
    with pytest.raises(ExporterError) as failure:
        exporter.build(*([situation.spec] if situation.spec else []), task=situation.task, **keywords)
    yield failure.value.message, failure.value.help


def by_a_build_file(situation: Situation) -> Iterator[tuple[str, str | None]]:
    entry = {
        **({"spec": situation.spec} if situation.spec else {}),
        **({"tasks": [situation.task]} if situation.task else {}),
        **{name: list(value) if isinstance(value, tuple) else value for name, value in situation.given.items()},
    }
    Path("builds.yaml").write_text(yaml.safe_dump({"spec_version": 1, "kind": "build", "builds": [entry]}), "utf-8")
    with pytest.raises(ExporterError) as failure:
        exporter.build("builds.yaml")
    yield failure.value.message, failure.value.help


def words(situation: Situation) -> Iterator[str]:
    """Yield the words of a command line."""
    yield from filter(None, [situation.spec])
    given = {**situation.given, **situation.given.get("settings", {})}
    for name, value in {**given, "tasks": (situation.task,) if situation.task else ()}.items():
        option = f"--{name.replace('_', '-')}"
        match name:
            case "settings":
                pass
            case "tasks" | "targets":
                yield from (f"{option.removesuffix('s')}={part}" for part in value)
            case "dims":
                yield from (f"--dim={dim}={size}" for dim, size in value.items())
            case "verify":
                yield "--no-verify"
            case _ if value is False:
                yield f"--{FLAGS[name].opposite}"
            case _:
                yield option if value is True else f"{option}={value}"


@pytest.mark.parametrize("situation", SITUATIONS, ids=str)
def test_an_option_that_means_nothing_is_refused_at_every_door(
    situation: Situation, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    (told,) = set(by_a_dry_run(situation))
    message, help_ = told
    assert situation.says in message
    assert help_, message
    assert list(by_the_api(situation)) == list(by_a_build_file(situation)) == [told]
    monkeypatch.setattr(sys, "argv", ["exporter", "build", *words(situation), "--dry-run", "--json"])
    with pytest.raises(SystemExit) as left:
        main()
    answer = read_answer(capsys.readouterr().out, ok=False)
    assert left.value.code in (1, 2)
    refusals = [refusal for looked_at in answer["dry_run"] for refusal in looked_at["refusals"]]
    assert (message, help_) in [(refusal["message"], refusal["help"]) for refusal in refusals]
