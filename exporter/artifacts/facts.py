"""What the files beside a graph say of its use: labels, special tokens, and what makes its inputs.

They are a checkpoint's, and so a stranger's: what is no plain value of the expected kind is passed over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporter.errors import CheckpointError
from exporter.models.checkpoints.json_file import read_json

if TYPE_CHECKING:
    from exporter.models.tokenizing import TokenizerFacts

# Where a checkpoint says which tokens a text starts and ends with, in the order they are asked.
_TOKEN_FILES = ("generation_config.json", "config.json")
_PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")
# Samples a second that a recording may have, and tokens that may end a text.
_SLOWEST, _FASTEST = 1_000, 400_000
_MOST_ENDS = 32
_MULTI_LABEL, _REGRESSION = "multi_label_classification", "regression"
# What transformers calls the parts of a processor for several kinds of input.
_PICTURE_PARTS, _SOUND_PARTS = ("image_processor",), ("feature_extractor", "audio_processor")


@dataclass(frozen=True, slots=True)
class Picture:
    """A processor of images: the height and width it makes of a square picture, where it says so, and its steps."""

    size: tuple[int, int] | None
    steps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sound:
    """A processor of sound: samples a second, and how many features and frames it makes, where it makes those."""

    rate: int
    features: int | None
    frames: int | None


@dataclass(frozen=True, slots=True)
class Facts:
    """What the files beside a graph say.

    Attributes:
        labels: what each score stands for, in order; empty where nothing says it.
        kind: how scores are read: ``one`` of the labels, ``several`` of them, or a ``number``.
        start: the tokens that a decoder starts a text with.
        stop: the tokens that end a text.
        tokenizer: what the tokenizer does; None where there is none that a program could use.
        has_tokenizer: whether there are files of one.
        picture: what the processor of images does, if there is one.
        sound: what the processor of sound does, if there is one.
    """

    labels: tuple[str, ...] = ()
    kind: str = "one"
    start: tuple[int, ...] = (0,)
    stop: tuple[int, ...] = ()
    tokenizer: TokenizerFacts | None = None
    has_tokenizer: bool = False
    picture: Picture | None = None
    sound: Sound | None = None


def read_facts(directory: Path) -> Facts:
    """Read what the files of an artifact say of its use. Never raises for what is in them."""
    from exporter.models.tokenizing import has_tokenizer_files, look_at_tokenizer

    config = _read(directory / "config.json")
    told = [_read(directory / name) for name in _TOKEN_FILES]
    processors = [_read(directory / name) for name in _PROCESSOR_FILES]
    tokenizer = look_at_tokenizer(directory)
    labels = _labels(config)
    ends = () if tokenizer is None or tokenizer.ends is None else (tokenizer.ends,)
    return Facts(
        labels,
        _kind(config, labels),
        _start(told),
        tuple(dict.fromkeys((*_stop(told), *ends))),
        tokenizer,
        has_tokenizer_files(directory),
        next(filter(None, map(_picture, processors)), None),
        next(filter(None, map(_sound, processors)), None),
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        return read_json(path)
    except (CheckpointError, RecursionError):
        return {}


def _labels(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the labels of a config whose numbers are 0, 1, 2 and so on."""
    labels = config.get("id2label")
    if not isinstance(labels, dict):
        return ()
    named = [labels.get(str(number)) for number in range(len(labels))]
    return tuple(map(str, named)) if all(isinstance(label, str) for label in named) else ()


def _kind(config: Mapping[str, Any], labels: tuple[str, ...]) -> str:
    problem = config.get("problem_type")
    if problem == _MULTI_LABEL:
        return "several"
    return "number" if problem == _REGRESSION or len(labels) == 1 or config.get("num_labels") == 1 else "one"


def _start(told: list[dict[str, Any]]) -> tuple[int, ...]:
    """Return the token a decoder starts with, and those it is then made to say: a language, or a task."""
    start = _first(told, "decoder_start_token_id")
    forced = _first(told, "forced_bos_token_id")
    settings = told[0]
    more: list[Any] = [forced]
    languages, tasks = settings.get("lang_to_id"), settings.get("task_to_id")
    if isinstance(languages, dict) and isinstance(tasks, dict):
        # A recogniser of speech in many languages is told which, what to do, and to leave times out.
        more = [languages.get("<|en|>"), tasks.get("transcribe"), settings.get("no_timestamps_token_id")]
    elif _number(settings.get("no_timestamps_token_id")) is not None:
        more = [settings["no_timestamps_token_id"]]
    return (0 if start is None else start, *(token for token in map(_number, more) if token is not None))


def _stop(told: list[dict[str, Any]]) -> tuple[int, ...]:
    for settings in told:
        ends = settings.get("eos_token_id")
        listed = ends if isinstance(ends, list) else [ends]
        tokens = [token for token in map(_number, listed[:_MOST_ENDS]) if token is not None]
        if tokens:
            return tuple(tokens)
    return ()


def _first(told: list[dict[str, Any]], name: str) -> int | None:
    numbers = (_number(settings.get(name)) for settings in told)
    return next((number for number in numbers if number is not None), None)


def _number(value: Any) -> int | None:
    """Return a value that is a whole number of 0 or more."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _part(settings: Mapping[str, Any], kind: str, parts: tuple[str, ...]) -> Mapping[str, Any] | None:
    """Return the settings of a processor of one kind of input: those of a file, or a part of them."""
    for name in parts:
        inner = settings.get(name)
        if isinstance(inner, dict):
            return inner
    return settings if isinstance(settings.get(kind), str) else None


def _picture(settings: Mapping[str, Any]) -> Picture | None:
    found = _part(settings, "image_processor_type", _PICTURE_PARTS)
    if found is None and "image_mean" in settings:  # as processors were saved before they had a type
        found = settings
    if found is None or "auto_map" in found:
        return None
    size = found.get("crop_size") if found.get("do_center_crop") else found.get("size")
    size = {"shortest_edge": size} if _number(size) is not None else size
    named = size if isinstance(size, dict) else {}
    height, width = (_number(named.get(side, named.get("shortest_edge"))) for side in ("height", "width"))
    known = (height, width) if height and width and found.get("do_resize", True) is True else None
    steps = {"do_resize": "scaled", "do_center_crop": "cut to the middle", "do_rescale": "brought from 0…255 to 0…1"}
    done = [words for name, words in steps.items() if found.get(name) is True]
    if found.get("do_normalize") is True:
        done.append("normalised by a mean and a deviation")
    return Picture(known, tuple(done))


def _sound(settings: Mapping[str, Any]) -> Sound | None:
    found = _part(settings, "feature_extractor_type", _SOUND_PARTS)
    if found is None or "auto_map" in found:
        return None
    rate = _number(found.get("sampling_rate"))
    if rate is None or not _SLOWEST <= rate <= _FASTEST:
        return None
    return Sound(rate, _number(found.get("feature_size")), _number(found.get("nb_max_frames")))
