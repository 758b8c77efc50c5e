"""What shells complete: asked as their scripts ask, and in bash itself with the script that click writes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import BashComplete
from commands import SPECS, offline_environment

from exporter.cli.completion import ASKED, complete_names
from exporter.cli.main import cli
from exporter.language.catalog import family_names, list_specs, load_tasks
from exporter.language.findings import RULES
from exporter.targets.registry import TARGETS


def completed(words: str) -> list[tuple[str, str]]:
    """Return the kinds and values that the last of some words is completed to."""
    *before, last = words.split(" ")
    shell = BashComplete(cli, {}, "exporter", ASKED)
    return [(item.type, str(item.value)) for item in shell.get_completions(before[1:], last)]


def names(words: str) -> list[str]:
    found = completed(words)
    assert {kind for kind, _ in found} <= {"plain"}
    return [value for _, value in found]


@pytest.mark.parametrize("command", ["build", "plan", "measure", "show", "list", "lint"])
def test_architectures_are_completed(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert names(f"exporter {command} ") == [path.stem for path in list_specs()]
    assert names(f"exporter {command} ber") == ["bert"]


def test_documents_and_directories_here_are_completed_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for name in ("beyond", "bert_specs", ".bert"):
        (tmp_path / name).mkdir()
    for name in ("bert.yaml", "bert.txt", "zoo.yml"):
        (tmp_path / name).touch()
    assert names("exporter build bert") == ["bert", "bert.yaml", "bert_specs/"]
    # The shell knows paths best.
    for path in ("./be", "bert_specs/", "zoo", "~/x"):
        assert completed(f"exporter build {path}") == [("file", path)]


@pytest.mark.parametrize("command", ["build", "plan", "new", "list"])
def test_tasks_are_completed(command: str):
    assert names(f"exporter {command} --task ") == list(load_tasks())
    assert names(f"exporter {command} --task fill") == ["fill-mask"]
    assert names(f"exporter {command} --task=fill") == ["fill-mask"]
    assert names(f"exporter {command} --task text-generation") == ["text-generation", "text-generation-with-past"]


def test_the_last_of_several_words_is_completed():
    assert names("exporter build --task fill-mask,question") == ["fill-mask,question-answering"]
    assert names("exporter build --target onnx,op") == ["onnx,openvino"]
    assert [item.value for item in complete_names("a,b,c", [("cd", None), ("bd", None)])] == ["a,b,cd"]


def test_targets_families_and_rules_are_completed():
    assert names("exporter build --target ") == list(TARGETS)
    assert names("exporter list --target op") == ["openvino"]
    assert names("exporter list --family ") == family_names()
    assert sorted(names("exporter explain ")) == sorted(RULES)
    for option in ("--select", "--ignore"):
        assert names(f"exporter lint {option} circ") == ["circular-dim"]
    assert names("exporter explain EXP00") == ["EXP001", "EXP002", "EXP003"]


def test_families_of_the_specs_here_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "specs" / "families").mkdir(parents=True)
    (tmp_path / "specs" / "families" / "zebra.yaml").touch()
    assert names("exporter list --family z") == ["zebra"]


def test_a_checkpoint_is_a_directory():
    assert completed("exporter build --model ./x") == [("dir", "./x")]


def test_nothing_heavy_is_imported():
    script = (
        "import sys; sys.argv = ['exporter']\nfrom exporter.cli.main import main\n"
        "try: main()\nfinally: print(sorted({'torch', 'transformers', 'onnx', 'numpy', 'rich'} & set(sys.modules)))"
    )
    environment = offline_environment(COMP_WORDS="exporter build --task fi", COMP_CWORD="3", **{ASKED: "bash_complete"})
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.endswith("[]\n"), done.stdout + done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(shell: str):
    command = Path(sys.executable).with_name("exporter")
    environment = offline_environment(**{ASKED: f"{shell}_source"})
    result = subprocess.run([command], env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert f"{ASKED}={shell}_complete" in result.stdout


def test_it_works_in_bash(tmp_path: Path):
    bash, exporter = shutil.which("bash"), Path(sys.executable).with_name("exporter")
    assert bash is not None
    assert exporter.is_file()
    # What bash does at the key, with its own division into words.
    program = f"""
    PATH="{exporter.parent}:$PATH"
    eval "$({ASKED}=bash_source exporter)"
    press() {{
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
        _exporter_completion exporter; echo "${{COMPREPLY[@]}}"
    }}
    press exporter build --task = fill
    press exporter build --task fill-mask,question
    press exporter show distilb
    complete -p exporter
    """
    done = subprocess.run(
        [bash, "--norc", "-c", program],
        cwd=tmp_path,
        env=offline_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.splitlines()
    assert lines[:3] == ["fill-mask", "fill-mask,question-answering", "distilbert"], done.stdout + done.stderr
    assert lines[3].endswith("-F _exporter_completion exporter")


def test_the_page_says_how():
    page = (SPECS.parent / "docs" / "terminal.md").read_text("utf-8")
    for shell in ("bash", "zsh", "fish"):
        assert f"{ASKED}={shell}_source exporter" in page
