"""A trained masked language model with `.bin` weights: an ALBERT that reads chemical reactions.

In a reaction nearly every token follows from the others, so that a masked token can be guessed: the answer is known.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnxruntime
from commands import Run

PACKAGE = "rxnmapper==0.4.3"
# A Suzuki coupling and two amide formations, as SMILES: reactants, then the product.
REACTIONS = [
    "c1ccccc1Br.OB(O)c1ccccc1>>c1ccc(-c2ccccc2)cc1",
    "CC(=O)Cl.NCc1ccccc1>>CC(=O)NCc1ccccc1",
    "O=C(O)c1ccccc1.NCCO>>O=C(NCCO)c1ccccc1",
]
# How a SMILES text falls into the tokens of the vocabulary: bracketed atoms, atoms, bonds, ring numbers, the arrow.
TOKEN = re.compile(r"\[[^\]]+\]|Br|Cl|>>|%\d\d|.")


def guesses(session: onnxruntime.InferenceSession, vocabulary: list[str], reaction: str) -> Iterator[tuple[str, str]]:
    """Yield each token of a reaction, and what the model puts in its place where it is masked."""
    numbers = {token: number for number, token in enumerate(vocabulary)}
    tokens = ["[CLS]", *TOKEN.findall(reaction), "[SEP]"]
    ids = np.array([[numbers[token] for token in tokens]])
    for at in range(1, len(tokens) - 1):
        masked = ids.copy()
        masked[0, at] = numbers["[MASK]"]
        inputs = {"input_ids": masked, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        (scores,) = session.run(["logits"], inputs)
        yield tokens[at], vocabulary[int(np.asarray(scores)[0, at].argmax())]


def test_masked_tokens_of_reactions_are_found_again(package: Callable[[str], Path], run: Run, tmp_path: Path):
    (weights,) = package(PACKAGE).rglob("pytorch_model.bin")
    result = run("build", "--model", weights.parent, "-o", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    assert "task: fill-mask (from its architectures: AlbertForMaskedLM)" in result.stderr
    vocabulary = (tmp_path / "out" / "vocab.txt").read_text("utf-8").splitlines()
    session = onnxruntime.InferenceSession(str(tmp_path / "out" / "model.onnx"))
    pairs = [pair for reaction in REACTIONS for pair in guesses(session, vocabulary, reaction)]
    right = sum(token == guess for token, guess in pairs)
    assert right >= 0.9 * len(pairs), pairs
