"""Variants of a reference: switches of the config turned over, as long as the draft still holds.

A checkpoint may have any switch the other way round. One that changes nothing of the model is no variant.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from exporter.drafting.draft import Draft
from exporter.drafting.proving import disproved_tasks
from exporter.drafting.subject import Subject
from exporter.language.spec import WITH_PAST, overlay_config
from exporter.models.architectures import general_keys, state_shapes

# The key of an activation, and what it is turned into.
_ACTIVATION = re.compile(r"(\w+_)?(act|activation)(_fn|_function)?")
_OTHER = {"relu": "gelu"}
_TIED = "tie_word_embeddings"
# Switches that are tried, and variants that are kept where they do not go together.
_TRIED, _KEPT = 12, 3


def add_variants(draft: Draft, subject: Subject, progress: Callable[[str], None]) -> None:
    """Give a draft variants: one with all switches turned over that can be, or several that exclude each other."""
    reference = draft.parts["reference"]["config"]
    task = next((name for name in draft.tasks if name.endswith(WITH_PAST)), next(iter(draft.tasks)))
    before = state_shapes(subject.architecture, reference)
    good: list[dict[str, Any]] = []
    for number, turned in enumerate(_turned(subject.config, reference)):
        if number >= _TRIED:
            break
        progress(f"variant {turned}")
        after = state_shapes(subject.architecture, overlay_config(reference, turned))
        if after is not None and (after != before or _is_computed(turned)) and _holds(draft, turned, (task,)):
            good.append(turned)
    together = overlay_config(*good)
    variants = [together] if good and _holds(draft, together, tuple(draft.tasks)) else []
    variants = variants or [turned for turned in good if _holds(draft, turned, tuple(draft.tasks))][:_KEPT]
    if variants:
        draft.parts["reference"]["variants"] = variants


def _turned(config: Any, reference: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield each switch of a config the other way round."""
    general = general_keys() - {_TIED}
    for key, value in vars(config).items():
        if key.startswith("_") or key in general:
            continue
        now = reference.get(key, value)
        if isinstance(now, bool):
            yield {key: not now}
        elif isinstance(now, str) and _ACTIVATION.fullmatch(key):
            yield {key: _OTHER.get(now, "relu")}


def _is_computed(turned: Mapping[str, Any]) -> bool:
    """Tell whether a switch changes what is computed with the same weights: an activation does, and a tied head."""
    return all(isinstance(value, str) or key == _TIED for key, value in turned.items())


def _holds(draft: Draft, turned: Mapping[str, Any], tasks: tuple[str, ...]) -> bool:
    config = overlay_config(draft.parts["reference"]["config"], turned)
    parts = {**draft.parts, "reference": {"config": config}, "tasks": {name: draft.tasks[name] for name in tasks}}
    return not disproved_tasks(Draft(draft.architecture, draft.family, parts), lambda _: None)
