"""Pooling and the modules behind it compute what is written down here a second time, text by text."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from exporter.errors import CheckpointError
from exporter.models.checkpoints import Checkpoint
from exporter.models.sentence_head import Pooling, SentenceHead, attach_head, load_head
from exporter.planning.plan import HeadStep

MODES = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
RIGHT = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 0, 0, 0, 0]])
LEFT = RIGHT.flip(1)
MEAN = HeadStep("pooling", 4, ("mean",))


def pooled(tokens: torch.Tensor, mode: str) -> torch.Tensor:
    """Return the embedding of one text from the states of its real tokens alone."""
    match mode:
        case "cls":
            return tokens[0]
        case "max":
            return tokens.max(0).values
        case "mean":
            return tokens.mean(0)
        case "mean_sqrt_len_tokens":
            return tokens.sum(0) / math.sqrt(len(tokens))
        case "weightedmean":
            weights = torch.arange(1.0, len(tokens) + 1)[:, None]
            return (tokens * weights).sum(0) / weights.sum()
        case _:
            return tokens[-1]


@pytest.mark.parametrize("mask", [RIGHT, LEFT, torch.ones(2, 5, dtype=torch.int64)], ids=["right", "left", "none"])
@pytest.mark.parametrize("mode", MODES)
def test_a_text_is_pooled_as_without_its_padding(mode: str, mask: torch.Tensor) -> None:
    states = torch.randn(len(mask), 5, 4, generator=torch.Generator().manual_seed(3))
    given = Pooling([mode])(states, mask)
    expected = torch.stack([pooled(states[row][mask[row] == 1], mode) for row in range(len(mask))])
    torch.testing.assert_close(given, expected)


def test_several_modes_are_put_side_by_side() -> None:
    states = torch.randn(3, 5, 4)
    both = Pooling(["max", "cls"])(states, LEFT)
    torch.testing.assert_close(both, torch.cat([Pooling(["max"])(states, LEFT), Pooling(["cls"])(states, LEFT)], 1))


def test_a_text_without_a_token_has_finite_values() -> None:
    states = torch.randn(1, 3, 4)
    mask = torch.zeros(1, 3, dtype=torch.int64)
    for mode in ("max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"):
        assert Pooling([mode])(states, mask).tolist() == [[0.0] * 4]
    assert Pooling(["cls"])(states, mask).tolist() == states[:, 0].tolist()


def test_half_precision_is_summed_in_single() -> None:
    states = torch.full((1, 4096, 1), 0.1, dtype=torch.float16)
    mask = torch.ones(1, 4096, dtype=torch.int64)
    given = Pooling(["mean"])(states, mask)
    assert given.dtype == torch.float16
    assert given.item() == states[0, 0].item()


def test_the_steps_behind_the_pooling(tmp_path: Path) -> None:
    weights = {"linear.weight": torch.randn(3, 4), "linear.bias": torch.randn(3), "residual.weight": torch.randn(3, 4)}
    norm = {"norm.weight": torch.randn(3), "norm.bias": torch.randn(3)}
    (tmp_path / "2_Dense").mkdir()
    (tmp_path / "3_LayerNorm").mkdir()
    save_file(weights, tmp_path / "2_Dense" / "model.safetensors")
    torch.save(norm, tmp_path / "3_LayerNorm" / "pytorch_model.bin")
    steps = (
        MEAN,
        HeadStep("dense", 3, activation="Tanh", residual=True, folder="2_Dense"),
        HeadStep("layer-norm", 3, folder="3_LayerNorm"),
        HeadStep("normalize", 3),
    )
    head = load_head(steps, Checkpoint(tmp_path, "mine", ()))
    states = torch.randn(3, 5, 4)
    mean = torch.stack([states[row][RIGHT[row] == 1].mean(0) for row in range(3)])
    dense = torch.tanh(mean @ weights["linear.weight"].T + weights["linear.bias"]) + mean @ weights["residual.weight"].T
    centred = dense - dense.mean(1, keepdim=True)
    normed = centred / (centred.var(1, keepdim=True, correction=0) + 1e-5).sqrt()
    normed = normed * norm["norm.weight"] + norm["norm.bias"]
    with torch.no_grad():
        torch.testing.assert_close(head(states, RIGHT), normed / normed.norm(dim=1, keepdim=True))


def test_weights_that_are_not_those_of_the_config_are_refused(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path, "mine", ())
    dense = HeadStep("dense", 3, activation="Tanh", folder="2_Dense")
    with pytest.raises(CheckpointError, match="the module '2_Dense' of 'mine' has no weights"):
        load_head((MEAN, dense), checkpoint)
    (tmp_path / "2_Dense").mkdir()
    file = tmp_path / "2_Dense" / "model.safetensors"
    for weights in ({"linear.weight": torch.zeros(3, 4)}, {"linear.weight": torch.zeros(5, 4)}, {"a": torch.zeros(1)}):
        save_file(weights, file)
        with pytest.raises(CheckpointError, match="the weights of the module '2_Dense' of 'mine' are not those"):
            load_head((MEAN, dense), checkpoint)
    file.write_bytes(file.read_bytes()[:-2])
    with pytest.raises(CheckpointError):
        load_head((MEAN, dense), checkpoint)
    file.unlink()
    (tmp_path / "2_Dense" / "pytorch_model.bin").write_bytes(b"no pickle")
    with pytest.raises(CheckpointError, match=r"2_Dense/pytorch_model.bin of 'mine' cannot be read as weights"):
        load_head((MEAN, dense), checkpoint)
    for activation in ("Nothing", "Linear", "functional"):
        with pytest.raises(CheckpointError, match="an activation of the modules of 'mine' cannot be made"):
            load_head((MEAN, HeadStep("dense", 3, activation=activation, folder="2_Dense")), checkpoint)


class Encoder(nn.Module):
    """A model that gives its input as hidden states."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, states: torch.Tensor, attention_mask: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"last_hidden_state": states, "pooler_output": attention_mask}


def test_a_model_with_a_head_keeps_its_names_and_outputs() -> None:
    model = Encoder()
    before = dict(model.named_parameters())
    attach_head(model, SentenceHead((MEAN,)))
    states = torch.randn(3, 5, 4)
    outputs = model(states, attention_mask=RIGHT)
    assert set(outputs) == {"last_hidden_state", "pooler_output", "sentence_embedding"}
    torch.testing.assert_close(outputs["sentence_embedding"], Pooling(["mean"])(states, RIGHT))
    assert dict(model.named_parameters()) == before
    assert type(model).__name__ == "Encoder"
    assert isinstance(model, Encoder)
    # Another model of the class has no head.
    assert "sentence_embedding" not in Encoder()(states, RIGHT)
