"""The command that lints: formats, fixes, exit codes, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from commands import read_answer

from exporter import api
from exporter.language.linting import LintResult

GOOD = """\
spec_version: 1
architecture: example
extends: encoder
tasks:
  fill-mask: {}
reference:
  config: {hidden_size: 32, vocab_size: 99}
"""
# The retired name of a task, for which there is a safe fix.
BAD = GOOD.replace("fill-mask", "masked-lm")


@pytest.fixture
def lint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, invoke: Callable[..., Result]) -> Callable[..., Result]:
    """Lint a text as a spec, with options."""
    monkeypatch.chdir(tmp_path)

    def lint(text: str, *options: str) -> Result:
        (tmp_path / "example.yaml").write_text(text, "utf-8")
        return invoke("lint", "example.yaml", *options)

    return lint


def test_a_good_spec_is_exit_code_0(lint: Callable[..., Result]):
    result = lint(GOOD)
    assert (result.return_value, result.stdout) == (0, "1 file checked, nothing found\n")


def test_a_finding_is_printed_and_is_exit_code_1(lint: Callable[..., Result]):
    result = lint(BAD)
    assert result.return_value == 1
    first, *_, last = result.stdout.splitlines()
    assert first.startswith("error[unknown-task]: ")
    assert " --> example.yaml:5:3" in result.stdout
    assert last == "1 file checked: 1 error; --fix removes 1"


@pytest.mark.parametrize("style", ["json", "sarif", "github"])
def test_formats_for_programs_are_all_there_is_on_standard_output(lint: Callable[..., Result], style: str):
    bad, good = lint(BAD, "--format", style), lint(GOOD, "--format", style)
    assert (bad.return_value, good.return_value) == (1, 0)
    if style == "github":
        assert bad.stdout.startswith("::error file=example.yaml,line=5,")
        assert good.stdout == ""
    elif style == "json":
        answer = read_answer(bad.stdout, ok=False)
        assert [finding["rule"] for finding in answer["findings"]] == ["unknown-task"]
        assert (answer["files"], answer["errors"], answer["warnings"]) == (["example.yaml"], 1, 0)
        assert read_answer(good.stdout)["findings"] == []
        assert lint(BAD, "--json").stdout == bad.stdout
    else:
        assert [run["results"][0]["ruleId"] for run in json.loads(bad.stdout)["runs"]] == ["unknown-task"]
        assert json.loads(good.stdout)["runs"][0]["results"] == []


def test_a_diff_shows_what_a_fix_writes(lint: Callable[..., Result], tmp_path: Path):
    shown = lint(BAD, "--diff")
    assert shown.return_value == 1
    assert "-  masked-lm: {}\n+  fill-mask: {}\n" in shown.stdout
    assert (tmp_path / "example.yaml").read_text("utf-8") == BAD
    fixed = lint(BAD, "--fix")
    assert (fixed.return_value, fixed.stdout) == (0, "1 fixed; 1 file checked, nothing found\n")
    assert (tmp_path / "example.yaml").read_text("utf-8") == GOOD


def test_rules_are_selected_and_ignored(lint: Callable[..., Result]):
    assert lint(BAD, "--ignore", "unknown-task").return_value == 0
    assert lint(BAD, "--select", "EXP5", "--select", "duplicate-key").return_value == 0
    assert lint(BAD, "--select", "EXP2").return_value == 1


def test_without_a_path_it_is_the_directory_specs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, invoke: Callable[..., Result]
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "example.yaml").write_text(GOOD, "utf-8")
    assert invoke("lint").stdout == "1 file checked, nothing found\n"


def test_models_are_examined_where_that_is_asked_for(monkeypatch: pytest.MonkeyPatch, invoke: Callable[..., Result]):
    asked: list[bool] = []

    def lint(*paths, models, **options):
        asked.append(models)
        options["progress"]("bert/fill-mask")
        return LintResult((), ())

    monkeypatch.setattr(api, "lint", lint)
    # Where standard error is no terminal, no progress is shown.
    assert invoke("lint", "bert", "--models").stderr == ""
    assert invoke("lint", "bert").return_value == 0
    assert asked == [True, False]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.yaml"], "nowhere.yaml"),
        (["empty"], "there is nothing to lint"),
        ([], "there is no directory 'specs' here"),
        (["bert", "--fix", "--diff"], "give one of them"),
        (["bert", "--select", "unknown-dimm"], "did you mean 'unknown-dim'?"),
        (["bert", "--ignore", "EXP999"], "there is no rule 'EXP999'"),
        (["bert", "--select", ""], "there is no rule ''"),
        (["bert", "--format", "xml"], "'xml' is not one of"),
        (["dangling.yaml"], "there is no spec 'dangling.yaml'"),
        (["folders"], "there is nothing to lint"),
    ],
)
def test_what_cannot_be_linted_is_refused(arguments: list[str], said: str, tmp_path: Path, refuse: Callable[..., str]):
    (tmp_path / "empty").mkdir()
    (tmp_path / "folders" / "x.yaml").mkdir(parents=True)
    (tmp_path / "dangling.yaml").symlink_to("gone")
    assert said in refuse(2, "lint", *arguments)


# A name that is not that of the file: a warning.
WARNED = GOOD.replace("architecture: example", "architecture: another")


@pytest.mark.parametrize(
    ("text", "options", "code"),
    [
        (WARNED, (), 1),
        (WARNED, ("--fail-on", "warning"), 1),
        (WARNED, ("--fail-on", "error"), 0),
        (WARNED, ("--exit-zero",), 0),
        (BAD, ("--fail-on", "error"), 1),
        (BAD, ("--exit-zero",), 0),
        (BAD, ("--exit-zero", "--diff"), 0),
        (WARNED, ("--fail-on", "error", "--diff"), 0),
        (GOOD, ("--fail-on", "warning"), 0),
    ],
)
@pytest.mark.parametrize("style", ["text", "json", "sarif", "github"])
def test_a_finding_below_the_threshold_is_printed_and_lets_the_run_pass(
    style: str, text: str, options: tuple[str, ...], code: int, lint: Callable[..., Result]
):
    if style != "text" and "--diff" in options:
        return
    result = lint(text, "--format", style, *options)
    assert result.return_value == code
    if style == "json":
        answer = read_answer(result.stdout, ok=code == 0)
        assert (answer["errors"], answer["warnings"]) == (int(text is BAD), int(text is WARNED))
    elif text is not GOOD and "--diff" not in options:
        assert ("unknown-task" if text is BAD else "file-name-mismatch") in result.stdout


def test_a_summary_counts_errors_and_warnings_apart(lint: Callable[..., Result]):
    assert lint(BAD.replace("architecture: example", "architecture: another")).stdout.splitlines()[-1] == (
        "1 file checked: 1 error and 1 warning; --fix removes 1"
    )


@pytest.mark.parametrize(
    "options",
    [("--exit-zero", "--fail-on", "error"), ("--diff", "--json"), ("--diff", "--format", "sarif"), ("--diff", "--fix")],
)
def test_options_that_contradict_one_another_are_refused(options: tuple[str, ...], refuse: Callable[..., str]):
    assert "give one of them" in refuse(2, "lint", "bert", *options)


def crash(*_: object) -> None:
    raise ZeroDivisionError("oh")


@pytest.mark.parametrize("options", [(), ("--exit-zero",), ("--fail-on", "error"), ("--json",), ("--format", "sarif")])
def test_a_rule_that_crashes_is_a_bug_of_ours(
    options: tuple[str, ...], lint: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("exporter.language.linting.find", crash)
    result = lint(GOOD, *options)
    assert result.return_value == 3
    if "sarif" in options:
        (run,) = json.loads(result.stdout)["runs"]
        assert run["invocations"] == [{"executionSuccessful": False}]


@pytest.mark.parametrize("command", ["show", "plan", "build"])
def test_a_rule_that_crashes_is_a_bug_of_ours_for_every_command(
    command: str, refuse: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    (tmp_path / "example.yaml").write_text(GOOD, "utf-8")
    monkeypatch.setattr("exporter.language.linting.find", crash)
    assert "rule-crashed" in refuse(3, command, "example.yaml")


def test_what_no_change_concerns_is_answered_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, invoke: Callable[..., Result]
):
    monkeypatch.chdir(tmp_path)
    assert invoke("lint", "--changed").stdout == ""
    assert read_answer(invoke("lint", "--changed", "--json").stdout)["findings"] == []
    (run,) = json.loads(invoke("lint", "--changed", "--format", "sarif").stdout)["runs"]
    assert run["results"] == []
