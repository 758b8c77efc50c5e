"""Linting as a whole: selection, families, formats."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from exporter.cli.render.machine import diagnostics_github, diagnostics_sarif, findings_data
from exporter.cli.render.text import render_diagnostics, render_summary, visible
from exporter.errors import UsageError
from exporter.language.findings import RULES
from exporter.language.linting import lint_paths

SPEC = """\
spec_version: 1
architecture: example
extends: encoder
tasks:
  fill-mask: {}
reference:
  config: {hidden_size: 32, vocab_size: 99}
"""


def places(result) -> list[tuple[str, int, int]]:
    return [(finding.rule, finding.span.line, finding.span.column) for finding in result.diagnostics]


AMBIGUOUS = SPEC.replace("vocab_size: 99}", "vocab_size: 8}")


def test_select_and_ignore_take_names_codes_and_groups(lint):
    text = AMBIGUOUS.replace("fill-mask", "masked-lm").replace("example", "exemple")
    assert {rule for rule, _, _ in places(lint(text))} == {"unknown-task", "file-name-mismatch"}
    assert {rule for rule, _, _ in places(lint(text, select=["EXP2"]))} == {"unknown-task", "file-name-mismatch"}
    assert {rule for rule, _, _ in places(lint(text, select=["EXP2"], ignore=["EXP204"]))} == {"unknown-task"}
    assert {rule for rule, _, _ in places(lint(text, select=["file-name-mismatch"]))} == {"file-name-mismatch"}
    with pytest.raises(UsageError, match="there is no rule 'unknown-tsk'") as failure:
        lint(text, select=["unknown-tsk"])
    assert failure.value.help == "did you mean 'unknown-task'?"


def test_all_findings_are_collected(lint):
    text = """\
spec_version: 1
architecture: example
extends: encoder
colour: blue
dims:
  sequence: {trace: 1, check: [1, 13]}
  hidden: config.__class__
inputs:
  token_type_ids: int64[batch sequence] = zeros
tasks:
  feature-extraction: {outputs: {last_hidden_state: "float[batch, sequence, hiden]"}}
  masked-lm: {}
reference:
  config: {hidden_size: 32}
"""
    assert {rule for rule, _, _ in places(lint(text))} >= {
        "unknown-key",
        "trace-size-too-small",
        "malformed-tensor",
        "unknown-dim",
        "unknown-task",
        "check-equals-trace",
    }


MISTAKEN = "last_hidden_state: float[batch, sequence, hiden]"


def test_a_mistake_in_a_family_is_found_in_the_family_once(specs: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(specs.parent)
    family = specs / "families" / "encoder.yaml"
    mistaken = family.read_text("utf-8").replace("last_hidden_state: float[batch, sequence, hidden]", MISTAKEN, 1)
    assert MISTAKEN in mistaken
    family.write_text(mistaken, "utf-8")
    result = lint_paths(["specs"])
    (finding,) = [finding for finding in result.diagnostics if finding.rule == "unknown-dim"]
    assert finding.span.source.name == "specs/families/encoder.yaml"


def test_a_family_nobody_extends_is_read_too(lint, tmp_path: Path):
    text = """\
spec_version: 1
family: lonely
description: Nobody extends it.
dims: {batch: {trace: 2, check: [1]}, hidden: config.hidden_size()}
inputs: {x: "int64[batch"}
tasks:
  fill-mask: {outputs: {y: "float[batch] = randn"}}
tolerances: {float32: {atol: 1.0e-5, rtol: 1.0e-5}}
"""
    rules = [rule for rule, _, _ in places(lint(text, "lonely.yaml"))]
    assert sorted(rules) == ["malformed-expression", "malformed-tensor", "malformed-tensor"]


def test_json_has_everything(lint):
    (finding,) = findings_data(lint(SPEC.replace("fill-mask", "masked-lm")).diagnostics)
    assert finding["rule"] == "unknown-task"
    assert finding["code"] == RULES["unknown-task"].code
    assert (finding["file"], finding["line"], finding["column"], finding["end_column"]) == ("example.yaml", 5, 3, 12)
    assert finding["fix"]["edits"][0]["replacement"] == "fill-mask"


def test_sarif_is_what_code_scanning_takes(lint):
    log = json.loads(diagnostics_sarif(lint(SPEC.replace("fill-mask", "masked-lm")).diagnostics))
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    (result,) = run["results"]
    assert rules[result["ruleIndex"]]["id"] == result["ruleId"] == "unknown-task"
    assert result["level"] == "error"
    location = result["locations"][0]["physicalLocation"]
    assert location["artifactLocation"]["uri"] == "example.yaml"
    assert location["region"] == {"startLine": 5, "startColumn": 3, "endLine": 5, "endColumn": 12}
    assert json.loads(diagnostics_sarif([]))["runs"][0]["results"] == []


def test_github_annotations_escape_what_would_end_them(lint):
    text = SPEC.replace("fill-mask", '"a%b, c: d"')
    line = diagnostics_github(lint(text).diagnostics)
    assert line.startswith("::error file=example.yaml,line=5,endLine=5,col=3,endColumn=14,title=unknown-task::")
    assert "'a%25b, c: d'" in line
    assert "\n" not in line


def test_rendering_handles_long_lines_wide_characters_tabs_and_escapes(lint):
    text = SPEC.replace("  fill-mask: {}", '  "日本": {}')
    rendered = render_diagnostics(lint(text).diagnostics).splitlines()
    assert rendered[4].index("^") == rendered[3].index('"')
    assert rendered[4].count("^") == 6  # two quotes, and two characters of two columns
    long = SPEC.replace("99}", "99, " + "x" * 500 + ": 1}").replace("hidden_size", "9")
    for line in render_diagnostics(
        lint(long.replace("fill-mask: {}", "fill-mask: {a: 1, " + "b" * 300 + ": 2}")).diagnostics
    ).splitlines():
        assert len(line) < 520
    escaped = SPEC.replace("fill-mask", '"\\e[31mred"')
    shown = render_diagnostics(lint(escaped).diagnostics)
    assert "\x1b" not in shown
    assert "\\u001b[31mred" in shown
    assert visible("a\tb") == "a b"


def test_summaries():
    assert render_summary([], 1) == "1 file checked, nothing found"
    assert render_summary([], 11) == "11 files checked, nothing found"


def test_there_must_be_something_to_lint(tmp_path: Path):
    with pytest.raises(UsageError):
        lint_paths([str(tmp_path)])
    with pytest.raises(UsageError):
        lint_paths([str(tmp_path / "nowhere.yaml")])


def test_what_a_directory_holds_beside_files_does_not_stop_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "example.yaml").write_text(SPEC, "utf-8")
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "device.yaml").symlink_to("/dev/zero")
    (tmp_path / "nowhere.yaml").symlink_to("gone.yaml")
    os.mkfifo(tmp_path / "pipe.yaml")
    result = lint_paths(["."])
    assert [(finding.span.source.name, finding.rule) for finding in result.diagnostics] == [
        ("device.yaml", "forbidden-yaml"),
        ("gone.yaml", "yaml-syntax"),  # by what the link points to
        ("pipe.yaml", "forbidden-yaml"),
    ]


def test_a_family_is_looked_for_in_its_directories_alone(tmp_path: Path, lint):
    (tmp_path / "families").mkdir()
    (tmp_path / "other.yaml").write_text("spec_version: 1\nfamily: other\n", "utf-8")
    rules = {finding.rule for finding in lint(SPEC.replace("encoder", "../other")).diagnostics}
    assert {"wrong-value", "unknown-family"} & rules == {"wrong-value"}


@pytest.mark.parametrize("bound", [".nan", ".inf", "1.0e999"])
def test_a_bound_that_bounds_nothing_is_found(lint, bound: str):
    text = SPEC + f"tolerances: {{float32: {{atol: {bound}, rtol: 1.0e-5, because: it was measured}}}}\n"
    assert "wrong-type" in {finding.rule for finding in lint(text).diagnostics}
