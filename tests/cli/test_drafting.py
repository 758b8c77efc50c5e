"""`exporter new` as people run it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from exporter.cli.drafting import new
from exporter.errors import UsageError
from exporter.language.linting import lint_paths


def run(*words: str, expected: int = 0) -> str:
    result = CliRunner().invoke(new, words, standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    assert result.return_value == expected
    return result.stdout


def test_a_spec_is_written_that_the_linter_likes(tmp_path: Path):
    run("distilbert", "--task", "fill-mask", "--no-build", "-o", str(tmp_path))
    assert lint_paths([str(tmp_path / "distilbert.yaml")]).passed


def test_a_spec_is_printed_alone_on_standard_output():
    text = run("distilbert", "--task", "fill-mask", "--no-build")
    assert text.startswith("# yaml-language-server")
    assert text.endswith("}\n")


def test_a_file_that_is_there_is_kept(tmp_path: Path):
    path = tmp_path / "distilbert.yaml"
    path.write_text("mine", "utf-8")
    for place in (path, tmp_path):
        with pytest.raises(UsageError, match="is there already"):
            run("distilbert", "--no-build", "-o", str(place))
    assert path.read_text("utf-8") == "mine"


def test_a_program_is_answered_with_what_was_drafted():
    answer = json.loads(run("distilbert", "--task", "fill-mask", "--no-build", "--json"))
    assert answer["ok"]
    assert answer["tasks"] == ["fill-mask"]
    assert answer["family"] == "encoder"


def test_a_build_is_measured(tmp_path: Path):
    answer = json.loads(run("distilbert", "--task", "text-classification", "--json"))
    (build,) = answer["builds"]
    assert build["tracer"] == "torchscript"
    assert build["measurement"]["worst"] < 1e-5


def test_a_spec_is_held_against_its_draft(tmp_path: Path):
    assert "says what would be drafted" in run("--check", "distilbert")
    path = tmp_path / "distilbert.yaml"
    path.write_text("spec_version: 1\narchitecture: distilbert\nextends: encoder\ntasks: {fill-mask: {}}\n", "utf-8")
    assert "+  text-classification: {}" in run("--check", str(path), expected=1)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "nothing says what to draft"),
        (("no-such-model",), "no architecture 'no-such-model'"),
        (("distilbert", "--family", "nothing"), "there is no family 'nothing'"),
        (("distilbert", "--task", "nothing"), "unknown task 'nothing'"),
        (("distilbert", "--check", "distilbert"), "--check drafts the architecture of its spec"),
        (("--model", "./nowhere"), "nowhere"),
    ],
)
def test_mistakes_are_told(words: tuple[str, ...], message: str):
    with pytest.raises(Exception, match=message):
        run(*words)
