"""Which name of ours is meant by a word of somebody else's, by what it means and not by its letters alone.

What words mean is data: ``words.toml``, beside this module. A word is compared by its parts, without case, hyphens and
underscores: ``MaskedLM`` has those of ``masked-lm``. A part may be misspelt, but no word that means something else is
taken for a misspelling: ``text-classification`` is not what ``image-classification`` was to be.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

# How alike a part of a word and a part of a name are where one is the other misspelt.
_ALIKE, _VERY_ALIKE = 0.75, 0.85
# The likeness of a word to a name that it is a part of, as `pooler` is of `pooler_output`.
_PART_OF = 1
# Names that fit a word equally well; a longer choice is a list.
_MAX_MEANT = 3
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+(?:\.[0-9]+)*")
# What follows the architecture in the name of a class.
_CLASS_END = re.compile(
    r"(?:For[A-Z]\w*|(?:With|Double)?LMHead\w*|MTModel|Model|Config|OnnxConfig|Pipeline|Tokenizer\w*)$"
)
# The number of weights, as it stands in a checkpoint's name.
_SIZE = re.compile(r"[0-9]+(?:\.[0-9]+)?[bmk]?")


@dataclass(frozen=True, slots=True)
class Group:
    """The words around one kind of name, each by its letters alone.

    Attributes:
        same: the name that a word means exactly.
        near: the names whose meaning is near that of a word.
        elsewhere: words that are known and mean nothing of ours, as they are written.
        ends: what stands behind a name without changing which one is meant.
    """

    same: Mapping[str, str] = field(default_factory=dict)
    near: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    ends: frozenset[str] = frozenset()


@lru_cache(maxsize=1)
def load_groups() -> Mapping[str, Group]:
    """Return the words of ``words.toml`` by the kind of name they are around: ``tasks``, ``dtypes`` and so on."""
    import tomllib  # costs more than the rest of the module, and most commands misspell nothing

    data = tomllib.loads(Path(__file__).with_name("words.toml").read_text("utf-8"))
    return {kind: _read_group(entries) for kind, entries in data.items()}


def _read_group(entries: Mapping[str, Mapping[str, list[str]]]) -> Group:
    near: dict[str, tuple[str, ...]] = {}
    for name, words in entries.get("near", {}).items():
        for word in words:
            near[letters(word)] = (*near.get(letters(word), ()), name)
    same = {letters(word): name for name, words in entries.get("same", {}).items() for word in words}
    elsewhere = {letters(word): word for word in entries.get("elsewhere", ())}
    return Group(same, near, elsewhere, frozenset(map(letters, entries.get("ends", ()))))


def letters(word: str) -> str:
    """Return the letters and digits of a word alone: ``maskedlm`` for ``Masked-LM``."""
    return "".join(char for char in word.casefold() if char.isalnum())


@lru_cache(maxsize=4096)
def parts(word: str) -> tuple[str, ...]:
    """Return what a word is made of: ``masked`` and ``lm`` for ``MaskedLM``, ``masked-lm`` and ``masked_lm``."""
    return tuple(part.lower() for part in _PART.findall(word))


def meant(word: str, kind: str) -> str | None:
    """Return the name of a kind that a word means exactly, such as ``float16`` for ``fp16``, or None."""
    return load_groups()[kind].same.get(letters(word))


def own_name(word: str, kind: str) -> str:
    """Return the name of a kind that a word means exactly, and another word, or a name itself, as it is."""
    same = load_groups()[kind].same
    return word if word in same.values() else same.get(letters(word), word)


def is_elsewhere(word: str, kind: str) -> bool:
    """Tell whether a word is known and means nothing of ours: an architecture, say, that no spec describes."""
    return letters(word) in load_groups()[kind].elsewhere


def nearest(word: str, names: Iterable[str], also: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Return the names that a word may have meant, at most three; none where no name is near.

    Args:
        word: what was written.
        names: what is possible.
        also: further words for the names, such as the retired feature name of a task: ``{"masked-lm": "fill-mask"}``.
    """
    possible = list(names)
    words = {
        **{letters(each): name for each, name in (also or {}).items()},
        **{letters(name): name for name in possible},
    }
    for spoken in _spoken(word):
        told = _by_meaning(letters(spoken), possible, words)
        if told is not None:
            return told[:_MAX_MEANT]
    spelt = {name: name for name in possible} | {each: name for each, name in (also or {}).items() if name in possible}
    strange = [
        each for group in load_groups().values() if _is_around(group, possible) for each in group.elsewhere.values()
    ]
    best = dict.fromkeys(spelt.get(each) for each in _by_spelling(word, (*spelt, *strange)))
    # What is nearest to a word that is known and none of ours is none of ours.
    return () if None in best else tuple(name for name in best if name is not None)[:_MAX_MEANT]


def _spoken(word: str) -> Iterator[str]:
    """Yield a word; then the architecture in it where it is a class's or a checkpoint's name."""
    yield word
    last = word.rsplit("/", 1)[-1]
    architecture = _CLASS_END.sub("", last) if last[:1].isupper() else last
    if architecture and architecture != word:
        yield architecture
    ends = load_groups()["architectures"].ends
    pieces = [piece for piece in re.split(r"[-_ ]+", last) if piece]
    while len(pieces) > 1 and (letters(pieces[-1]) in ends or _SIZE.fullmatch(pieces[-1].lower())):
        pieces.pop()
        yield "-".join(pieces)


def _by_meaning(spoken: str, possible: list[str], words: Mapping[str, str]) -> tuple[str, ...] | None:
    """Return the names a word means, none where it is known to mean no name here, and None where it is not known."""
    if spoken in words and words[spoken] in possible:
        return (words[spoken],)
    groups = load_groups().values()
    for group in groups:
        same, near = group.same.get(spoken), group.near.get(spoken, ())
        told = tuple(dict.fromkeys(name for name in (*([same] if same else []), *near) if name in possible))
        if told:
            return told
    # A word of one kind may be the misspelt one of another: the letters of an architecture are those of a dim.
    return () if any(spoken in group.elsewhere for group in groups if _is_around(group, possible)) else None


def _is_around(group: Group, possible: list[str]) -> bool:
    """Tell whether the words of a group are around the possible names."""
    named = {*group.same.values(), *(name for near in group.near.values() for name in near)}
    return not named.isdisjoint(possible)


def _by_spelling(word: str, names: Iterable[str]) -> list[str]:
    """Return the name that a word is most likely a misspelling of, or else the names that it is a part of, if few."""
    asked = parts(word)
    of_names = {name: parts(name) for name in names}
    known = _known_parts().union(*of_names.values())
    ranked = {name: _likeness(asked, of_name, known) for name, of_name in of_names.items()}
    best = max(ranked.values(), default=0)
    if best == 0:
        return []
    alike = sorted(name for name, likeness in ranked.items() if likeness == best)
    return alike if len(alike) <= _MAX_MEANT else []


@lru_cache(maxsize=1)
def _known_parts() -> frozenset[str]:
    """Return the parts of the words of ``tasks``: what one of these says is no misspelling of another."""
    import tomllib

    groups = tomllib.loads(Path(__file__).with_name("words.toml").read_text("utf-8"))
    tasks = groups["tasks"]
    near = [word for name, words in tasks["near"].items() for word in (name, *words)]
    return frozenset(part for word in (*near, *tasks["elsewhere"]) for part in parts(word))


def _likeness(asked: tuple[str, ...], name: tuple[str, ...], known: frozenset[str]) -> float:
    """Return how likely a word of these parts was to be a name of those: `_PART_OF` a part of it, more misspelt, or 0.

    A part that is a word itself is taken for no other.
    """
    if not asked or not name:
        return 0
    whole, other = "".join(asked), "".join(name)
    unlike = [part for part in asked if part not in name]
    if not any(part in known for part in unlike):
        ratio = _ratio(whole, other)
        if len(asked) == len(name) and all(_ratio(one, two) >= _ALIKE for one, two in zip(asked, name, strict=True)):
            return _PART_OF + ratio
        if ratio >= _VERY_ALIKE:
            return _PART_OF + ratio
    if len(asked) < len(name) and all(any(_same_part(part, each, known) for each in name) for part in asked):
        return _PART_OF
    return 0


def _same_part(part: str, name: str, known: frozenset[str]) -> bool:
    return part == name or (len(part) > 3 and part not in known and _ratio(part, name) >= _VERY_ALIKE)


def _ratio(one: str, two: str) -> float:
    if one == two:
        return 1
    from difflib import SequenceMatcher

    matcher = SequenceMatcher(None, one, two)
    return matcher.ratio() if matcher.real_quick_ratio() >= _ALIKE and matcher.quick_ratio() >= _ALIKE else 0
