"""What the tests of the door share: small checkpoints, and the lines of a validation that passes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

_ENCODER = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 20,
    "max_position_embeddings": 40,
    "vocab_size": 50,
    "type_vocab_size": 2,
}
Ticked = Callable[..., list[str]]


@pytest.fixture(scope="session")
def decoder_sizes() -> dict[str, Any]:
    """The config of a GPT-2 that is quick to build."""
    return {
        "n_embd": 16,
        "n_layer": 1,
        "n_head": 2,
        "vocab_size": 50,
        "n_positions": 64,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }


@pytest.fixture(scope="session")
def masked_lm(make_checkpoint: Callable[..., Path]) -> Path:
    """A BERT that fills masks."""
    return make_checkpoint("BertForMaskedLM", "bert", **_ENCODER)


@pytest.fixture(scope="session")
def question_answering(make_checkpoint: Callable[..., Path]) -> Path:
    """A BERT that answers questions."""
    return make_checkpoint("BertForQuestionAnswering", "bert", **_ENCODER)


@pytest.fixture(scope="session")
def ticked() -> Ticked:
    """Return the lines of a validation in which all the given outputs, with these shapes, pass."""

    def lines(outputs: dict[str, tuple[int, ...]], atol: str = "1e-05") -> list[str]:
        names = ", ".join(map(repr, outputs))
        return [
            "Validating ONNX model...",
            f"\t-[✓] ONNX model output names match reference model ({{{names}}})",
            *(
                line
                for name, shape in outputs.items()
                for line in (
                    f'\t- Validating ONNX Model output "{name}":',
                    f"\t\t-[✓] {shape} matches {shape}",
                    f"\t\t-[✓] all values close (atol: {atol})",
                )
            ),
        ]

    return lines
