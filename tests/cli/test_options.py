"""The options that commands share: there is one for all that a request holds, and it arrives there."""

from __future__ import annotations

import os
from typing import Any

import click
import pytest

from exporter.building.request import OPTIONS, make_request
from exporter.cli.main import cli
from exporter.cli.options import Tolerance, gather_options
from exporter.errors import UsageError
from exporter.planning.options import Options
from exporter.targets.onnx import OPSETS
from exporter.targets.registry import TARGETS

FLAGS = {flag.name for target in TARGETS.values() for flag in target.flags}


def options_of(command: str) -> set[str]:
    return {str(option.name) for option in cli.commands[command].params if isinstance(option, click.Option)} - {
        "as_json",
        "dry_run",
        "junit",
        "jobs",
        "token",
        "quiet",
        "verbose",
        "color",
    }


def read(command: str, *arguments: str) -> dict[str, Any]:
    """Return what a command line gives, as the command gathers it."""
    context = cli.commands[command].make_context(command, ["bert", *arguments])
    values = {
        name: value
        for name, value in context.params.items()
        if name not in ("specs", "as_json", "dry_run", "jobs", "junit")
    }
    return gather_options(values)


def test_a_build_has_an_option_for_everything_a_request_holds():
    # The spec is the argument, and a setting of a target is the flag of its own name.
    assert options_of("build") == ({*OPTIONS} - {"spec", "settings"}) | FLAGS
    assert options_of("plan") == options_of("build")
    assert options_of("measure") == options_of("build") - {"output", "verify"}


def test_what_nobody_gives_is_not_given():
    assert read("build") == {}
    assert read("measure") == {}


def test_what_is_given_is_a_request():
    given = read(
        "build",
        "--task",
        "fill-mask",
        "--task",
        "default",
        "--dim",
        "batch=1",
        "--dim",
        "sequence=8",
        "--static",
        "--target",
        "torchscript",
        "--freeze",
        "--no-verify",
        "--opset",
        "17",
        "-m",
        "there",
        "--trust-remote-code",
    )
    assert given["settings"] == {"freeze": True}
    request = make_request(given)
    assert (request.tasks, request.targets, request.verify) == (("fill-mask", "default"), ("torchscript",), False)
    assert request.options == Options(
        dims={"batch": 1, "sequence": 8}, static=True, opset=17, settings={"freeze": True}
    )
    assert request.source is not None
    assert (request.source.name, request.source.trust_remote_code) == ("there", True)


def test_a_flag_with_an_opposite_can_be_turned_off():
    assert read("build", "--inline-weights")["settings"] == {"inline_weights": True}
    assert read("build", "--separate-weights")["settings"] == {"inline_weights": False}


@pytest.mark.parametrize("text", ["batch", "=3", "batch=", "batch=x", "batch=0", "batch=-1"])
def test_a_dim_is_a_name_and_a_size(text: str):
    with pytest.raises(UsageError, match="is not a dim and its size"):
        gather_options({"dims": (text,)})


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "-1", "1e400", "much", ""])
def test_a_tolerance_is_a_finite_number_of_0_or_more(text: str):
    with pytest.raises(click.BadParameter):
        Tolerance().convert(text, None, None)


def test_tolerances_that_can_hold_are_taken():
    assert [Tolerance().convert(text, None, None) for text in ("0", "1e-5", "2")] == [0.0, 1e-5, 2.0]


@pytest.mark.parametrize("name", ["build", "measure", "plan"])
def test_flags_of_a_target_say_which_and_stand_in_its_order(name: str):
    shown = [option for option in cli.commands[name].params if option.name in FLAGS]
    declared = [(flag.name, f"{target.name}: ") for target in TARGETS.values() for flag in target.flags]
    assert [option.name for option in shown] == [flag for flag, _ in declared]
    for option, (_, prefix) in zip(shown, declared, strict=True):
        assert isinstance(option, click.Option)
        assert str(option.help).startswith(prefix)


def test_the_help_names_the_opsets_there_are():
    (opset,) = (option for option in cli.commands["build"].params if option.name == "opset")
    assert isinstance(opset, click.Option)
    for tracer, opsets in OPSETS.items():
        assert f"{opsets[0]} to {opsets[-1]} with the {tracer} tracer" in str(opset.help)


def test_a_token_is_for_the_hubs_library_alone(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """It is in no request, and so in no event, log, manifest or plan."""
    monkeypatch.setenv("HF_TOKEN", "earlier")
    given = read("build", "--model", "there", "--subfolder", "inner", "--token", "hf_secret")
    assert os.environ["HF_TOKEN"] == "hf_secret"
    assert "hf_secret" not in repr(given) + repr(make_request(given)) + "".join(capsys.readouterr())
    source = make_request(given).source
    assert source is not None
    assert source.subfolder == "inner"
