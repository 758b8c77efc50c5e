"""What a target may be asked for, and which of its settings last."""

from __future__ import annotations

from typing import Any

import pytest

from exporter.errors import UsageError
from exporter.planning.target import Flag, Settings, Target, check_settings, lasting_settings, refuse_idle_settings

FLAGS = (
    Flag("auto_cast", ("none", "all"), "what is cast."),
    Flag("inline_weights", bool, "weights inside.", opposite="separate-weights"),
    Flag("work_dir", str, "where it is made.", metavar="DIR", local=True),
)


@pytest.fixture(scope="module")
def target(make_target) -> Target:
    def refuse(settings: Settings) -> None:
        if settings.get("auto_cast") == "all" and settings.get("inline_weights"):
            raise UsageError("--auto-cast all and --inline-weights cannot be had together")

    return make_target(flags=FLAGS, refuse_combinations=refuse)


def test_a_flag_is_written_with_dashes():
    assert [flag.option for flag in FLAGS] == ["--auto-cast", "--inline-weights", "--work-dir"]


def test_a_flag_is_found_by_the_name_of_its_setting(target: Target):
    assert target.find_flag("auto_cast") is FLAGS[0]
    assert target.find_flag("auto-cast") is None


def test_settings_that_a_target_has_are_accepted(target: Target):
    check_settings(target, {})
    check_settings(target, {"auto_cast": "all", "inline_weights": False, "work_dir": "/tmp/x"})


@pytest.mark.parametrize(
    ("settings", "message", "help"),
    [
        ({"opt_level": 3}, "--opt-level does not go with the target paper", "leave it out"),
        ({"auto_cast": "some"}, "'some' is no value of the setting 'auto_cast'", "it is one of none, all"),
        ({"inline_weights": "yes"}, "'yes' is no value of the setting 'inline_weights'", "it is true or false"),
        ({"inline_weights": 1}, "'1' is no value of the setting 'inline_weights'", "it is true or false"),
        ({"work_dir": 3}, "'3' is no value of the setting 'work_dir'", "it is a text"),
        (
            {"auto_cast": "all", "inline_weights": True},
            "--auto-cast all and --inline-weights cannot be had together",
            None,
        ),
    ],
)
def test_other_settings_are_refused(target: Target, settings: dict[str, Any], message: str, help: str | None):
    with pytest.raises(UsageError) as failure:
        check_settings(target, settings)
    assert (failure.value.message, failure.value.help) == (message, help)


def test_numbers_may_stand_for_words(make_target):
    target = make_target(flags=(Flag("optlevel", ("1", "2"), "how long."),))
    check_settings(target, {"optlevel": 2})
    with pytest.raises(UsageError, match="'3' is no value of the setting 'optlevel'"):
        check_settings(target, {"optlevel": 3})


def test_local_settings_do_not_last(target: Target):
    settings: Settings = {"auto_cast": "all", "work_dir": "/tmp/x"}
    assert lasting_settings(target, settings) == {"auto_cast": "all"}
    assert lasting_settings(target, {}) == {}


def test_a_target_has_one_file_and_nothing_else_unless_it_says_so(make_target):
    target = make_target()
    assert target.files("model.txt", {}) == ("model.txt",)
    assert target.computed_dtype({}, "float16") == "float16"
    assert target.build_modules({}) == target.runtime_modules({}) == target.packages({}) == ()
    target.refuse_verification({})
    target.start_runtime()


@pytest.mark.parametrize(
    ("given", "dtype", "static", "refused"),
    [
        ({"press": "hard"}, "float32", False, None),
        ({"press": "hard"}, "float16", False, "--press means nothing for a build in float16"),
        ({"press": "none"}, "float16", False, None),
        ({"loose": True}, "float16", False, None),
        ({"loose": True}, "float32", True, "--static leaves no dim open, and --loose leaves open: batch"),
        ({"loose": False}, "float32", True, None),
        ({}, "float16", True, None),
    ],
)
def test_a_setting_that_says_nothing_is_refused(
    given: dict[str, Any], dtype: str, static: bool, refused: str | None, make_target
):
    flags = (Flag("press", ("none", "hard"), "press it", dtypes=("float32",), off="none"), Flag("loose", bool, "loose"))
    paper = make_target(flags=flags, open_by={"loose": "batch"})
    if refused is None:
        refuse_idle_settings(paper, given, dtype, static=static)
        return
    with pytest.raises(UsageError) as failure:
        refuse_idle_settings(paper, given, dtype, static=static)
    assert failure.value.message.startswith(refused)
    assert failure.value.help
