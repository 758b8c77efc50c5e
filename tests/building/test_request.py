"""One table of options: every field of a request is an option of every door, and none is dropped when doors meet."""

from __future__ import annotations

import dataclasses
import inspect
from pathlib import Path
from typing import Any

import click
import pytest

from exporter import api
from exporter.building.request import OPTIONS, Request, make_request, make_source, overlay, split_settings
from exporter.cli.main import cli
from exporter.errors import UsageError
from exporter.language.schema import load_schema
from exporter.models.checkpoints import Source
from exporter.planning.options import Options
from exporter.targets.registry import TARGETS

# Options a door does not have under their own name, with the reason.
_NOT_ON_THE_COMMAND_LINE = {
    "spec": "specs are the arguments of a command",
    "settings": "each target's settings are flags of their own",
}
_NOT_IN_THE_API = {
    "spec": "specs are the positional arguments",
    "tasks": "given as task=, one or several",
    "targets": "given as target=, one or several",
}
_NOT_IN_PLAN = {
    **_NOT_IN_THE_API,
    "output": "a plan is written nowhere",
}
_NOT_MEASURED = {
    **_NOT_ON_THE_COMMAND_LINE,
    "output": "a measurement is built in a temporary place",
    "verify": "a measurement is what verification says",
}

# A value for each option that is not its default, and another one.
VALUES: dict[str, tuple[Any, Any]] = {
    "spec": ("bert", "gpt2"),
    "tasks": (("fill-mask",), ("text-generation",)),
    "targets": (("torchscript",), ("neuron",)),
    "output": (Path("a"), Path("b")),
    "verify": (False, True),
    "model": ("a/model", "another/model"),
    "revision": ("main", "v2"),
    "framework": ("tf", "flax"),
    "subfolder": ("inner", "other"),
    "cache_dir": ("cache", "other"),
    "trust_remote_code": (True, False),
    "dims": ({"batch": 1}, {"batch": 2}),
    "static": (True, False),
    "settings": ({"freeze": True}, {"freeze": False}),
    "opset": (17, 18),
    "dtype": ("float16", "bfloat16"),
    "tracer": ("dynamo", "torchscript"),
    "atol": (1e-3, 1e-2),
    "rtol": (1e-3, 1e-2),
    "weights": ("external", "auto"),
    "monolith": (True, False),
    "merged": (True, False),
    "output_hidden_states": (True, False),
    "output_attentions": (True, False),
    "layout": ("genai", "flat"),
    "variant": (1, 2),
    "seed": (3, 4),
}


def read(request: Request, name: str) -> Any:
    """Return what a request holds of an option."""
    if name == "model":
        return request.source.name if request.source is not None else None
    for holder in (request, request.options, request.source):
        if holder is not None and name in {field.name for field in dataclasses.fields(holder)}:
            return getattr(holder, name)
    raise AssertionError(name)


def test_the_options_are_the_fields_of_a_request():
    of_request = {field.name for field in dataclasses.fields(Request)} - {"source", "options"}
    of_source = {field.name for field in dataclasses.fields(Source)} - {"name"} | {"model"}
    of_options = {field.name for field in dataclasses.fields(Options)} - {"target"}
    assert set(OPTIONS) == of_request | of_source | of_options
    assert len(OPTIONS) == len(set(OPTIONS))
    assert set(VALUES) == set(OPTIONS)


@pytest.mark.parametrize(
    ("command", "exceptions"),
    [("build", _NOT_ON_THE_COMMAND_LINE), ("plan", _NOT_ON_THE_COMMAND_LINE), ("measure", _NOT_MEASURED)],
)
def test_commands_have_every_option(command: str, exceptions: dict[str, str]):
    parameters = {each.name for each in cli.commands[command].params if isinstance(each, click.Option)}
    assert set(OPTIONS) - parameters == set(exceptions)
    assert {flag.name for target in TARGETS.values() for flag in target.flags} <= parameters


def test_plan_has_every_option_of_build_but_those_of_running_it():
    options = {
        name: {each.name for each in cli.commands[name].params if isinstance(each, click.Option)}
        for name in ("build", "plan")
    }
    assert options["build"] - options["plan"] == {"jobs", "dry_run", "junit"}
    assert not options["plan"] - options["build"]


@pytest.mark.parametrize(("kind", "exceptions"), [(api.BuildOptions, _NOT_IN_THE_API), (api.PlanOptions, _NOT_IN_PLAN)])
def test_the_api_has_every_option(kind: type, exceptions: dict[str, str]):
    known = kind.__annotations__
    assert set(OPTIONS) - set(known) == set(exceptions)
    assert set(known) - set(OPTIONS) <= {"task", "target"}
    for name in known:
        documents = (inspect.getdoc(parent) or "" for parent in (kind, api.RequestOptions, api.SourceOptions))
        assert any(f"{name}: " in text for text in documents), name


def test_build_files_have_every_option():
    entry = load_schema("build")["properties"]["builds"]["items"]["properties"]
    assert set(entry) == set(OPTIONS)
    assert all(each["description"] for each in entry.values())
    assert entry["targets"]["items"]["enum"] == list(TARGETS)


def test_verify_takes_a_checkpoint_as_build_does():
    of_source = {field.name for field in dataclasses.fields(Source)} - {"name"}
    assert set(api.SourceOptions.__annotations__) == of_source
    parameters = {each.name for each in cli.commands["verify"].params}
    assert of_source <= parameters
    with pytest.raises(UsageError, match="--revision goes with a checkpoint"):
        api.verify("anywhere", revision="main")
    with pytest.raises(TypeError, match="no argument 'opset'"):
        api.verify("anywhere", opset=17)  # type: ignore[call-arg]


@pytest.mark.parametrize("name", OPTIONS)
def test_what_is_given_is_in_the_request(name: str):
    for value in VALUES[name]:
        assert read(make_request({"model": "m", name: value}), name) == value


@pytest.mark.parametrize("name", OPTIONS)
def test_a_command_is_laid_over_an_entry(name: str):
    value, other = VALUES[name]
    assert overlay({}, {name: value}) == {name: value}
    assert overlay({name: value}, {}) == {name: value}
    both = overlay({name: value}, {name: other})
    assert both == {name: Path("a/b") if name == "output" else value}
    # What neither gives is nobody's, so that the default holds.
    assert overlay({}, {}) == {}


@pytest.mark.parametrize("name", ["dims", "settings"])
def test_values_by_name_are_laid_over_one_another_by_name(name: str):
    entry, command = {"first": 1, "second": 2}, {"second": 3, "third": 4}
    assert overlay({name: command}, {name: entry}) == {name: {"first": 1, "second": 3, "third": 4}}
    assert entry == {"first": 1, "second": 2}


def test_an_option_that_is_none_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match="there is no option 'opsett'") as failure:
        make_request({"opsett": 17})
    assert failure.value.help == "did you mean 'opset'?"


@pytest.mark.parametrize("name", ["revision", "subfolder", "framework", "cache_dir", "trust_remote_code"])
def test_an_option_of_a_checkpoint_is_refused_without_one(name: str):
    value = VALUES[name][0]
    assert getattr(make_source({"model": "m", name: value}), name) == value
    with pytest.raises(UsageError, match=f"--{name.replace('_', '-')} goes with a checkpoint"):
        make_request({name: value})
    assert make_source({name: None}) is None


def test_settings_go_to_the_target_that_has_them():
    settings = {"freeze": True, "aoti": True, "nonsense": 1}
    targets = ("torchscript", "torch-export")
    assert split_settings(settings, "torchscript", targets) == {"freeze": True, "nonsense": 1}
    assert split_settings(settings, "torch-export", targets) == {"aoti": True, "nonsense": 1}
    assert split_settings(settings, "torchscript", ("torchscript",)) == settings


@pytest.mark.parametrize(
    ("given", "field", "understood"),
    [
        ({"dtype": "fp16"}, "dtype", "float16"),
        ({"dtype": "float32"}, "dtype", "float32"),
        ({"layout": "transformers.js"}, "layout", "transformers-js"),
        ({"tracer": "torch.export"}, "tracer", "dynamo"),
    ],
)
def test_a_word_that_means_a_name_of_ours_is_understood(given: dict[str, str], field: str, understood: str):
    assert getattr(make_request(given).options, field) == understood


def test_several_tasks_and_targets_stand_in_one_text():
    request = make_request({"tasks": ("ner, fill-mask", "asr"), "targets": ("onnx,ov", "ts")})
    assert request.tasks == ("ner", "fill-mask", "asr")
    assert request.targets == ("onnx", "openvino", "torchscript")
    with pytest.raises(UsageError, match="--task has a word that is empty: 'fill-mask,'"):
        make_request({"tasks": ("fill-mask,",)})
