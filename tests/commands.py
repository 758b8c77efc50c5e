"""The command line as the tests run it: without a network, and with a promise about how it fails.

A plain module and no part of ``conftest.py``: pytest imports that file as ``tests.conftest``, so that a test which says
``from conftest import run`` would execute it a second time.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from exporter.language.schema import bundle_schema

REPOSITORY = Path(__file__).parent.parent
SPECS = REPOSITORY / "specs"
# A directory whose sitecustomize.py closes the network to every Python that has it on its path.
OFFLINE = Path(__file__).parent / "offline"

# The config of a BERT that is made in a blink.
TINY_BERT = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 20,
    "max_position_embeddings": 40,
    "vocab_size": 50,
    "type_vocab_size": 2,
}
# The fixture `run`: takes the words of a command, and returns how the command ended and what it printed.
Run = Callable[..., subprocess.CompletedProcess[str]]


def offline_environment(**extra: str) -> dict[str, str]:
    """Return an environment whose Pythons have no network."""
    path = os.pathsep.join(filter(None, (str(OFFLINE), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, "PYTHONWARNINGS": "", "NO_COLOR": "1", **extra}


def online_environment(**extra: str) -> dict[str, str]:
    """Return an environment for installers, which need the network that the Pythons of the tests do not have."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONWARNINGS")}
    return {**kept, **extra}


def assert_clean_failure(result: subprocess.CompletedProcess[str], code: int) -> str:
    """Check that a command failed as users are promised: exit code, error, no traceback. Return the printed text."""
    printed = result.stderr + result.stdout
    assert result.returncode == code, printed
    assert "Traceback" not in printed, printed
    assert "error" in printed, printed
    return printed


def read_answer(printed: str, *, ok: bool = True) -> dict[str, Any]:
    """Return the one JSON object that a command printed for a program, which is what its schema says."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    answer: dict[str, Any] = json.loads(printed, parse_constant=refuse)
    kind = f"{answer['command']}-output" if answer["command"] is not None else "output"
    jsonschema.Draft202012Validator(bundle_schema(kind)).validate(answer)
    assert (answer["exit_code"] == 0) is answer["ok"] is ok, answer
    return answer


def run_among_mounts(script: str, *arguments: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a shell script that may mount, in a namespace of its own; what it mounts is gone when it ends.

    A script that leaves with 77 says that nothing can be mounted, and the test is skipped.
    """
    unshare = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
    try:
        done = subprocess.run(
            [*unshare, "sh", "-c", script, "sh", *arguments],
            env=env,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    except FileNotFoundError:
        pytest.skip("there is no unshare")
    if done.returncode == 77 or done.stderr.startswith("unshare:"):
        pytest.skip("nothing can be mounted here")
    return done


def run_card(folder: Path, *packages: Path) -> str:
    """Run the program of a card where the card is, as a reader would, and return what it prints.

    It is the last of the card's programs, the one that runs with the target's own runtime.
    """
    programs = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text("utf-8"), re.DOTALL)
    environment = offline_environment()
    environment["PYTHONPATH"] = os.pathsep.join((*map(str, packages), environment["PYTHONPATH"]))
    ran = subprocess.run(
        # torch deprecates the loader of TorchScript, and has no other for it.
        [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", programs[-1]],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout
