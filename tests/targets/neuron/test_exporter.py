"""AWS Neuron, against a stand-in for its SDK: fixed shapes, a hidden tracer, and a compiler with arguments."""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import REPOSITORY, Run, assert_clean_failure, offline_environment

import exporter
from exporter.api import given_options
from exporter.building.pool import Outcome, run_builds
from exporter.building.requests import plan_builds
from exporter.errors import UsageError
from exporter.language.schema import load_schema
from exporter.models.arrays import to_torch
from exporter.models.flat_model import FlatModel
from exporter.models.patches import applied_patches
from exporter.models.references import make_reference
from exporter.planning.dummies import make_dummies
from exporter.planning.plan import Plan
from exporter.targets.neuron.exporter import compile_graph
from exporter.targets.registry import TARGETS

FAKES = REPOSITORY / "tests" / "fakes"
SDK = str(FAKES / "neuron")
SIZES = {"batch": 1, "sequence": 128}
DIMS = ("--dim", "batch=1", "--dim", "sequence=128")
CONFIG = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 37,
    "max_position_embeddings": 128,
    "vocab_size": 99,
    "type_vocab_size": 2,
    "num_labels": 3,
}


def with_sdk(*before: Path | str, **extra: str) -> dict[str, str]:
    """Return an environment in which the stand-in is installed, and other directories before it."""
    environment = offline_environment(**extra)
    return {**environment, "PYTHONPATH": os.pathsep.join([*map(str, before), environment["PYTHONPATH"], SDK])}


@pytest.fixture(scope="session")
def checkpoint(make_checkpoint: Callable[..., Path]) -> Path:
    return make_checkpoint("BertForSequenceClassification", "bert", **CONFIG)


@pytest.fixture(scope="session")
def sdk() -> Iterator[Any]:
    """The stand-in, in this process."""
    sys.path.append(SDK)
    yield importlib.import_module("torch_neuronx")
    sys.path.remove(SDK)


Compile = Callable[..., Outcome]


@pytest.fixture(scope="session")
def compile_model() -> Iterator[Compile]:
    """Build for Neuron in a worker of its own, where the stand-in is installed."""
    asked: list[Any] = []

    def queue() -> Iterator[Any]:
        while True:
            yield asked.pop()

    outcomes = run_builds(queue())

    def build(
        output: Path,
        *specs: str,
        model: Path | None = None,
        task: str = "text-classification",
        dims: dict[str, int] = SIZES,
        bound: tuple[float | None, float | None] = (None, None),
        **settings: Any,
    ) -> Outcome:
        given = given_options(
            model=str(model) if model is not None else None,
            tasks=(task,),
            targets=("neuron",),
            output=output,
            dims=dims,
            settings=settings,
            atol=bound[0],
            rtol=bound[1],
        )
        asked.extend(plan_builds(specs, given))
        # The worker starts with the first build.
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PYTHONPATH", with_sdk()["PYTHONPATH"])
            return next(outcomes)

    yield build
    outcomes.close()


def good(outcome: Outcome) -> Plan:
    assert outcome.error is None, outcome.error
    assert outcome.plan is not None
    return outcome.plan


def rows(padded: int, seed: int, batch: int = 1) -> tuple[torch.Tensor, ...]:
    """Return the inputs of a text classifier, with so many tokens of padding."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, CONFIG["vocab_size"], (batch, SIZES["sequence"]), generator=generator)
    mask = torch.ones_like(ids)
    mask[:, SIZES["sequence"] - padded :] = 0
    return ids, mask, torch.randint(0, 2, ids.shape, generator=generator)


def logits_of(checkpoint: Path, inputs: tuple[torch.Tensor, ...]) -> torch.Tensor:
    transformers = importlib.import_module("transformers")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(checkpoint).eval()
    with torch.no_grad():
        logits: torch.Tensor = model(input_ids=inputs[0], attention_mask=inputs[1], token_type_ids=inputs[2]).logits
    return logits


@pytest.fixture(scope="session")
def artifact(compile_model: Compile, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Plan]:
    """A classifier compiled for a batch of 1 and 128 tokens."""
    directory = tmp_path_factory.mktemp("neuron")
    plan = good(
        compile_model(
            directory / "out", model=checkpoint, instance_type="inf2", compiler_workdir=str(directory / "work")
        )
    )
    return directory / "out", plan


def test_a_classifier_computes_what_pytorch_computes(artifact: tuple[Path, Plan], checkpoint: Path, sdk: Any) -> None:
    program = torch.jit.load(str(artifact[0] / "model.neuron"))
    for seed in range(3):
        for padded in (0, 1, 100):
            inputs = rows(padded, seed)
            (logits,) = program(*inputs)
            torch.testing.assert_close(logits, logits_of(checkpoint, inputs), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("shape", [(2, 128), (1, 127)])
def test_tensors_of_another_shape_are_refused(artifact: tuple[Path, Plan], sdk: Any, shape: tuple[int, int]) -> None:
    program = torch.jit.load(str(artifact[0] / "model.neuron"))
    with pytest.raises(Exception, match=r"the program takes \[1, 128\], and was given"):
        program(*(torch.ones(shape, dtype=torch.int64) for _ in range(3)))


def test_a_program_runs_without_transformers_and_not_without_the_sdk(artifact: tuple[Path, Plan]) -> None:
    program = str(artifact[0] / "model.neuron")
    load = f"import sys, torch; torch.jit.load({program!r}); assert 'transformers' not in sys.modules"
    for code, environment, works in (
        (f"import torch_neuronx; {load}", with_sdk(), True),
        (load, with_sdk(), False),
        (load, offline_environment(), False),
    ):
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
        )
        assert (done.returncode == 0) is works, done.stderr
        assert works or "neuron_stand_in" in done.stderr


def test_the_config_tells_optimum_what_was_compiled(artifact: tuple[Path, Plan]) -> None:
    transformers = importlib.import_module("transformers")
    config = transformers.AutoConfig.from_pretrained(artifact[0])
    assert config.neuron == {
        "compiler_type": "neuronx-cc",
        "compiler_version": "2.21.33363.0",
        "inline_weights_to_neff": True,
        "static_batch_size": 1,
        "static_sequence_length": 128,
        "dynamic_batch_size": False,
        "tensor_parallel_size": 1,
        "optlevel": "2",
        "auto_cast": None,
        "auto_cast_type": None,
        "instance_type": "inf2",
        "int_dtype": "int64",
        "float_dtype": "fp32",
        "model_type": "bert",
        "output_attentions": False,
        "output_hidden_states": False,
        "task": "text-classification",
    }


def test_the_manifest_says_what_it_is_not(artifact: tuple[Path, Plan]) -> None:
    manifest = json.loads((artifact[0] / "manifest.json").read_text("utf-8"))
    assert any("not verified on Neuron hardware" in note for note in manifest["plan"]["notes"])
    assert "kept-masks" in manifest["plan"]["recording"]["patches"]
    assert manifest["versions"]["torch-neuronx"] == "2.8.0.2.10.16998"
    assert manifest["versions"]["neuronx-cc"] == "2.21.33363.0"
    assert "torch-neuronx 2.8.0.2.10.16998 without transformers" in manifest["report"]["runtime"]
    assert manifest["report"]["passed"] is True


def test_the_signature_has_one_size_for_each_dim(artifact: tuple[Path, Plan]) -> None:
    signature = json.loads((artifact[0] / "model.json").read_text("utf-8"))
    assert signature["dims"] == SIZES
    assert [tensor["shape"] for tensor in signature["inputs"]] == [[1, 128]] * 3


def test_the_program_of_the_card_runs(artifact: tuple[Path, Plan]) -> None:
    program = re.search(r"```python\n(.*?)```", (artifact[0] / "README.md").read_text("utf-8"), re.DOTALL)
    assert program is not None
    done = subprocess.run(
        [sys.executable, "-c", program[1]], cwd=artifact[0], env=with_sdk(), capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("logits (1, 3)\n", "")


def test_the_compiler_is_told_what_was_asked_for(artifact: tuple[Path, Plan]) -> None:
    command = (artifact[0].parent / "work" / "command.txt").read_text("utf-8")
    assert shlex.split(command)[3:] == [
        "--auto-cast",
        "none",
        "--optlevel",
        "2",
        "--target",
        "inf2",
        "--model-type",
        "transformer",
    ]


def test_padded_and_unpadded_inputs_are_verified(artifact: tuple[Path, Plan]) -> None:
    plan = artifact[1]
    padded = [
        int((make_dummies(plan.graphs[0], point, plan.sizes.seed)["attention_mask"] == 0).sum())
        for point in plan.sizes.points
    ]
    # Of the first two texts one is padded in part and the other is nothing but padding.
    assert padded[0] > 0
    assert padded[1] == 0


def test_equal_builds_give_equal_bytes(
    artifact: tuple[Path, Plan], compile_model: Compile, checkpoint: Path, tmp_path: Path
) -> None:
    good(
        compile_model(
            tmp_path / "out", model=checkpoint, instance_type="inf2", compiler_workdir=str(tmp_path / "elsewhere")
        )
    )
    files = {
        path.relative_to(artifact[0]): path.read_bytes() for path in sorted(artifact[0].rglob("*")) if path.is_file()
    }
    assert files
    assert {
        path.relative_to(tmp_path / "out"): path.read_bytes()
        for path in sorted((tmp_path / "out").rglob("*"))
        if path.is_file()
    } == files


def test_the_golden_vectors_verify_it_again(artifact: tuple[Path, Plan], run: Run) -> None:
    assert "native code" in assert_clean_failure(run("verify", artifact[0], PYTHONPATH=with_sdk()["PYTHONPATH"]), 2)
    result = run("verify", artifact[0], "--trust-artifact", PYTHONPATH=with_sdk()["PYTHONPATH"])
    assert result.returncode == 0, result.stderr
    assert "verified in torch" in result.stdout
    said = assert_clean_failure(run("verify", artifact[0], "--trust-artifact"), 1)
    assert "No module named 'torch_neuronx'" in said
    assert "awsdocs-neuron" in said


@pytest.fixture(scope="module")
def planned() -> Plan:
    return exporter.plan("bert", "text-classification", target="neuron", dims={"batch": 1, "sequence": 16})


@pytest.mark.parametrize(("patched", "padded"), [(False, False), (True, False), (False, True), (True, True)])
def test_a_mask_that_pads_nothing_is_dropped_unless_it_is_kept(
    sdk: Any, planned: Plan, *, patched: bool, padded: bool
) -> None:
    """With neither the patch nor a padded example the program ignores its mask; each of them saves it."""
    example = dataclasses.replace(planned.sizes.trace, all_padded=padded)
    sizes = dataclasses.replace(planned.sizes, points=(example, *planned.sizes.points[1:]))
    plan = dataclasses.replace(planned, sizes=sizes)
    graph = plan.graphs[0]
    model = make_reference(plan)
    with applied_patches(plan.recording.patches if patched else {}, model):
        program = compile_graph(model, graph, plan)
    unpadded, full = (
        tuple(map(to_torch, make_dummies(graph, dataclasses.replace(example, all_padded=mask), 5).values()))
        for mask in (False, True)
    )
    flat = FlatModel(model, graph).eval()
    with torch.no_grad():
        torch.testing.assert_close(program(*unpadded), flat(*unpadded), atol=1e-5, rtol=1e-5)
        difference = float((program(*full)[0] - flat(*full)[0]).abs().max())
    assert (difference < 1e-5) is (patched or padded), difference


def test_the_patch_is_undone() -> None:
    masking = importlib.import_module("transformers.masking_utils")
    earlier = importlib.import_module("transformers.modeling_attn_mask_utils")
    before = masking.is_tracing, earlier.is_tracing
    with applied_patches(["kept-masks"], torch.nn.Linear(1, 1)):
        assert masking.is_tracing(torch.ones(1))
        assert earlier.is_tracing(torch.ones(1))
        assert not importlib.import_module("transformers.utils.import_utils").is_tracing(torch.ones(1))
    assert (masking.is_tracing, earlier.is_tracing) == before


def test_any_batch_runs_in_pieces_of_the_compiled_one(
    compile_model: Compile, checkpoint: Path, tmp_path: Path, sdk: Any
) -> None:
    outcome = compile_model(tmp_path / "out", model=checkpoint, dims={**SIZES, "batch": 2}, dynamic_batch=True)
    plan = good(outcome)
    assert [dict(point.sizes) for point in plan.sizes.points] == [{"batch": size} for size in (2, 2, 4, 5)]
    assert plan.sizes.fixed == {"sequence": 128}
    assert json.loads((tmp_path / "out" / "model.json").read_text("utf-8"))["dims"] == {
        "batch": "dynamic",
        "sequence": 128,
    }
    block = json.loads((tmp_path / "out" / "config.json").read_text("utf-8"))["neuron"]
    assert (block["dynamic_batch_size"], block["static_batch_size"]) == (True, 2)
    program = torch.jit.load(str(tmp_path / "out" / "model.neuron"))
    for batch in (1, 3, 6):
        inputs = rows(3, seed=0, batch=batch)
        torch.testing.assert_close(program(*inputs)[0], logits_of(checkpoint, inputs), atol=1e-5, rtol=1e-5)


def test_weights_are_inside_or_beside(
    artifact: tuple[Path, Plan], compile_model: Compile, checkpoint: Path, tmp_path: Path, sdk: Any
) -> None:
    good(compile_model(tmp_path / "out", model=checkpoint, inline_weights=False))
    assert list(torch.jit.load(str(tmp_path / "out" / "model.neuron")).parameters())
    assert not list(torch.jit.load(str(artifact[0] / "model.neuron")).parameters())
    block = json.loads((tmp_path / "out" / "config.json").read_text("utf-8"))["neuron"]
    assert block["inline_weights_to_neff"] is False


def test_casts_are_held_to_their_own_bound(compile_model: Compile, tmp_path: Path) -> None:
    dims = {"batch": 1, "sequence": 16}
    plan = good(compile_model(tmp_path / "cast", "bert", dims=dims, auto_cast="all", auto_cast_type="bf16"))
    exact = exporter.plan("bert", "text-classification", target="neuron", dims=dims)
    halved = exporter.plan("bert", "text-classification", dtype="bfloat16")
    bounds = [(each.bound.atol, each.bound.rtol) for each in (plan, halved, exact)]
    assert bounds[0] == bounds[1] > bounds[2]
    assert "operations on float32 are cast to bfloat16" in (plan.bound.because or "")
    block = json.loads((tmp_path / "cast" / "config.json").read_text("utf-8"))["neuron"]
    assert (block["auto_cast"], block["auto_cast_type"]) == ("all", "bf16")
    outcome = compile_model(tmp_path / "held", "bert", dims=dims, bound=bounds[2], auto_cast="all")
    assert "failed verification" in str(outcome.error)
    assert not (tmp_path / "held").exists()


def test_inf1_has_a_compiler_of_its_own(compile_model: Compile, checkpoint: Path, tmp_path: Path, sdk: Any) -> None:
    work = tmp_path / "work"
    outcome = compile_model(
        tmp_path / "out", model=checkpoint, instance_type="inf1", compiler_workdir=str(work), dynamic_batch=True
    )
    plan = good(outcome)
    assert (work / "command.txt").read_text("utf-8").split()[:1] == ["neuron-cc"]
    assert "--fast-math none" in (work / "command.txt").read_text("utf-8")
    block = json.loads((tmp_path / "out" / "config.json").read_text("utf-8"))["neuron"]
    assert (block["compiler_type"], block["compiler_version"]) == ("neuron-cc", "1.24.0.0")
    # It multiplies matrices in bfloat16 whatever it is told.
    assert "cast to bfloat16" in (plan.bound.because or "")
    assert outcome.report is not None
    assert "torch-neuron 1.13" in outcome.report.runtime


def test_a_family_gives_settings_where_a_build_gives_none() -> None:
    plans = [
        exporter.plan("bert", "fill-mask", target="neuron", dims=SIZES, settings=settings)
        for settings in ({}, {"model_type": "generic"})
    ]
    assert [plan.recording.settings["model_type"] for plan in plans] == ["transformer", "generic"]
    levit = exporter.plan("levit", "image-classification", target="neuron", dims={"batch": 1})
    assert "model_type" not in levit.recording.settings


def test_the_language_names_settings_of_the_target() -> None:
    listed = load_schema("defs")["$defs"]["target"]["properties"]["settings"]["properties"]
    kinds = {flag.name: flag.kind for flag in TARGETS["neuron"].flags}
    assert {name: tuple(value["enum"]) for name, value in listed.items()} == {name: kinds[name] for name in listed}


@pytest.mark.parametrize(
    ("spec", "task", "missing"),
    [
        ("bert", "text-classification", "batch, sequence"),
        ("bert", "multiple-choice", "batch, sequence, choices"),
        ("wav2vec2", "feature-extraction", "batch, samples"),
        ("vit", "image-classification", "batch"),
    ],
)
def test_missing_sizes_are_named(spec: str, task: str, missing: str) -> None:
    with pytest.raises(UsageError, match=f"needs those of: {missing}$") as caught:
        exporter.plan(spec, task, target="neuron")
    assert caught.value.help == "give " + " ".join(f"--dim {name}=N" for name in missing.split(", "))


def test_a_batch_that_not_all_inputs_have_cannot_be_left_open() -> None:
    with pytest.raises(UsageError, match="cannot be left open: input_ids, pixel_values"):
        exporter.plan(
            "clip",
            "zero-shot-image-classification",
            target="neuron",
            dims={"text_batch": 1, "sequence": 7, "image_batch": 1},
            settings={"dynamic_batch": True},
        )


@pytest.mark.parametrize("installed", ["nothing", "placeholder"])
def test_without_the_sdk_there_is_one_error_and_no_work(
    installed: str, checkpoint: Path, tmp_path: Path, run: Run
) -> None:
    # Loading it would fail: its weights are of another width.
    damaged = tmp_path / "checkpoint"
    shutil.copytree(checkpoint, damaged)
    config = json.loads((damaged / "config.json").read_text("utf-8"))
    (damaged / "config.json").write_text(json.dumps({**config, "hidden_size": 64}), "utf-8")
    path = offline_environment()["PYTHONPATH"]
    if installed == "placeholder":
        # The package index has an empty package for the compiler too.
        for package in ("torch_neuronx", "neuronxcc"):
            (tmp_path / "site" / package).mkdir(parents=True)
            (tmp_path / "site" / package / "__init__.py").write_text(
                'raise ImportError("WRONG PACKAGE. Please install it from elsewhere")\n'
            )
        path = f"{tmp_path / 'site'}{os.pathsep}{path}"
    result = run("build", "--model", damaged, "--target", "neuron", *DIMS, "-o", "out", PYTHONPATH=path)
    said = assert_clean_failure(result, 1)
    assert "the target neuron needs the package 'torch_neuronx', which cannot be imported" in said
    assert ("WRONG PACKAGE" if installed == "placeholder" else "No module named") in said
    assert "AWS Neuron SDK" in said
    assert "awsdocs-neuron" in said
    assert not (tmp_path / "out").exists()


def test_a_compiler_that_fails_leaves_nothing(
    artifact: tuple[Path, Plan], checkpoint: Path, tmp_path: Path, run: Run
) -> None:
    command = ("build", "--model", checkpoint, "--target", "neuron", *DIMS, "-o", "out", "--compiler-workdir", "work")
    result = run(*command, PYTHONPATH=with_sdk()["PYTHONPATH"], NEURON_STAND_IN_FAILURE="out of memory")
    said = assert_clean_failure(result, 1)
    assert "torch_neuronx.trace failed on 'model' of bert text-classification" in said
    assert "out of memory" in said
    assert "--compiler-workdir" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["work"]
    assert sorted(path.name for path in (tmp_path / "work").iterdir()) == ["command.txt", "graph.neff.part"]


def test_a_machine_without_the_device_compiles_and_does_not_verify(checkpoint: Path, tmp_path: Path, run: Run) -> None:
    command = ("build", "--model", checkpoint, "--target", "neuron", *DIMS, "-o", "out")
    here = {"PYTHONPATH": with_sdk()["PYTHONPATH"], "NEURON_STAND_IN_DEVICE": "none"}
    assert "no Neuron device" in assert_clean_failure(run(*command, **here), 1)
    said = assert_clean_failure(run(*command, "--cpu-backend", **here), 2)
    assert "add --no-verify, and run 'exporter verify DIR' on the Neuron machine" in said
    built = run(*command, "--cpu-backend", "--no-verify", **here)
    assert built.returncode == 0, built.stderr
    assert run("verify", "out", "--trust-artifact", **here).returncode == 1
    there = run("verify", "out", "--trust-artifact", PYTHONPATH=here["PYTHONPATH"])
    assert there.returncode == 0, there.stderr


def test_what_only_onnx_needs_is_not_needed(checkpoint: Path, tmp_path: Path, run: Run) -> None:
    """The SDK brings its own torch, and its environments have no ONNX Runtime, onnxscript or onnx-ir."""
    for name in ("onnxruntime", "onnxscript", "onnx_ir"):
        (tmp_path / "site" / name).mkdir(parents=True)
        (tmp_path / "site" / name / "__init__.py").write_text(f'raise ImportError("{name} is not here")\n')
    result = run(
        *("build", "--model", checkpoint, "--target", "neuron", *DIMS, "-o", "out"),
        PYTHONPATH=with_sdk(tmp_path / "site")["PYTHONPATH"],
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("pair", "dims", "files"),
    [
        ("gpt2 text-generation-with-past", {"sequence": 4, "past_sequence": 6}, ["model.neuron"]),
        ("vit image-classification", {}, ["model.neuron"]),
        ("wav2vec2 feature-extraction", {"samples": 2000}, ["model.neuron"]),
        ("bert multiple-choice", {"sequence": 9, "choices": 2}, ["model.neuron"]),
        (
            "t5 text2text-generation-with-past",
            {"encoder_sequence": 7, "decoder_sequence": 3, "past_decoder_sequence": 5},
            ["decoder_model.neuron", "decoder_with_past_model.neuron", "encoder_model.neuron"],
        ),
    ],
)
def test_other_kinds_of_models(
    compile_model: Compile, tmp_path: Path, pair: str, dims: dict[str, int], files: list[str]
) -> None:
    spec, task = pair.split()
    work = tmp_path / "work"
    good(compile_model(tmp_path / "out", spec, task=task, dims={"batch": 1, **dims}, compiler_workdir=str(work)))
    assert sorted(path.name for path in (tmp_path / "out").glob("*.neuron")) == files
    assert len(list(work.rglob("command.txt"))) == len(files)
    block = json.loads((tmp_path / "out" / "config.json").read_text("utf-8"))["neuron"]
    shapes = {name: size for name, size in block.items() if name.startswith("static_")}
    names = {"sequence": "sequence_length", "choices": "num_choices", "samples": "audio_sequence_length"}
    expected = {"static_batch_size": 1, **{f"static_{names[dim]}": size for dim, size in dims.items() if dim in names}}
    if spec == "vit":
        expected |= {"static_num_channels": 3, "static_height": 24, "static_width": 36}
    assert shapes == expected


PAGE = (REPOSITORY / "docs" / "neuron.md").read_text("utf-8")


def test_the_page_works_step_by_step(checkpoint: Path, tmp_path: Path) -> None:
    """Every command and every program of docs/neuron.md, in order, in one directory; installing is left out."""
    (tmp_path / "checkpoint").symlink_to(checkpoint)
    ran = 0
    for language, block in re.findall(r"^```(bash|python)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        if language == "python":
            commands = [[sys.executable, "-c", block]]
        else:
            lines = [line for line in block.splitlines() if line.startswith("exporter ")]
            commands = [[sys.executable, "-m", "exporter.cli", *shlex.split(line)[1:]] for line in lines]
        for command in commands:
            done = subprocess.run(command, cwd=tmp_path, env=with_sdk(), capture_output=True, text=True, check=False)
            assert done.returncode == 0, (command, done.stderr)
            if language == "python":
                assert done.stdout.strip() == "(1, 3)"
            ran += 1
    assert ran == PAGE.count("\nexporter ") + PAGE.count("```python")
    assert "not verified on Neuron hardware" in PAGE


def test_the_page_installs_what_a_build_needs_and_leaves_the_torch_of_the_sdk_alone() -> None:
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    installed = next(line for line in PAGE.splitlines() if line.startswith("pip install "))
    assert shlex.split(installed)[2:] == [".[neuron]"]
    names = {re.split(r"[<>=]", requirement)[0] for requirement in extras["neuron"]}
    assert names == {"transformers", "huggingface_hub", "onnx", "numpy", "ml_dtypes", "safetensors"}
