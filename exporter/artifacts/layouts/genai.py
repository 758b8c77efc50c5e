"""The layout of onnxruntime-genai: one decoder with its cache, and ``genai_config.json``.

Sizes of the cache are read off the planned graph; what the graph does not say comes from the model's config.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporter.artifacts.layouts.layout import Layout
from exporter.errors import CheckpointError, UsageError
from exporter.language.spec import Spec, TaskSpec
from exporter.planning.arrangement import Arrangement
from exporter.planning.plan import GraphPlan, Plan, TensorPlan

if TYPE_CHECKING:  # commands that only name layouts open no checkpoint
    from exporter.models.checkpoints import Checkpoint

_CONFIG = "genai_config.json"
_TASK = "text-generation-with-past"
_PAST, _PRESENT = "past_key_values.{layer}.{part}", "present.{layer}.{part}"
_INPUTS = ("input_ids", "attention_mask", "position_ids")
# What configs call the longest text.
_LENGTHS = ("max_position_embeddings", "seq_length", "max_seq_len", "n_positions")
_SEARCH = {
    "do_sample": False,
    "early_stopping": True,
    "length_penalty": 1.0,
    "min_length": 0,
    "no_repeat_ngram_size": 0,
    "num_beams": 1,
    "num_return_sequences": 1,
    "repetition_penalty": 1.0,
    "temperature": 1.0,
    "top_k": 50,
    "top_p": 1.0,
}


def _refuse(spec: Spec, task: TaskSpec) -> None:
    """Refuse all but one decoder whose cache is keys and values of a plain shape."""
    title = f"{spec.architecture} {task.name}"
    if task.name != _TASK:
        raise UsageError(f"the layout genai is for {_TASK}, not for {title}", help=f"build the task {_TASK}")
    (graph, *others) = task.graphs
    cache = {tensor.name: tensor for tensor in graph.inputs if tensor.name.startswith("past_key_values.")}
    names = {_PAST.format(layer="{layer}", part=part) for part in ("key", "value")}
    plain = set(cache) == names and all(len(tensor.type.dims) == 4 for tensor in cache.values())
    if others or not plain:
        raise UsageError(
            f"onnxruntime-genai cannot run {title}: its cache is not one key and one value of four axes in each layer",
            help="leave --layout out",
        )
    unknown = [tensor.name for tensor in graph.inputs if tensor.name not in (*_INPUTS, *cache)]
    if unknown:
        raise UsageError(
            f"onnxruntime-genai gives a decoder no {', '.join(unknown)}, which {title} takes", help="leave --layout out"
        )


def _finish(directory: Path, plan: Plan, checkpoint: Checkpoint, config: Any) -> None:
    text = json.dumps(describe(plan, checkpoint, config), indent=1, ensure_ascii=False)
    (directory / _CONFIG).write_text(text + "\n", "utf-8")


def describe(plan: Plan, checkpoint: Checkpoint, config: Any) -> dict[str, Any]:
    """Return what onnxruntime-genai must know of a decoder.

    Args:
        plan: the plan of the decoder.
        checkpoint: where ``generation_config.json`` may be.
        config: the model's config, under the names transformers gives every architecture.

    Raises:
        CheckpointError: the config names no longest text, or no token that ends one.
    """
    (graph,) = plan.graphs
    text = config.get_text_config(decoder=True)
    past = _named(graph.inputs, _PAST.format(layer=0, part="key"))
    heads, head_size = (axis for axis in (past.shape[1], past.shape[3]))
    layers = sum(tensor.name.startswith("past_key_values.") for tensor in graph.inputs) // 2
    tokens = _tokens(checkpoint, text)
    length = next((value for name in _LENGTHS if isinstance(value := getattr(text, name, None), int)), None)
    if length is None:
        raise CheckpointError(
            f"config.json of '{checkpoint.name}' does not say how long a text can be, "
            "which onnxruntime-genai must know",
            help='add "max_position_embeddings": N to config.json',
        )
    return {
        "model": {
            "type": "decoder",
            **tokens,
            "context_length": length,
            "vocab_size": _named(graph.outputs, "logits").shape[-1],
            "decoder": {
                "filename": graph.file,
                "session_options": {"log_id": "onnxruntime-genai", "provider_options": []},
                "head_size": head_size,
                "hidden_size": text.hidden_size,
                "num_attention_heads": text.num_attention_heads,
                "num_hidden_layers": layers,
                "num_key_value_heads": heads,
                "inputs": {**_present(graph), **_cache_names("past", _PAST)},
                "outputs": {"logits": "logits", **_cache_names("present", _PRESENT)},
            },
        },
        "search": {
            **_SEARCH,
            **{name: value for name, value in _generation(checkpoint).items() if name in _SEARCH and value is not None},
            "max_length": length,
            # One buffer for past and present would take a graph whose cache has one size.
            "past_present_share_buffer": False,
        },
    }


def _named(tensors: tuple[TensorPlan, ...], name: str) -> TensorPlan:
    return next(tensor for tensor in tensors if tensor.name == name)


def _present(graph: GraphPlan) -> dict[str, str]:
    names = {tensor.name for tensor in graph.inputs}
    return {name: name for name in _INPUTS if name in names}


def _cache_names(role: str, pattern: str) -> dict[str, str]:
    return {f"{role}_{part}_names": pattern.format(layer="%d", part=part) for part in ("key", "value")}


def _generation(checkpoint: Checkpoint) -> dict[str, Any]:
    path = checkpoint.path / "generation_config.json"
    if not path.is_file():
        return {}
    try:
        data: Any = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise CheckpointError(
            f"generation_config.json of '{checkpoint.name}' holds no JSON object",
            help="copy the file again, or remove it",
        )
    return data


def _tokens(checkpoint: Checkpoint, text: Any) -> dict[str, int | list[int]]:
    """Return the special tokens as ``generation_config.json`` has them, else as the config does.

    Where neither names a token for padding, padding is with the token that ends a text.
    """
    generation = _generation(checkpoint)
    tokens: dict[str, Any] = {}
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        token = generation.get(name)
        token = getattr(text, name, None) if token is None else token
        if token is not None:
            tokens[name] = token
    if "eos_token_id" not in tokens:
        raise CheckpointError(
            f"neither generation_config.json nor config.json of '{checkpoint.name}' says which token ends a text",
            help='add "eos_token_id": N to generation_config.json',
        )
    end = tokens["eos_token_id"]
    tokens.setdefault("pad_token_id", end[0] if isinstance(end, list) else end)
    return tokens


LAYOUT = Layout(
    Arrangement("genai", targets=("onnx",), refuse=_refuse),
    "one decoder and genai_config.json, as onnxruntime-genai loads them",
    library="onnxruntime-genai",
    files=(_CONFIG,),
    word=lambda _: "Generator",
    finish=_finish,
)
