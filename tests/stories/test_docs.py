"""The documentation: generated pages are fresh, commands are those of the command line, and links lead somewhere."""

from __future__ import annotations

import ast
import contextlib
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml
from commands import REPOSITORY, offline_environment

from exporter.cli.main import cli
from exporter.cli.render.text import render_diagnostics
from exporter.language.findings import RULES
from exporter.language.linting import lint_paths

PAGES = sorted({REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md")})
TEXT = {page: page.read_text("utf-8") for page in PAGES}
# A fence below a numbered step is indented, as in docs/adding-a-model.md.
_FENCE = re.compile(r"^( *)```(\w+)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)(#[^)\s]*)?\)")


def blocks(*languages: str) -> Iterator[tuple[str, str]]:
    """Yield a name and the text of each code block in some languages."""
    for page, text in TEXT.items():
        for match in _FENCE.finditer(text):
            if match[2] in languages:
                code = "".join(line.removeprefix(match[1]) for line in match[3].splitlines(keepends=True))
                yield f"{page.name}:{text.count(chr(10), 0, match.start()) + 1}", code


def commands() -> Iterator[tuple[str, list[str]]]:
    """Yield each use of the command line in a shell block, as its words."""
    for place, code in blocks("bash", "sh", "shell", "console"):
        for line in code.replace("\\\n", " ").splitlines():
            for part in re.split(r"&&|\|", line.partition(" #")[0]):
                part = part.partition(" > ")[0].strip().removeprefix("$ ")
                if part.startswith("exporter "):
                    yield f"{place}: {part}", shlex.split(part)[1:]


@pytest.mark.parametrize(
    "page", ["README.md", "docs/cli.md", "docs/rules.md", "docs/schema.md", "schemas/vocabulary.schema.json"]
)
def test_what_is_generated_is_not_stale(page: str):
    generated = runpy.run_path(str(REPOSITORY / "docs" / "regenerate.py"))["generated"]()
    path = REPOSITORY / page
    # Compared outside of the assert: pytest would print the difference of two whole pages.
    fresh = path.read_text("utf-8") == generated[path]
    assert fresh, f"{page} is stale: run python docs/regenerate.py"


def test_every_rule_has_its_page():
    for name, rule in RULES.items():
        assert name in TEXT[REPOSITORY / "docs" / "rules.md"]
        assert rule.code in TEXT[REPOSITORY / "docs" / "rules.md"]


@pytest.mark.parametrize("name", cli.commands)
def test_every_command_is_told_of(name: str):
    assert any(f"exporter {name}" in text for text in TEXT.values())


@pytest.mark.parametrize(("command", "words"), [pytest.param(name, words, id=name) for name, words in commands()])
def test_commands_in_the_documentation_are_ones_the_command_line_takes(command: str, words: list[str], monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    if words[0].startswith("-"):
        return
    assert words[0] in cli.commands, command
    with contextlib.suppress(click.exceptions.Exit):  # of --help
        cli.commands[words[0]].make_context(words[0], words[1:])


@pytest.mark.parametrize(("place", "code"), [pytest.param(place, code, id=place) for place, code in blocks("python")])
def test_python_in_the_documentation_is_python_and_uses_what_exists(place: str, code: str):
    import exporter

    for node in ast.walk(ast.parse(code, place)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "exporter":
            assert hasattr(exporter, node.attr), f"{place}: exporter.{node.attr}"
        if isinstance(node, ast.ImportFrom) and node.module == "exporter":
            assert all(hasattr(exporter, name.name) for name in node.names), place


def test_the_programs_of_the_readme_run_as_they_are_printed(tmp_path: Path):
    programs = [code for place, code in blocks("python") if place.startswith("README.md")]
    assert len(programs) >= 2
    # What the first command of the README leaves behind, of which the programs use one artifact.
    first = "import exporter; exporter.build('bert', task='fill-mask', output='artifacts/bert/fill-mask')"
    for code in (first, *programs):
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            env=offline_environment(),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, code + done.stderr


def specs_shown() -> Iterator[tuple[str, str, set[str]]]:
    """Yield the place and text of each whole spec, and the rules whose findings in it are shown next."""
    shown = [
        block for block in blocks("yaml", "console", "text", "bash", "python") if not block[0].startswith("rules.md")
    ]
    for (place, code), (_, after) in zip(shown, [*shown[1:], ("", "")], strict=True):
        if {"spec_version", "architecture", "extends", "tasks"} <= set(re.findall(r"^(\w+):", code, re.MULTILINE)):
            yield place, code, set(re.findall(r"(?:error|warning)\[([\w-]+)\]", after))


@pytest.mark.parametrize(("place", "code", "wrong"), [pytest.param(*shown, id=shown[0]) for shown in specs_shown()])
def test_specs_in_the_documentation_are_good_unless_their_mistakes_are_shown(
    place: str, code: str, wrong: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    name = f"{yaml.safe_load(code)['architecture']}.yaml"
    (tmp_path / name).write_text(code, "utf-8")
    result = lint_paths([name])
    shown = {rule for rule in wrong if not RULES[rule].needs_models}
    assert {finding.rule for finding in result.diagnostics} <= shown, place + render_diagnostics(result.diagnostics)


def test_yaml_of_the_readme_is_yaml():
    for place, code in blocks("yaml"):
        assert not place.startswith("README.md") or yaml.safe_load(code), place


@pytest.mark.parametrize(
    "page", [*PAGES, *(REPOSITORY / "docs" / "decisions").glob("*.md")], ids=lambda page: page.name
)
def test_links_lead_somewhere(page: Path):
    for match in _LINK.finditer(page.read_text("utf-8")):
        assert (page.parent / match[1]).exists(), f"{page.name}: {match[1]}"


def test_the_set_up_commands_are_the_ones_that_are_tried():
    """The script that tries a clean clone runs these two, as they are printed."""
    script = (REPOSITORY / ".ci" / "run").read_text("utf-8")
    for command in (
        "pip install -c constraints.txt '.[build]' && exporter build specs/bert.yaml",
        "pip install -c constraints.txt -e '.[test]' && pytest",
    ):
        assert command in TEXT[REPOSITORY / "README.md"]
    assert "exporter build specs/bert.yaml" in script
    assert "pytest" in script
