"""The task that the name of a model class says: one that ends with ``ForMaskedLM`` is for ``fill-mask``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from exporter.language.spec import WITH_PAST, Spec, TaskSpec

# Auto classes behind names that do not end like their auto class, in the order they are tried.
_GENERATION = ("Seq2SeqLM", "SpeechSeq2Seq", "ImageTextToText")
_HEADS = {
    "ForFeatureExtraction": ("",),
    "ForVision2Seq": ("ImageTextToText",),
    "WithLMHeadModel": ("MaskedLM",),
    "LMHeadModel": ("CausalLM",),
    "ForConditionalGeneration": _GENERATION,
    "MTModel": _GENERATION,
    "EncoderDecoderModel": _GENERATION,
    "EncoderModel": ("TextEncoding",),
    "ForSequenceClassification": ("SequenceClassification", "AudioClassification"),
}


def task_of_class(name: str, spec: Spec) -> TaskSpec | None:
    """Return the task of a model class; of two that generate, the one with past, because it is the one to deploy."""
    tasks = spec.tasks.values()
    known = [task.auto_class or "" for task in tasks]
    auto_class = next((candidate for candidate in _auto_classes(name, known) if candidate in known), None)
    matching = [task for task in tasks if (task.auto_class == auto_class if auto_class else task.model_class == name)]
    generative = [task for task in matching if task.name.endswith(WITH_PAST) and task.auto_class != "AutoModel"]
    return next(iter((*generative, *matching)), None)


def _auto_classes(name: str, known: Iterable[str]) -> Iterator[str]:
    """Yield the auto classes a model class may belong to, likeliest first.

    The end of a class's name need not be that of its auto class: ``ForImageClassificationWithTeacher`` belongs to
    ``AutoModelForImageClassification``, and ``ForSegmentation`` to ``AutoModelForImageSegmentation``.
    """
    heads = next((heads for suffix, heads in _HEADS.items() if name.endswith(suffix)), None)
    if heads is not None:
        yield from (f"AutoModelFor{head}" if head else "AutoModel" for head in heads)
    elif (head_at := re.search(r"For(?=[A-Z])(?!.*For[A-Z])", name)) is not None:
        head = name[head_at.end() :]
        yield f"AutoModelFor{head}"
        for auto_class in known:
            own = auto_class.removeprefix("AutoModelFor")
            if own != auto_class and (head.startswith(own) or own.endswith(head)):
                yield auto_class
    elif name.endswith("Model"):
        yield "AutoModel"
