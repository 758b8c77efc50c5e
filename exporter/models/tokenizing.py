"""The tokenizer beside a graph: whether transformers loads it, and what a program that calls it must know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from exporter.models.configs import quiet_libraries

# Files that a tokenizer is made of. A config alone makes none: some classes would start with a vocabulary of their own.
_FILES = ("tokenizer.json", "vocab.*", "*vocab.txt", "*.model", "*.spm", "tokenizer_config.json")
# A tokenizer without a limit says so with a number of thirty digits.
_UNLIMITED = 10**9
_SAMPLE = ("A man is playing a guitar.", "She wrote a letter to her brother in Lisbon.")


@dataclass(frozen=True, slots=True)
class TokenizerFacts:
    """What a tokenizer does.

    Attributes:
        names: the arrays it makes of a text: ``input_ids``, ``attention_mask``.
        padding_side: where it pads the shorter texts of several, ``left`` or ``right``; None where it cannot pad.
        limit: how many tokens a text may have; None where it does not say.
        highest: the highest token it made of two English sentences.
        has_mask: whether it has a token that stands for a word to be guessed.
        has_chat: whether it has a template for conversations.
        ends: the token that ends a text, if any.
    """

    names: tuple[str, ...]
    padding_side: str | None
    limit: int | None
    highest: int
    has_mask: bool
    has_chat: bool
    ends: int | None


def has_tokenizer_files(directory: Path) -> bool:
    """Tell whether a directory has a file that a tokenizer is made of."""
    return any(fnmatchcase(path.name, pattern) for path in directory.iterdir() if path.is_file() for pattern in _FILES)


def look_at_tokenizer(directory: Path) -> TokenizerFacts | None:
    """Load the tokenizer of a directory, without code of its own, and return what it does.

    None stands for a directory without one, and for one that a plain program could not use: transformers does not load
    it, it knows no word of English text or of anything else, or it takes more than a text.
    """
    if not has_tokenizer_files(directory):
        return None
    import transformers

    with quiet_libraries():
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(
                str(directory), trust_remote_code=False, local_files_only=True
            )
            made = [tokenizer(text) for text in _SAMPLE]
            return _facts(tokenizer, made)
        except Exception:  # whatever a stranger's files make the library raise
            return None


def _facts(tokenizer: Any, made: list[Mapping[str, list[int]]]) -> TokenizerFacts | None:
    ids = [token for encoded in made for token in encoded["input_ids"]]
    if not set(ids) - {*tokenizer.all_special_ids}:
        return None
    limit = int(tokenizer.model_max_length)
    pads = tokenizer.pad_token_id is not None
    return TokenizerFacts(
        names=tuple(made[0]),
        padding_side=str(tokenizer.padding_side) if pads else None,
        limit=limit if 0 < limit < _UNLIMITED else None,
        highest=max(ids),
        has_mask=getattr(tokenizer, "mask_token_id", None) is not None,
        has_chat=bool(getattr(tokenizer, "chat_template", None)),
        ends=tokenizer.eos_token_id,
    )
