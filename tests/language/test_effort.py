"""Counted work: what a stranger's document may take, and how linting ends where it would take more."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

import exporter
from exporter.cli.render.machine import diagnostics_github, diagnostics_sarif, findings_data, to_json
from exporter.cli.render.text import render_diagnostics, render_summary
from exporter.language import effort, linting
from exporter.language.diagnostics import Diagnostic, SpecError
from exporter.language.effort import Budget, WorkExhausted, bounded, spend, suggest
from exporter.language.linting import MAX_LISTED, MAX_LISTED_OF_A_FILE, LintResult
from exporter.language.loading import load_spec

SECONDS, MEGABYTES = 5, 300
TASKS = ("feature-extraction", "fill-mask", "text-classification", "token-classification", "question-answering")


def many(count: int, write: Callable[[int], str]) -> str:
    return "".join(map(write, range(count)))


def spec(middle: str = "", tasks: str = "tasks: {fill-mask: {}}\n", rest: str = "") -> str:
    return (
        f"spec_version: 1\narchitecture: example\nextends: encoder\n{middle}{tasks}"
        f"reference:\n  config: {{hidden_size: 32, vocab_size: 99}}\n{rest}"
    )


# Each document is below the bound on bytes, and says little that multiplies. The rule is the first that is found.
BOMBS = {
    "comments": ("unknown-suppression", spec(rest=many(30_000, lambda at: "# exporter: ignore[x] y\n"))),
    "comments that suppress nothing": (
        "unused-suppression",
        spec(rest=many(20_000, lambda at: "# exporter: ignore[loose-tolerance] why\n")),
    ),
    "comments above nothing": (
        "unknown-suppression",
        spec(rest=many(10_000, lambda at: "# exporter: ignore[x] y\n") + "\n" * 500_000),
    ),
    "names in a comment": ("too-large", spec(rest=f"# exporter: ignore[{'a,' * 400_000}] why\n")),
    "comments in a comment": (None, spec(rest="#" + " # exporter: ignore[" * 45_000)),
    "dims": ("too-large", spec(f"dims:\n{many(20_000, lambda at: f'  d{at}: {at}{chr(10)}')}")),
    "dims of one size": (
        "trace-sizes-collide",
        spec(
            "dims:\n"
            + many(400, lambda at: f"  d{at}: {{trace: 7, check: [1]}}\n")
            + "inputs:\n"
            + many(290, lambda at: f"  x{at}: 'int64[batch, d{at}, d{at + 100}] = ones'\n")
        ),
    ),
    "dims that read one another": (
        None,
        spec(
            "dims:\n"
            + many(400, lambda at: f"  d{at}: d{at + 1} + d{at + 2}\n")
            + "  d400: config.hidden_size\n  d401: config.vocab_size\n"
            + "inputs:\n"
            + many(290, lambda at: f"  x{at}: 'int64[batch, d{at}] = ones'\n")
        ),
    ),
    "wrong keys": ("unknown-key", spec(rest=many(20_000, lambda at: f"k{at}: 1\n"))),
    "wrong keys on one line": ("unknown-key", spec(f"tracer: {{{many(20_000, lambda at: f'k{at}: 1, ')}}}\n")),
    "keys that are nearly right": ("unknown-key", spec(rest=many(20_000, lambda at: f"taskss{at}: 1\n"))),
    "one key": ("duplicate-key", spec(rest="a: 1\n" * 20_000)),
    "long names that are nearly alike": (
        "unknown-dim",
        spec(
            "dims:\n"
            + many(400, lambda at: f"  {'a' * 900}{at}: {at + 7}\n")
            + "inputs:\n"
            + many(90, lambda at: f"  x{at}: 'int64[batch, {'a' * 900}] = ones'\n")
        ),
    ),
    "brackets": ("forbidden-yaml", spec(rest=f"x: {'[' * 200_000}")),
    "levels": ("forbidden-yaml", spec(rest="x:\n" + many(1_000, lambda at: f"{' ' * (at + 1)}a:\n"))),
    "aliases": ("forbidden-yaml", spec(rest="a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n")),
    "values": ("too-large", spec(rest=f"x: [{'a,' * 450_000}]\n")),
    "check sizes": ("too-large", spec(f"dims: {{sequence: {{trace: 8, check: [{'1,' * 90_000}]}}}}\n")),
    "digits": ("too-large", spec(f"dims: {{x: 0x{'f' * 900_000}}}\n")),
    "sizes": ("wrong-value", spec(f"dims: {{sequence: {{trace: {'9' * 18}, check: [1]}}}}\n")),
    "terms of an axis": ("too-large", spec(f"inputs: {{x: 'int64[{'batch + ' * 100_000}batch] = ones'}}\n")),
    "axes": (
        "width-before-height",
        spec("inputs:\n" + many(290, lambda at: f"  x{at}: 'int64[{'awidth, ' * 100}aheight] = ones'\n")),
    ),
    "tensors": (
        "too-large",
        spec(f"inputs:\n{many(20_000, lambda at: f'  x{at}: {chr(39)}int64[batch] = ones{chr(39)}{chr(10)}')}"),
    ),
    "tensors of every task": (
        "too-much-work",
        spec(
            "inputs:\n"
            + many(290, lambda at: f"  x{at}: {{type: 'int64[batch] = ones', when: '{'1 + ' * 90}{at}'}}\n"),
            "tasks:\n"
            + many(
                10,
                lambda at: f"  {TASKS[at % 5]}{'' if at < 5 else '-with-past'}: {{outputs: {{y: 'float[batch]'}}}}\n",
            ),
        ),
    ),
    "tasks": ("too-large", spec(tasks=f"tasks:\n{many(20_000, lambda at: f'  t{at}: {{}}{chr(10)}')}")),
    "variants": ("too-large", spec(rest=f"  variants: [{'{a: 1},' * 60_000}]\n")),
    "values of a config": ("too-large", spec(rest=f"  variants: [{{a: [{'1,' * 90_000}]}}]\n")),
    "a number of a config": ("wrong-value", spec(rest="  variants: [{num_hidden_layers: 999999999}]\n")),
    "long expressions": ("too-large", spec(f"dims: {{x: '{'1 + ' * 200_000}1'}}\n")),
    "words for a list": ("wrong-value", spec(f"tracer: '{'x' * 900_000}'\n")),
    "empty lines": (None, spec(rest="\n" * 900_000)),
}


@pytest.fixture
def lint_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], LintResult]:
    monkeypatch.chdir(tmp_path)

    def lint(text: str) -> LintResult:
        assert len(text.encode()) < 1_000_000
        (tmp_path / "example.yaml").write_text(text, "utf-8")
        return exporter.lint("example.yaml")

    return lint


@pytest.mark.parametrize(("rule", "text"), BOMBS.values(), ids=BOMBS)
def test_a_small_document_that_says_much_ends_soon_in_few_findings(lint_here, rule: str | None, text: str):
    started = time.process_time()
    result = lint_here(text)
    printed = [render_diagnostics(result.diagnostics), *(write(result.diagnostics) for write in WRITERS)]
    assert time.process_time() - started < SECONDS
    assert rule in {None, *(finding.rule for finding in result.diagnostics)}
    assert "rule-crashed" not in {finding.rule for finding in result.diagnostics}
    assert len(result.diagnostics) <= MAX_LISTED_OF_A_FILE + 1
    assert all(len(text) < 2_000_000 for text in printed)


def diagnostics_json(diagnostics: Iterable[Diagnostic]) -> str:
    return to_json(findings_data(diagnostics))


WRITERS = (diagnostics_json, diagnostics_sarif, diagnostics_github)


MANY = many(80_000, lambda at: f"k{at}: 1\n")
BY_COMMAND = {
    "lint comments": ("lint", BOMBS["comments"][1]),
    "lint keys": ("lint", spec(rest=MANY)),
    "show keys": ("show", spec(rest=MANY)),
    "list values": ("list", BOMBS["values"][1]),
}


# Started from here, a command would be counted with the memory of this process, which it is a copy of at first.
MEASURED = """
import json, os, resource, subprocess, sys

resource.setrlimit(resource.RLIMIT_CPU, (30, 30))
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
print(json.dumps([os.waitstatus_to_exitcode(status), usage.ru_maxrss, usage.ru_utime + usage.ru_stime]))
"""


@pytest.mark.parametrize(("command", "text"), BY_COMMAND.values(), ids=BY_COMMAND)
def test_a_command_takes_little_memory_too(command: str, text: str, tmp_path: Path):
    (tmp_path / "example.yaml").write_text(text, "utf-8")
    target = "." if command == "list" else "example.yaml"
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, sys.executable, "-m", "exporter", command, target],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(exporter.__file__).parent.parent)},
        check=True,
    )
    status, kilobytes, seconds = json.loads(done.stdout)
    assert status == 1
    assert kilobytes < MEGABYTES * 1024
    assert seconds < SECONDS


def test_what_is_not_listed_is_counted(lint_here):
    result = lint_here(spec(rest="description: 3\n" + many(500, lambda at: f"k{at}: 1\n")))
    assert result.count == 501
    assert len(result.diagnostics) == MAX_LISTED_OF_A_FILE + 1
    last = result.diagnostics[-1]
    assert (last.rule, last.message) == ("too-many-findings", "401 more findings in this file are not listed")
    assert render_summary(result.diagnostics, 1, result.count).startswith(
        "1 file checked: 100 errors, and 401 more that are not listed"
    )


def test_errors_are_listed_before_warnings(lint_here):
    comments = many(200, lambda at: "# exporter: ignore[x] y\n")
    result = lint_here(comments + spec(rest="colour: blue\n"))
    assert "unknown-key" in {finding.rule for finding in result.diagnostics}
    places = [finding.span.start for finding in result.diagnostics]
    assert places == sorted(places)


def test_the_fix_mends_what_is_not_listed_as_well(lint_here, tmp_path: Path):
    lint_here(spec("tracer: torchscript\n" + many(300, lambda at: "# exporter: ignore[loose-tolerance] why\n")))
    result, fixed = exporter.api.fix(lambda: exporter.lint("example.yaml"))
    assert fixed == 300
    assert result.passed
    assert "ignore" not in (tmp_path / "example.yaml").read_text("utf-8")


def test_of_many_files_so_many_findings_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for number in range(14):
        (tmp_path / f"spec{number}.yaml").write_text(spec(rest=many(120, lambda at: f"k{at}: 1\n")), "utf-8")
    result = exporter.lint(".")
    assert result.count > 14 * 120
    assert len(result.diagnostics) == MAX_LISTED + 14
    assert len([finding for finding in result.diagnostics if finding.rule == "too-many-findings"]) == 14


def test_work_ends_at_the_same_step_whatever_was_done_before(lint_here, monkeypatch: pytest.MonkeyPatch):
    taken = []

    class Kept(Budget):
        __slots__ = ()

        def __init__(self, left: int, **rest) -> None:
            super().__init__(left, **rest)
            taken.append(self)

    monkeypatch.setattr(linting, "Budget", Kept)
    text = spec("dims: {x: config.hidden_size * 2 + 17}\ninputs: {y: 'int64[batch, x] = ones'}\n")
    lint_here(text)
    lint_here(text)
    assert len({(budget.left, budget.compared) for budget in taken if budget.whole is not None}) == 1


def test_a_run_that_did_all_its_work_says_which_files_it_did_not_look_at(tmp_path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for name in "abc":
        (tmp_path / f"{name}.yaml").write_text(spec().replace("example", name), "utf-8")
    assert exporter.lint(".").passed
    monkeypatch.setattr(linting, "STEPS_OF_A_RUN", 9_000)
    result = exporter.lint(".")
    assert [(finding.span.source.name, finding.rule) for finding in result.diagnostics] == [
        ("a.yaml", "too-much-work"),
        ("b.yaml", "too-much-work"),
        ("c.yaml", "too-much-work"),
    ]
    assert "was not looked at" in result.diagnostics[2].message


def test_long_files_take_work_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for name in "abc":
        (tmp_path / f"{name}.yaml").write_text("# x\n" * 10_000, "utf-8")
    monkeypatch.setattr(linting, "STEPS_OF_A_RUN", 25_000)
    found = [(finding.span.source.name, finding.rule) for finding in exporter.lint(".").diagnostics]
    assert found == [("a.yaml", "wrong-type"), ("b.yaml", "wrong-type"), ("c.yaml", "too-much-work")]


def test_a_document_that_takes_too_much_work_is_not_used(lint_here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    lint_here(spec())
    monkeypatch.setattr(linting, "STEPS_OF_A_DOCUMENT", 2_000)
    with pytest.raises(SpecError) as failure:
        load_spec("example.yaml")
    assert {finding.rule for finding in failure.value.diagnostics} == {"too-much-work"}


def test_the_catalogue_takes_a_small_part_of_what_it_may(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(linting, "STEPS_OF_A_DOCUMENT", effort.STEPS_OF_A_DOCUMENT // 20)
    monkeypatch.setattr(linting, "STEPS_OF_A_RUN", effort.STEPS_OF_A_RUN // 10)
    assert exporter.lint(Path(__file__).parents[2] / "specs").passed


def test_steps_are_taken_from_the_document_and_from_the_run():
    run = Budget(10)
    with bounded(Budget(6, whole=run)) as document:
        spend(5)
        with pytest.raises(WorkExhausted):
            spend(2)
    assert document.left < 0
    assert run.left >= 0
    with pytest.raises(WorkExhausted), bounded(Budget(100, whole=run)):
        spend(6)
    assert run.left < 0
    spend(1_000_000)  # outside, nothing is counted


def test_help_ends_where_nobody_would_read_it():
    names = [f"name_{number}" for number in range(50)]
    with bounded(Budget(10_000, compared=120)):
        hints = [suggest("name_x", names, otherwise="there are") for _ in range(4)]
    assert [hint is None for hint in hints] == [False, False, True, True]


def test_a_broken_family_is_looked_at_once_and_told_by_each_of_its_specs_in_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "families").mkdir()
    family = (Path(__file__).parents[2] / "specs" / "families" / "encoder.yaml").read_text("utf-8")
    keys = many(20_000, lambda at: f"k{at}: 1\n")
    (tmp_path / "families" / "broken.yaml").write_text(
        family.replace("family: encoder", "family: broken") + keys, "utf-8"
    )
    for number in range(20):
        text = spec().replace("example", f"spec{number}").replace("extends: encoder", "extends: broken")
        (tmp_path / f"spec{number}.yaml").write_text(text, "utf-8")
    started = time.process_time()
    result = exporter.lint(".")
    assert time.process_time() - started < SECONDS
    assert result.count == 20_001  # and one of the specs, that the rest of the family is not listed with them
    with pytest.raises(SpecError, match="unknown key 'k0'"):
        load_spec("spec1.yaml")
