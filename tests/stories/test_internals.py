"""Hidden states and attentions in the graph, for a pair of each family: what the model gives when asked for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from commands import TINY_BERT, Run, read_answer

import exporter
from exporter.errors import UsageError
from exporter.models.arrays import to_torch
from exporter.models.flat_model import pack_arguments
from exporter.models.references import make_reference
from exporter.planning.dummies import make_dummies
from exporter.targets.onnx.exporter import export_graph
from exporter.targets.onnx.session import open_session

pytestmark = pytest.mark.filterwarnings("ignore")

# A task of a family, a graph of it, and where the model itself keeps what the graph calls by the name of the key.
PAIRS: dict[tuple[str, str, str], dict[str, str]] = {
    ("bert", "text-classification", "model"): {"hidden_states": "hidden_states", "attentions": "attentions"},
    ("gpt2", "text-generation-with-past", "model"): {"hidden_states": "hidden_states", "attentions": "attentions"},
    ("bart", "text2text-generation-with-past", "decoder_with_past"): {
        "decoder_hidden_states": "decoder_hidden_states",
        "decoder_attentions": "decoder_attentions",
        "cross_attentions": "cross_attentions",
    },
    ("vit", "image-classification", "model"): {"hidden_states": "hidden_states", "attentions": "attentions"},
    ("wav2vec2", "audio-classification", "model"): {"hidden_states": "hidden_states", "attentions": "attentions"},
    ("clip", "feature-extraction", "model"): {
        "text_hidden_states": "text_model_output.hidden_states",
        "text_attentions": "text_model_output.attentions",
        "vision_hidden_states": "vision_model_output.hidden_states",
        "vision_attentions": "vision_model_output.attentions",
    },
}


@pytest.mark.parametrize("pair", PAIRS, ids="/".join)
def test_a_graph_gives_what_the_model_gives_when_asked(pair: tuple[str, str, str], tmp_path: Path):
    architecture, task, component = pair
    plan = exporter.plan(architecture, task, output_hidden_states=True, output_attentions=True)
    (graph,) = (graph for graph in plan.graphs if graph.component == component)
    model = make_reference(plan)
    export_graph(make_reference(plan), graph, plan, tmp_path)
    inputs = make_dummies(graph, plan.sizes.points[-1], 3)
    actual = open_session(tmp_path / graph.file, plan.model.dtype).run(inputs)
    given = dict(zip((tensor.name for tensor in graph.outputs), actual, strict=True))
    arguments = pack_arguments(graph, tuple(map(to_torch, inputs.values())))
    constants = {name: value for name, value in graph.constants.items() if not name.startswith("output_")}
    with torch.no_grad():
        asked = model(**arguments, **constants, output_hidden_states=True, output_attentions=True)
    for name, path in PAIRS[pair].items():
        expected = asked
        for step in path.split("."):
            expected = getattr(expected, step)
        assert [other for other in given if other.startswith(f"{name}.")] == [
            f"{name}.{index}" for index in range(len(expected))
        ]
        for index, tensor in enumerate(expected):
            np.testing.assert_allclose(given[f"{name}.{index}"], tensor.numpy(), atol=3e-5, rtol=1e-4)


def test_one_may_be_asked_for_without_the_other():
    states = exporter.plan("bert", "fill-mask", output_hidden_states=True)
    weights = exporter.plan("bert", "fill-mask", output_attentions=True)
    assert [tensor.name for tensor in states.graphs[0].outputs] == ["logits", *(f"hidden_states.{i}" for i in range(6))]
    assert [tensor.name for tensor in weights.graphs[0].outputs] == ["logits", *(f"attentions.{i}" for i in range(5))]
    assert (states.model.attention, weights.model.attention) == (None, "eager")
    assert not any("states" in tensor.name for tensor in exporter.plan("bert", "fill-mask").graphs[0].outputs)


def test_what_a_spec_does_not_declare_is_refused_with_the_reason():
    with pytest.raises(UsageError, match="cannot be had with --output-attentions"):
        exporter.plan("resnet", "feature-extraction", output_attentions=True)


def test_a_checkpoint_is_built_with_them_and_verified(run: Run, tmp_path: Path):
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    BertForSequenceClassification(BertConfig(**TINY_BERT, num_labels=3)).save_pretrained(tmp_path / "checkpoint")
    build = run(
        "build", "--model", "checkpoint", "-o", "out", "--output-hidden-states", "--output-attentions", "--json"
    )
    assert build.returncode == 0, build.stderr
    (outcome,) = read_answer(build.stdout)["builds"]
    compared = {comparison["output"] for comparison in outcome["report"]["comparisons"]}
    names = [*(f"hidden_states.{index}" for index in range(3)), *(f"attentions.{index}" for index in range(2))]
    assert compared == {"logits", *names}
