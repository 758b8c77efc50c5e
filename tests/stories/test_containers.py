"""The action and the Dockerfile, as far as they can be tried without GitHub and without Docker."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from commands import REPOSITORY, SPECS, offline_environment

ACTION: dict[str, Any] = yaml.safe_load((REPOSITORY / "action.yml").read_text("utf-8"))
DOCKERFILE = (REPOSITORY / "Dockerfile").read_text("utf-8")
LINT = next(step for step in ACTION["runs"]["steps"] if step.get("id") == "lint")
INSTALL = next(step for step in ACTION["runs"]["steps"] if step.get("name") == "Install")


@pytest.fixture
def runner(tmp_path: Path):
    """Run a step's script as GitHub does: inputs in its environment, and Python where it was installed."""
    programs = tmp_path / "runner" / "exporter-lint" / "bin"
    programs.mkdir(parents=True)
    (programs / "exporter").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m exporter "$@"\n', "utf-8")
    (programs / "exporter").chmod(0o755)

    def run(**variables: str) -> tuple[subprocess.CompletedProcess[str], str]:
        output = tmp_path / "output"
        output.write_text("", "utf-8")
        assert set(variables) == set(LINT["env"])
        environment = offline_environment(RUNNER_TEMP=str(tmp_path / "runner"), GITHUB_OUTPUT=str(output), **variables)
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", LINT["run"]]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        return done, output.read_text("utf-8")

    return run


def test_the_action_passes_what_is_good(runner):
    done, output = runner(PATHS=f"{SPECS}/bert.yaml\n\n{SPECS}/gpt2.yaml\n", ARGS="")
    assert done.returncode == 0, done.stderr
    assert output == "exit-code=0\n"


def test_the_action_annotates_what_is_wrong(runner, tmp_path: Path):
    text = (SPECS / "bert.yaml").read_text("utf-8").replace("fill-mask:", "fil-mask:")
    (tmp_path / "a b").mkdir()
    (tmp_path / "a b" / "bert.yaml").write_text(text, "utf-8")
    done, output = runner(PATHS="a b", ARGS="")
    assert done.returncode == 1
    assert output == "exit-code=1\n"
    assert re.search(r"^::error file=a b/bert\.yaml,line=\d+,", done.stdout, re.MULTILINE), done.stdout


def test_the_action_takes_more_options_and_runs_none_of_its_inputs(runner, tmp_path: Path):
    done, _ = runner(PATHS=str(SPECS / "bert.yaml"), ARGS="--ignore unknown-dim --select wrong-type")
    assert done.returncode == 0, done.stderr
    done, output = runner(PATHS="$(touch ran)", ARGS="")
    assert (done.returncode, output) == (2, "exit-code=2\n")
    assert not (tmp_path / "ran").exists()
    assert "${{" not in LINT["run"] + INSTALL["run"]


@pytest.mark.parametrize(("version", "installed"), [("", "/action"), ("0.1.0", "checkpoint-exporter==0.1.0")])
def test_the_action_installs_itself_or_the_version_asked_for(version: str, installed: str, tmp_path: Path):
    (tmp_path / "exporter-lint" / "bin").mkdir(parents=True)
    (tmp_path / "python").write_text("#!/bin/sh\n", "utf-8")
    pip = tmp_path / "exporter-lint" / "bin" / "python"
    pip.write_text('#!/bin/sh\nfor word; do last=$word; done\nprintf %s "$last"\n', "utf-8")
    for program in (tmp_path / "python", pip):
        program.chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "RUNNER_TEMP": str(tmp_path),
        "VERSION": version,
        "ACTION": "/action",
    }
    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", INSTALL["run"]], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == installed


def test_the_readme_uses_the_inputs_the_action_has():
    text = (REPOSITORY / "README.md").read_text("utf-8")
    used = re.search(r"- uses: exporter-dev/exporter@v[\d.]+\n +with: (\{.+\})", text)
    assert used is not None
    assert set(yaml.safe_load(used[1])) <= set(ACTION["inputs"])


def instructions() -> list[tuple[str, str]]:
    lines = re.sub(r"\\\n", " ", "\n".join(line for line in DOCKERFILE.splitlines() if not line.startswith("#")))
    return [(words[0], words[1]) for line in lines.splitlines() if (words := line.split(maxsplit=1))]


def test_images_are_run_by_a_user_who_is_not_root():
    stages: dict[str, list[tuple[str, str]]] = {}
    for name, rest in instructions():
        if name == "FROM":
            stage = stages.setdefault(rest.split(" AS ")[1], [])
        stage.append((name, rest))
    assert list(stages)[-1] == "build"  # what is built where no target is asked for
    for name in ("light", "build"):
        assert stages[name][-1] == ("USER", "exporter")
    assert "[build]" not in str(stages["light"])
    assert "[build]" in str(stages["build"])


def test_what_an_image_copies_is_not_ignored():
    ignored = (REPOSITORY / ".dockerignore").read_text("utf-8").splitlines()
    assert ignored[0] == "*"
    kept = [line[1:] for line in ignored if line.startswith("!")]
    assert all((REPOSITORY / name).exists() for name in kept)
    copied = [rest.split()[0] for name, rest in instructions() if name == "COPY" and not rest.startswith("--from")]
    assert set(copied) <= {".", *kept}
    # What the wheel is made of.
    assert {"exporter", "specs", "schemas", "pyproject.toml", "README.md", "LICENSE"} <= set(kept)


def test_shell_of_images_and_of_the_action_is_shell():
    scripts = [rest for name, rest in instructions() if name == "RUN"] + [LINT["run"], INSTALL["run"]]
    for script in scripts:
        subprocess.run(["bash", "-n", "-c", script], check=True)
