"""About how large an artifact will be, from headers alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from commands import TINY_BERT

from exporter.building.estimating import estimate_bytes, source_files, weight_bytes
from exporter.building.foreseeing import foresee_build
from exporter.building.preparing import Prepared
from exporter.building.requests import plan_builds
from exporter.models.checkpoints import Checkpoint

LARGE = {**TINY_BERT, "hidden_size": 96, "vocab_size": 5_000, "intermediate_size": 200}
T5 = {
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 64,
    "num_layers": 2,
    "num_heads": 4,
    "vocab_size": 99,
    "decoder_start_token_id": 0,
}


@pytest.fixture(scope="module")
def masked_lm(make_checkpoint: Callable[..., Path]) -> Path:
    return make_checkpoint("BertForMaskedLM", "bert", **LARGE)


def prepared(model: Path, tmp_path: Path, **given: object) -> tuple[Prepared, Checkpoint]:
    (build,) = plan_builds([], {"model": str(model), "output": tmp_path, **given})
    foreseen = foresee_build(build)
    assert foreseen is not None
    assert foreseen.checkpoint is not None
    return foreseen, foreseen.checkpoint


def test_files_and_weights_have_their_sizes(masked_lm: Path, tmp_path: Path):
    _, checkpoint = prepared(masked_lm, tmp_path)
    sizes = {name: (masked_lm / name).stat().st_size for name in ("config.json", "model.safetensors")}
    assert source_files(checkpoint) == sizes
    assert weight_bytes(checkpoint) == sizes["model.safetensors"]


def test_an_estimate_is_near_what_is_built(masked_lm: Path, tmp_path: Path):
    import exporter

    for dtype in ("float32", "float16"):
        foreseen, checkpoint = prepared(masked_lm, tmp_path, dtype=dtype)
        estimate = estimate_bytes(foreseen.plan, checkpoint)
        (built,) = exporter.build(model=masked_lm, output=tmp_path / dtype, dtype=dtype, verify=False)
        assert estimate == pytest.approx(built.files["model.onnx"], rel=0.1)


def test_a_task_of_several_graphs_counts_a_weight_for_each(make_checkpoint: Callable[..., Path], tmp_path: Path):
    model = make_checkpoint("T5ForConditionalGeneration", "t5", **T5)
    several, checkpoint = prepared(model, tmp_path, tasks=("text2text-generation-with-past",))
    alone, _ = prepared(model, tmp_path, tasks=("text2text-generation-with-past",), monolith=True)
    assert len(several.plan.graphs) > len(alone.plan.graphs) == 1
    single = estimate_bytes(alone.plan, checkpoint)
    total = estimate_bytes(several.plan, checkpoint)
    assert single is not None
    assert total is not None
    # One encoder, and a decoder for the first step and for later ones.
    assert single < total < 2 * single


def test_nobody_can_tell_of_a_reference(tmp_path: Path):
    (build,) = plan_builds(["bert"], {"tasks": ("fill-mask",), "output": tmp_path})
    foreseen = foresee_build(build)
    assert foreseen is not None
    assert estimate_bytes(foreseen.plan, None) is None
