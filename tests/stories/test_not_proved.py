"""Checkpoints that agree with any graph: they are built, and never called verified."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import TINY_BERT, Run, read_answer
from transformers import BertConfig, BertForSequenceClassification

import exporter
from exporter.models.flat_model import FlatModel
from exporter.models.oracle import make_oracle
from exporter.planning.dependence import CLEARLY, Observed, find_independent
from exporter.planning.dummies import make_dummies

pytestmark = pytest.mark.filterwarnings("ignore")


def make_classifier() -> Any:
    torch.manual_seed(0)
    model = BertForSequenceClassification(BertConfig(**TINY_BERT, num_labels=3, hidden_act="relu"))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model.eval()


@torch.no_grad()
def scale(parameters: Iterable[torch.Tensor], factor: float) -> None:
    for parameter in parameters:
        parameter.mul_(factor)


def kill_relus(model: Any) -> None:
    """Let no unit of the pooler be alive: the head sees a constant."""
    scale([model.bert.pooler.dense.weight], 0.0)
    with torch.no_grad():
        model.bert.pooler.dense.bias.fill_(-5.0)


KINDS: dict[str, tuple[Callable[[Any], object], str]] = {
    "a head of zeros": (lambda model: scale(model.classifier.parameters(), 0.0), "'logits' is zero, whatever"),
    "a constant head": (lambda model: scale([model.classifier.weight], 0.0), "'logits' depends on no input"),
    "a dead layer": (kill_relus, "'logits' depends on no input"),
    "weights of zeros": (lambda model: scale(model.parameters(), 0.0), "'logits' is zero, whatever the inputs"),
    "outputs below their bound": (lambda model: scale(model.classifier.parameters(), 1e-7), "'logits' depends on no"),
    "attention without values": (
        lambda model: [scale([layer.attention.self.value.weight], 0.0) for layer in model.bert.encoder.layer],
        "no output depends on 'attention_mask'",
    ),
    "token types alike": (
        lambda model: scale(model.bert.embeddings.token_type_embeddings.parameters(), 0.0),
        "no output depends on 'token_type_ids'",
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_proves_nothing_is_found(kind: str):
    change, said = KINDS[kind]
    model = make_classifier()
    plan = exporter.plan("bert", "text-classification", config=model.config)
    (graph,) = plan.graphs
    inputs = make_dummies(graph, plan.sizes.trace, 0)
    run = make_oracle(FlatModel(model, graph))

    def lines() -> list[str]:
        return find_independent(
            run, graph, Observed(plan.sizes.trace, inputs, run(inputs)), plan.bound, CLEARLY["float32"]
        )

    assert lines() == []
    change(model)
    assert any(said in line for line in lines())


def test_a_zero_head_is_not_proved_wherever_a_verdict_stands(run: Run, tmp_path: Path):
    model = make_classifier()
    scale(model.classifier.parameters(), 0.0)
    model.save_pretrained(tmp_path / "zeros")
    why = "model: 'logits' is zero, whatever the inputs"
    built = run("build", "--model", "zeros", "-o", "out")
    assert built.returncode == 0, built.stderr
    assert f"NOT PROVED: {why}" in built.stderr
    assert "not proved in onnxruntime" in built.stdout
    assert "verified" not in built.stdout + built.stderr
    report = json.loads((tmp_path / "out" / "manifest.json").read_text())["report"]
    assert (report["passed"], report["verdict"], report["unproved"]) == (True, "not proved", [why])
    assert f"- {why}" in (tmp_path / "out" / "README.md").read_text()
    again = run("verify", "out")
    assert again.returncode == 0
    assert f"not proved: {why}" in again.stdout
    assert "verified" not in again.stdout
    data = read_answer(run("verify", "out", "--model", "zeros", "--json").stdout)["report"]
    assert (data["verdict"], data["unproved"]) == ("not proved", [why])
