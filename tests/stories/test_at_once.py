"""The likeliest mistakes are answered at once: in the words of a build, without torch and without transformers.

Time is never asserted, since it is the machine's; what takes it is: no library that takes seconds is imported. A run
with ``-s`` prints the table of mistakes, messages and CPU seconds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from commands import TINY_BERT, offline_environment

SLOW = ("torch", "transformers", "onnx", "onnxscript", "onnxruntime")
# Runs a command, and says at its end which libraries it has imported.
COMMAND = f"""
import atexit, sys
atexit.register(lambda: print("imported:", sorted(set(sys.modules) & set({SLOW})), file=sys.stderr))
from exporter.cli.main import main
main()
"""
NEURON = ("--target", "neuron", "--dim", "batch=1", "--dim", "sequence=8", "--no-verify")


@dataclass(frozen=True)
class Mistake:
    """Words of a command, of which ``CHECKPOINT`` is a masked language model, and how it is refused."""

    words: tuple[str, ...]
    message: str
    help: str
    code: int = 2


MISTAKES = {
    "a dim that is none": Mistake(
        ("bert", "--task", "fill-mask", "--dim", "seq=128"),
        "'seq' is no dynamic dim of fill-mask",
        "did you mean 'sequence'?",
    ),
    "--static without sizes": Mistake(
        ("bert", "--task", "fill-mask", "--static"),
        "--static fixes every dim, and fill-mask needs the sizes of: batch, sequence",
        "--dim batch=N --dim sequence=N",
    ),
    "a task the weights lack": Mistake(
        ("--model", "CHECKPOINT", "--task", "text-classification"),
        "lacks 2 weights that BertForSequenceClassification needs: classifier.bias, classifier.weight",
        "choose a task the checkpoint was trained for",
        code=1,
    ),
    "an SDK that is not there": Mistake(
        ("bert", "--task", "fill-mask", *NEURON),
        "the target neuron needs the package 'torch_neuronx', which cannot be imported",
        "AWS Neuron SDK",
        code=1,
    ),
    "a task that is none": Mistake(
        ("bert", "--task", "text-clasification"),
        "text-clasification",
        "text-classification",
    ),
    "a checkpoint that is not there": Mistake(
        ("--model", "./no-such-directory"),
        "the checkpoint './no-such-directory' does not exist",
        "config.json",
    ),
    "a checkpoint without weights": Mistake(
        ("--model", "WITHOUT"),
        "there are no weights in",
        "model.safetensors",
        code=1,
    ),
    "weights that were cut short": Mistake(
        ("--model", "CUT"),
        "model.safetensors is truncated",
        "download or copy the file again",
        code=1,
    ),
    "an opset that is too low": Mistake(
        ("bert", "--task", "fill-mask", "--opset", "9"),
        "opset 9 cannot be had: the torchscript tracer writes opsets 11 to 20",
        "choose an opset in that range",
    ),
    "an output that is a file": Mistake(
        ("bert", "--task", "fill-mask", "-o", "FILE"),
        "is a file",
        "give a directory with -o",
    ),
    "a config the spec refuses": Mistake(
        ("wav2vec2", "--task", "audio-classification", "--variant", "2"),
        "cannot be had where config.add_adapter",
        "see ",
    ),
    "a size in each row of a build file": Mistake(
        ("models.yaml",),
        "'seq' is no dynamic dim of fill-mask",
        "did you mean 'sequence'?",
    ),
    "an architecture without a spec": Mistake(
        ("--model", "STRANGE"),
        "there is no spec for the architecture 'strange'",
        "write one and name it",
    ),
    "an opset that is too high": Mistake(
        ("bert", "--task", "fill-mask", "--opset", "99"),
        "opset 99 cannot be had: the torchscript tracer writes opsets 11 to 20",
        "choose an opset in that range",
    ),
    "an opset of a target without any": Mistake(
        ("bert", "--task", "fill-mask", "--target", "torch-export", "--opset", "18"),
        "--opset does not go with the target torch-export",
        "leave it out",
    ),
    "a directory without specs": Mistake(
        ("./empty",),
        "there are no specs in './empty'",
        "a spec is a .yaml file directly in the directory",
    ),
    "a config that is no JSON": Mistake(
        ("--model", "NOJSON"),
        "config.json is not valid JSON: Expecting value",
        "",
        code=1,
    ),
    "a cache of an encoder": Mistake(
        ("bert", "--task", "fill-mask-with-past"),
        "the architecture 'bert' has no task 'fill-mask-with-past'",
        "did you mean 'fill-mask'?",
    ),
}


# What the command line itself refuses, and what only a build that would write finds out.
WORDS = {
    "an output that cannot be made": (
        ("-o", "/proc/nothing/here"),
        "the output '/proc/nothing/here' cannot be written",
    ),
    "a dtype that is none": (("--dtype", "float64"), "'float64' is not one of 'float32', 'float16', 'bfloat16'"),
    "a tracer that is none": (("--tracer", "dynamoo"), "did you mean 'dynamo'?"),
    "a target that is none": (("--target", "onxn"), "did you mean 'onnx'?"),
    "an option that is none": (("--outptu", "x"), "No such option '--outptu'. Did you mean '--output'?"),
    "an option of another tool": (("--no-dynamic-axes",), "here: --static, with a --dim NAME=SIZE for every dim"),
}


@pytest.fixture(scope="module")
def places(make_checkpoint: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Checkpoints that a mistake is about, and a directory to run commands in."""
    whole = make_checkpoint("BertForMaskedLM", "bert", **TINY_BERT)
    home = tmp_path_factory.mktemp("home")
    weights = (whole / "model.safetensors").read_bytes()
    config = json.loads((whole / "config.json").read_text())
    made = {"CHECKPOINT": whole, "HOME": home, "FILE": home / "file"}
    for name, content, values in (
        ("WITHOUT", None, config),
        ("CUT", weights[: len(weights) // 2], config),
        ("STRANGE", weights, {**config, "model_type": "strange"}),
    ):
        made[name] = home / name.lower()
        made[name].mkdir()
        (made[name] / "config.json").write_text(json.dumps(values))
        if content is not None:
            (made[name] / "model.safetensors").write_bytes(content)
    made["NOJSON"] = home / "nojson"
    made["NOJSON"].mkdir()
    (made["NOJSON"] / "config.json").write_text('{"model_type":')
    (made["NOJSON"] / "model.safetensors").write_bytes(weights)
    (home / "empty").mkdir()
    made["FILE"].write_text("here")
    rows = "".join(f"  - {{spec: bert, tasks: [fill-mask], dims: {{seq: 3}}, output: b{n}}}\n" for n in range(20))
    (home / "models.yaml").write_text(f"spec_version: 1\nkind: build\nbuilds:\n{rows}")
    return made


def exporter(places: dict[str, Path], *words: str) -> tuple[subprocess.CompletedProcess[str], float]:
    """Run a command, and return how it ended and the CPU seconds it took."""
    before = os.times()
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, *(str(places.get(word, word)) for word in words)],
        cwd=places["HOME"],
        env=offline_environment(EXPORTER_CACHE=str(places["HOME"] / "cache")),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    after = os.times()
    seconds = after.children_user + after.children_system - before.children_user - before.children_system
    return done, seconds


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_without_torch(name: str, places: dict[str, Path]) -> None:
    mistake = MISTAKES[name]
    done, seconds = exporter(places, "build", *mistake.words)
    assert mistake.message in done.stderr, done.stderr
    assert mistake.help in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    assert done.returncode == mistake.code, done.stderr
    assert "imported: []" in done.stderr, done.stderr
    print(f"| {name} | {mistake.message} | {seconds:.2f} |")


@pytest.mark.parametrize("name", WORDS)
def test_a_word_that_cannot_be_had_is_told_without_torch(name: str, places: dict[str, Path]) -> None:
    words, message = WORDS[name]
    done, seconds = exporter(places, "build", "bert", "--task", "fill-mask", *words)
    assert message in done.stderr, done.stderr
    assert done.returncode == 2
    assert "imported: []" in done.stderr, done.stderr
    print(f"| {name} | {message} | {seconds:.2f} |")


@pytest.mark.parametrize("name", MISTAKES)
def test_a_dry_run_tells_the_same(name: str, places: dict[str, Path]) -> None:
    mistake = MISTAKES[name]
    done, _ = exporter(places, "build", *mistake.words, "--dry-run")
    assert mistake.message in done.stdout + done.stderr, done.stdout + done.stderr
    assert done.returncode == mistake.code
    assert "imported: []" in done.stderr


def test_a_dry_run_tells_all_of_a_good_build(places: dict[str, Path]) -> None:
    done, seconds = exporter(places, "build", "--model", "CHECKPOINT", "-o", "out", "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    assert "imported: []" in done.stderr
    (foreseen,) = json.loads(done.stdout)["dry_run"]
    size = (places["CHECKPOINT"] / "model.safetensors").stat().st_size
    assert foreseen["source"]["weights"] == size
    assert foreseen["plan"]["graphs"][0]["component"] == "model"
    assert foreseen["refusals"] == []
    assert not (places["HOME"] / "out").exists()
    print(f"| a dry run | {foreseen['title']} | {seconds:.2f} |")


def test_after_a_build_its_time_is_told(places: dict[str, Path]) -> None:
    words = ("build", "--model", "CHECKPOINT", "-o", "built")
    built, _ = exporter(places, *words)
    assert built.returncode == 0, built.stderr
    done, _ = exporter(places, *words, "--dry-run", "--json")
    (foreseen,) = json.loads(done.stdout)["dry_run"]
    assert foreseen["last"]["seconds"] > 0
    assert foreseen["output"]["artifact"]["task"] == "fill-mask"
    size = sum(path.stat().st_size for path in (places["HOME"] / "built").rglob("*") if path.is_file())
    assert foreseen["last"]["bytes"] == pytest.approx(size, rel=0.01)


WITHOUT = """
import sys
missing = "torch transformers onnx onnxruntime safetensors huggingface_hub numpy ml_dtypes"
sys.modules.update(dict.fromkeys(missing.split()))
from exporter.models import config_library, told_config
for module in (config_library, told_config):
    module.library_directory = lambda: None
"""


def test_a_plan_needs_neither_transformers_nor_torch(places: dict[str, Path]) -> None:
    plans = []
    for first in ("", WITHOUT):
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                f"{first}\nfrom exporter.cli.main import main\nmain()",
                "plan",
                "--model",
                str(places["CHECKPOINT"]),
                "--json",
            ],
            cwd=places["HOME"],
            env=offline_environment(),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        plans.append(json.loads(done.stdout))
    assert plans[0] == plans[1]
