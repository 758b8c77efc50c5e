"""docs/build-files.md: each of its files is checked and planned, and leads to the places that are shown below it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import REPOSITORY

import exporter
from exporter.api import plan_builds, plan_requests

PAGE = (REPOSITORY / "docs" / "build-files.md").read_text("utf-8")
_BLOCK = re.compile(r"^```(yaml|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = _BLOCK.findall(PAGE)
# Each file with the first list of places after it.
FILES = [
    (code, next(text for other, text in BLOCKS[number:] if other == "text"))
    for number, (language, code) in enumerate(BLOCKS)
    if language == "yaml"
]
SMALL = {"vocab_size": 60}
CHECKPOINTS = {
    "sentiment": (
        "DistilBertForSequenceClassification",
        "distilbert",
        {"dim": 24, "n_layers": 2, "n_heads": 3, "hidden_dim": 20, "max_position_embeddings": 150, **SMALL},
    ),
    "translator": (
        "T5ForConditionalGeneration",
        "t5",
        {"d_model": 24, "d_kv": 8, "d_ff": 20, "num_layers": 2, "num_heads": 3, **SMALL},
    ),
    "writer": ("GPT2LMHeadModel", "gpt2", {"n_embd": 24, "n_layer": 2, "n_head": 3, "n_positions": 40, **SMALL}),
}


@pytest.fixture
def folder(make_checkpoint: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the checkpoints that the page names."""
    for name, (class_name, architecture, config) in CHECKPOINTS.items():
        place = tmp_path / "checkpoints" / name
        place.parent.mkdir(exist_ok=True)
        made = make_checkpoint(class_name, architecture, **config)
        place.mkdir()
        for file in made.iterdir():
            shutil.copy(file, place)
        # What transformers.js asks of a text model.
        for needed in ("tokenizer.json", "tokenizer_config.json"):
            (place / needed).write_text("{}", "utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_page_shows_files_and_their_places():
    assert len(FILES) == PAGE.count("kind: build") == PAGE.count("```text") >= 4


@pytest.mark.parametrize(("code", "places"), FILES, ids=[code.splitlines()[-1].strip() for code, _ in FILES])
def test_each_file_is_good_and_builds_what_is_said(code: str, places: str, folder: Path):
    file = folder / "builds.yaml"
    file.write_text(code, "utf-8")
    assert exporter.lint(file).passed
    builds = plan_builds(["builds.yaml"], {})
    planned = [f"{build.output} {build.architecture} {build.task} {build.request.target}" for build in builds]
    assert planned == [" ".join(line.split()) for line in places.splitlines()]
    plans = plan_requests(["builds.yaml"], {})
    assert [(plan.task, plan.recording.target) for plan in plans] == [
        (build.task, build.request.target) for build in builds
    ]


def test_the_options_of_the_command_are_laid_over_those_of_the_file(folder: Path):
    (folder / "builds.yaml").write_text(next(code for code, _ in FILES if "opset: 17" in code), "utf-8")
    given = {"seed": 7, "output": Path("nightly"), "dims": {"batch": 2}}
    builds = {build.output.name: build for build in plan_builds(["builds.yaml"], given)}
    options = {name: build.request.options for name, build in builds.items()}
    assert {str(build.output.parent) for build in builds.values()} == {"nightly"}
    assert {each.seed for each in options.values()} == {7}
    assert {name: each.dtype for name, each in options.items() if each.dtype != "float32"} == {"half": "float16"}
    assert options["half"].opset == 17
    assert options["fixed"].dims == {"batch": 2, "sequence": 128}


def test_what_leads_out_of_the_directory_is_refused(folder: Path):
    (folder / "builds.yaml").write_text(FILES[0][0].replace("  - spec: bert\n", "  - model: ..\n", 1), "utf-8")
    with pytest.raises(exporter.UsageError, match="leads out of"):
        plan_builds(["builds.yaml"], {})
