"""What five kinds of people type, and what they read: each file of `tests/transcripts/` is replayed, line by line.

A transcript holds what a person does, in their words, then a command after ``$`` and all that it prints, errors too,
and its exit code where that is not 0. What differs from run to run or from machine to machine (times, sizes, versions,
differences from PyTorch) is written as ``#``. ``pytest --update-goldens`` writes the outputs anew: read them as prose.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from commands import REPOSITORY, TINY_BERT, offline_environment

TRANSCRIPTS = REPOSITORY / "tests" / "transcripts"
USERS = ("checkpoint-owner", "earlier-system", "optimum", "spec-author", "maintainer")
# A command goes on in the next line where a line ends with this.
GOES_ON = " \\"
# What differs between two runs. The first group is kept.
VARIES = (
    re.compile(r"(\b)\d+(?:\.\d+)?(?:e[-+]\d+)?(?= (?:ms|s|B|kB|MB|GB|%)(?:\W|$))", re.MULTILINE),
    re.compile(r"(\b)\d+(?=% of its bound)"),
    re.compile(r"(\bmax difference )[-+\d.e]+"),
    re.compile(r"(\b(?:onnxruntime|torch|transformers|openvino|python|onnx) )\d+\.\d+[\w.+]*", re.IGNORECASE),
    re.compile(r"(': )0\.\d{3}\b"),
    re.compile(r"(\b(?:sha256|commit)[: ])[0-9a-f]+"),
)


@dataclass
class Step:
    """A command, with the words before it and what it printed."""

    words: list[str]
    command: str
    output: str


def read_steps(text: str) -> Iterator[Step]:
    """Yield the commands of a transcript."""
    words: list[str] = []
    step: Step | None = None
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith("$ "):
            command = [line[2:]]
            while command[-1].endswith(GOES_ON):
                command[-1] = command[-1].removesuffix(GOES_ON)
                command.append(next(lines))
            if step is not None:
                yield step
            step, words = Step(words, "\n".join(command), ""), []
        elif line.startswith("# "):
            words.append(line)
        elif step is not None and (line or not words):
            step.output += line + "\n"
    if step is not None:
        yield step


def settled(text: str, place: Path) -> str:
    """Return what a command printed without what differs from run to run."""
    text = text.replace(str(place), ".")
    for pattern in VARIES:
        text = pattern.sub(r"\1#", text)
    return "\n".join(line.rstrip() for line in text.strip("\n").splitlines())


def replay(steps: list[Step], place: Path, tools: Path) -> Iterator[str]:
    """Run the commands one after another in one directory, and yield what each prints."""
    environment = offline_environment(
        PATH=os.pathsep.join([str(tools), os.environ["PATH"]]),
        PYTHONPATH=os.pathsep.join(
            filter(None, [str(REPOSITORY / "tests" / "offline"), str(REPOSITORY), os.environ.get("PYTHONPATH")])
        ),
        HOME=str(place),
        XDG_CACHE_HOME=str(place / ".cache"),
        COLUMNS="120",
        TERM="dumb",
    )
    for step in steps:
        done = subprocess.run(
            ["/bin/sh", "-c", step.command],
            cwd=place,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=500,
            check=False,
        )
        code = f"\n[exit {done.returncode}]" if done.returncode else ""
        yield settled(done.stdout + code, place)


def write_transcript(path: Path, steps: list[Step], printed: list[str]) -> None:
    parts = [
        "\n".join([*step.words, "$ " + step.command.replace("\n", f"{GOES_ON}\n"), *filter(None, [output])])
        for step, output in zip(steps, printed, strict=True)
    ]
    path.write_text("\n\n".join(parts) + "\n", "utf-8")


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A directory with the commands that people have after an install."""
    folder = tmp_path / "tools"
    folder.mkdir()
    entry = "import sys; from exporter.cli import main; sys.argv[0] = 'exporter'; main()"
    for name, words in (("exporter", f'-c "{entry}" '), ("python", "")):
        script = folder / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" {words}"$@"\n', "utf-8")
        script.chmod(0o755)
    return folder


@pytest.fixture
def place(tmp_path: Path, make_checkpoint: Callable[..., Path]) -> Path:
    """A directory as each of the five has it: a checkpoint with its tokenizer, and the catalogue's specs."""
    from transformers import AutoTokenizer, BertTokenizer

    folder = tmp_path / "place"
    labels = {0: "negative", 1: "neutral", 2: "positive"}
    made = make_checkpoint("BertForSequenceClassification", "bert", **TINY_BERT, id2label=labels)
    shutil.copytree(made, folder / "my-model")
    vocabulary = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *"abcdefghijklmnopqrstuvwxyz",
        "a",
        "film",
        "good",
        "bad",
    ]
    words = folder / "vocab.txt"
    words.write_text("\n".join(dict.fromkeys(vocabulary)), "utf-8")
    BertTokenizer(str(words)).save_pretrained(folder / "my-model")
    words.unlink()
    assert AutoTokenizer.from_pretrained(folder / "my-model")("good film")["input_ids"]
    shutil.copytree(REPOSITORY / "specs", folder / "specs")
    return folder


@pytest.mark.parametrize("user", USERS)
def test_a_transcript_is_what_is_printed(user: str, place: Path, tools: Path, request: pytest.FixtureRequest) -> None:
    path = TRANSCRIPTS / f"{user}.txt"
    steps = list(read_steps(path.read_text("utf-8")))
    assert steps
    printed = list(replay(steps, place, tools))
    if request.config.getoption("--update-goldens"):
        write_transcript(path, steps, printed)
        steps = list(read_steps(path.read_text("utf-8")))
    for step, output in zip(steps, printed, strict=True):
        assert output == step.output.strip("\n"), f"after '{step.command}'"


def test_each_transcript_has_its_user() -> None:
    assert {path.stem for path in TRANSCRIPTS.iterdir()} == set(USERS)
