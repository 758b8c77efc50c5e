"""The layout of transformers.js: graphs under ``onnx/``, one decoder for every step, and a section in ``config.json``.

That section, ``transformers.js_config``, holds the library's defaults. Unless it says that the graphs are float32 the
library looks for files of other names. An empty cache it sizes by the symbolic dim ``batch_size``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporter.artifacts.layouts.layout import Layout
from exporter.errors import CheckpointError, UsageError
from exporter.language.spec import WITH_PAST, Spec, TaskSpec
from exporter.planning.arrangement import Arrangement
from exporter.planning.plan import Plan

if TYPE_CHECKING:  # commands that only name layouts open no checkpoint
    from exporter.models.checkpoints import Checkpoint

_FOLDER = "onnx"
_REFUSED = {
    "float16": (
        "transformers.js gives images and sound as float32 and, where there is no Float16Array, "
        "takes the bits of a float16 output for integers"
    ),
    "bfloat16": "transformers.js has no name for it",
}
_CONFIG = "transformers.js_config"
_TEXT, _MEDIA = ("input_ids",), ("pixel_values", "input_features", "input_values")


# What the library calls its pipelines: as the Hub calls tasks, but for these.
_PIPELINES = {"sentence-similarity": "feature-extraction", "semantic-segmentation": "image-segmentation"}
_WITH_PIPELINE = {
    *("text-classification", "token-classification", "question-answering", "fill-mask", "feature-extraction"),
    *("text-generation", "text2text-generation", "image-to-text", "automatic-speech-recognition"),
    *("audio-classification", "image-classification", "image-segmentation", "object-detection"),
    *("zero-shot-image-classification", "zero-shot-object-detection"),
}


def _word(plan: Plan) -> str | None:
    """Return the pipeline for a plan, or None where the library has none."""
    task = plan.task.removesuffix(WITH_PAST)
    name = _PIPELINES.get(task, task)
    takes = {tensor.name for tensor in plan.graphs[0].inputs}
    if task == "feature-extraction" and not takes.intersection(_TEXT):
        return "image-feature-extraction" if takes.intersection(_MEDIA[:1]) else None
    return name if name in _WITH_PIPELINE else None


def _refuse(spec: Spec, task: TaskSpec) -> None:
    """Refuse a task of generation without its cache: the library hands over one new token at a time."""
    with_past = f"{task.name}{WITH_PAST}"
    if with_past in spec.tasks and task.name != "feature-extraction":
        raise UsageError(
            f"{spec.architecture} {task.name} has no cache, and transformers.js generates with one",
            help=f"build the task {with_past}",
        )


def _check(checkpoint: Checkpoint | None, task: TaskSpec) -> None:
    """Ask for the files the library turns text, images and sound into tensors with."""
    if checkpoint is None:
        return
    names = {tensor.name for graph in task.graphs for tensor in graph.inputs}
    media = names.intersection(_MEDIA)
    needed = ["preprocessor_config.json"] if media else []
    # A model of images alone may take them as ``input_ids``: then the processor makes the ids, and there is no
    # tokenizer.
    if names.intersection(_TEXT) and (media or not (checkpoint.path / "preprocessor_config.json").is_file()):
        needed += ["tokenizer.json", "tokenizer_config.json"]
    missing = [name for name in needed if not (checkpoint.path / name).is_file()]
    if missing:
        saved = "AutoProcessor" if missing == ["preprocessor_config.json"] else "AutoTokenizer"
        raise CheckpointError(
            f"'{checkpoint.name}' has no {' and no '.join(missing)}, which transformers.js needs for {task.name}",
            help=f"save it beside the model: {saved}.from_pretrained(NAME).save_pretrained('{checkpoint.name}')",
        )


def _finish(directory: Path, plan: Plan, _: Checkpoint, __: Any) -> None:
    """Say in ``config.json`` that the graphs are float32 and which of them have their weights beside them."""
    path = directory / "config.json"
    config: dict[str, Any] = json.loads(path.read_text("utf-8"))
    files = [Path(graph.file).name for graph in plan.graphs]
    external = [name for name in files if (directory / _FOLDER / f"{name}_data").is_file()]
    ours: dict[str, Any] = {"dtype": "fp32"}
    if external:
        ours["use_external_data_format"] = True if external == files else dict.fromkeys(external, True)
    theirs = config.get(_CONFIG)
    config[_CONFIG] = {**(theirs if isinstance(theirs, dict) else {}), **ours}
    if not external:
        config[_CONFIG].pop("use_external_data_format", None)
    path.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", "utf-8")


LAYOUT = Layout(
    Arrangement(
        "transformers-js",
        folder=_FOLDER,
        dims={"batch": "batch_size"},
        merged=True,
        targets=("onnx",),
        refused=_REFUSED,
        refuse=_refuse,
    ),
    "graphs under onnx/ with one decoder for every step, as transformers.js loads them",
    library="transformers.js",
    check=_check,
    word=_word,
    finish=_finish,
)
