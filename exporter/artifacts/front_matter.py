"""The front matter of a card, which the Hub reads: ours, with what the checkpoint's own card says of itself.

That card is a stranger's. Of its front matter the keys below are read, through the YAML reader of specs (bounded, and
without tags and aliases), and a value is kept only where it is a plain word of the kind the Hub expects. So nothing of
it can add a key, end the front matter or reach the page.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exporter.language.document import parse_document, to_data
from exporter.language.spec import WITH_PAST
from exporter.language.text import Text
from exporter.planning.plan import Plan

# What is read of a card: its front matter stands at its beginning, and has a few hundred bytes.
_MOST_BYTES = 1 << 18
_MOST_ITEMS = 40
_FENCE = re.compile(r"\A---[ \t]*\r?\n(.*?)^---[ \t]*\r?$", re.DOTALL | re.MULTILINE)
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}\Z")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?\Z", re.ASCII)
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._:/+-]{0,79}\Z")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,2}\Z|multilingual\Z|code\Z")
_LINK = re.compile(r"https?://[A-Za-z0-9.-]+(:\d+)?(/[\w.~/%?&=#+-]*)?\Z|(?!.*\.\.)[\w-][\w./-]*\Z", re.ASCII)
_LONGEST_LINK = 300
# Keys that hold one value, and those that hold several.
_SINGLE: Mapping[str, re.Pattern[str]] = {
    "license": _WORD,
    "license_name": _WORD,
    "license_link": _LINK,
    "pipeline_tag": _WORD,
    "library_name": _WORD,
}
_LISTS: Mapping[str, re.Pattern[str]] = {
    "language": _LANGUAGE,
    "tags": _TAG,
    "datasets": _HUB_ID,
    "base_model": _HUB_ID,
}
# Tasks that the Hub knows by another tag; None where it has none.
_PIPELINE_TAGS: Mapping[str, str | None] = {
    "semantic-segmentation": "image-segmentation",
    "text-encoding": "feature-extraction",
    "text-embedding": "feature-extraction",
    "image-embedding": "image-feature-extraction",
    "masked-im": None,
}
# Tags of the Hub that say more of the same task: a checkpoint's own are kept.
_FINER: Mapping[str, tuple[str, ...]] = {
    "text2text-generation": ("summarization", "translation", "question-answering"),
    "text-classification": ("zero-shot-classification", "text-ranking"),
    "feature-extraction": ("sentence-similarity", "image-feature-extraction", "audio-feature-extraction"),
    "sentence-similarity": ("feature-extraction",),
    "image-to-text": ("image-text-to-text",),
    "automatic-speech-recognition": ("translation",),
    "text-generation": ("text2text-generation",),
}


@dataclass(frozen=True, slots=True)
class TheirCard:
    """The front matter of a checkpoint's card: the values that are kept, and whether there was any that was not."""

    values: Mapping[str, str | tuple[str, ...]]
    unreadable: bool = False


NO_CARD = TheirCard({})


def read_their_card(path: Path) -> TheirCard:
    """Read the front matter of a checkpoint's card. Never raises for what is in it, or where there is no card."""
    try:
        with path.open("rb") as file:
            head = file.read(_MOST_BYTES)
    except OSError:
        return NO_CARD
    text = head.decode("utf-8-sig", errors="replace")
    if not text.startswith("---"):
        return NO_CARD
    fenced = _FENCE.match(text)
    if fenced is None:
        return TheirCard({}, unreadable=True)
    document = parse_document(Text(path.name, fenced.group(1)))
    data = to_data(document.root) if document.root is not None else None
    if not isinstance(data, dict):
        return TheirCard({}, unreadable=bool(fenced.group(1).strip()))
    values: dict[str, str | tuple[str, ...]] = {}
    for name, pattern in _SINGLE.items():
        value = data.get(name)
        # The Hub takes a list of licenses too; of several a program could follow the first alone.
        value = value[0] if isinstance(value, list) and len(value) == 1 else value
        if isinstance(value, str) and len(value) <= _LONGEST_LINK and pattern.match(value):
            values[name] = value
    for name, pattern in _LISTS.items():
        kept = _kept(data.get(name), pattern)
        if kept:
            values[name] = kept
    return TheirCard(values)


def _kept(value: Any, pattern: re.Pattern[str]) -> tuple[str, ...]:
    listed = value if isinstance(value, list) else [value]
    fitting = [item for item in listed if isinstance(item, str) and pattern.match(item)]
    return tuple(dict.fromkeys(fitting))[:_MOST_ITEMS]


def front_matter(plan: Plan, source: Mapping[str, Any], theirs: TheirCard, library: tuple[str | None, str]) -> str:
    """Return the front matter of a card, between its fences, as YAML whose values are JSON.

    Args:
        plan: the plan of the artifact.
        source: what its manifest says of the checkpoint.
        theirs: the front matter of the checkpoint's own card.
        library: what the Hub calls the library that the layout is for (None: any), and the one of the target.
    """
    layout_library, target_library = library
    own = theirs.values
    task = plan.task.removesuffix(WITH_PAST)
    values: dict[str, Any] = {name: own[name] for name in ("license", "license_name", "license_link") if name in own}
    values |= {name: own[name] for name in ("language", "datasets") if name in own}
    values["base_model"] = base_models(source) or own.get("base_model")
    values["pipeline_tag"] = _pipeline_tag(plan, task, own.get("pipeline_tag"))
    values["library_name"] = layout_library or own.get("library_name") or target_library
    values["tags"] = _unique([plan.recording.target, plan.model.architecture, task, *own.get("tags", ())])
    lines = (f"{name}: {json.dumps(_plain(value))}" for name, value in values.items() if value)
    return "\n".join(("---", *lines, "---"))


def base_models(source: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the hub ids that a graph was made from, as far as they are known: a model, or an adapter and its base."""
    adapter = source.get("adapter") or {}
    made_of = [(source["name"], adapter.get("commit") if adapter else source["commit"])]
    if adapter:
        made_of.append((adapter["base"], adapter["base_commit"]))
    return tuple(name for name, commit in made_of if commit and isinstance(name, str) and _HUB_ID.match(name))


def _pipeline_tag(plan: Plan, task: str, own: Any) -> str | None:
    if own is not None and own in _FINER.get(task, ()):
        return str(own)
    takes = {tensor.name for tensor in plan.graphs[0].inputs}
    if task == "feature-extraction" and "pixel_values" in takes and "input_ids" not in takes:
        return "image-feature-extraction"
    return _PIPELINE_TAGS.get(task, task)


def _plain(value: Any) -> Any:
    """Return one value for a list of one."""
    if isinstance(value, tuple):
        return value[0] if len(value) == 1 else list(value)
    return value


def _unique(tags: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(tags))
