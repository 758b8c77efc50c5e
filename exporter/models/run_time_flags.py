"""Settings of ``config.json`` that say how a model is run, not what it computes.

They stay behind from a training or an analysis run. None of them may stop or change a build: a graph's outputs and its
attention are chosen by the request, so each is taken out, and what would have mattered is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

# Each flag, with the option that has its effect in a graph, if there is one.
_FLAGS: Mapping[str, str | None] = {
    "output_hidden_states": "--output-hidden-states",
    "output_attentions": "--output-attentions",
    **dict.fromkeys(
        (
            "attn_implementation",
            "_attn_implementation",
            "_attn_implementation_internal",
            "chunk_size_feed_forward",
            "distributed_config",
            "experts_implementation",
            "_experts_implementation",
            "_experts_implementation_internal",
            "fusion_config",
            "gradient_checkpointing",
            "output_past",
            "output_router_logits",
            "return_dict",
            "return_dict_in_generate",
            "torchscript",
            "use_bfloat16",
            "use_cache",
            "use_flash_attention_2",
            "_flash_attn_2_enabled",
            "use_return_dict",
        )
    ),
}
# What models do without being told; some configs do not know the flag.
_USUAL = {"use_cache": True, "return_dict": True}
# Where transformers keeps notes of its own beside a flag; nothing reads them from a file.
_NOTES = frozenset({"_attn_implementation_autoset"})
# Dictionaries of a config that are no configs of parts.
_OTHER = frozenset({"id2label", "label2id", "task_specific_params", "auto_map"})


def without_flags(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config, as data, without run-time flags, those of its parts included."""
    return {
        key: without_flags(value) if isinstance(value, Mapping) and key not in _OTHER else value
        for key, value in config.items()
        if key not in _FLAGS and key not in _NOTES
    }


def flag_remarks(config: Mapping[str, Any], usual: Any) -> Iterator[str]:
    """Yield a line for each run-time flag of a config that differs from what a model has without it.

    Args:
        config: ``config.json`` as data.
        usual: the transformers config of the same data without its flags.
    """
    seen: dict[str, Any] = {}
    for key, value in _flags(config):
        without = getattr(usual, key, _USUAL.get(key))
        if value != without if value else without is True:
            seen.setdefault(key, value)
    for key, value in seen.items():
        option = _FLAGS[key]
        instead = f"; {option} puts them into the graph" if option is not None else ""
        yield f"'{key}' in config.json is {value!r}, a setting of a run that was reset{instead}"


def _flags(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if key in _FLAGS:
            yield key, value
        elif isinstance(value, Mapping) and key not in _OTHER:
            yield from _flags(value)
