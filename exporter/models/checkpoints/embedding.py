"""The modules of a sentence-transformers checkpoint as steps from hidden states to an embedding.

What the modules compute is in their ``config.json``; a module whose numbers this package cannot give is refused with
the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from exporter.errors import CheckpointError
from exporter.models.checkpoints.directory import Checkpoint
from exporter.models.checkpoints.json_file import read_json
from exporter.models.checkpoints.links import check_links
from exporter.models.checkpoints.modules import MODULES, Module, read_modules
from exporter.planning.plan import HeadStep

SETTINGS = "config_sentence_transformers.json"
# The files of a module's weights, the better first.
WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
_PACKAGE = "sentence_transformers."
# The modes of a pooling, and the switches that older configs have for them, in the order in which they are put side by
# side.
_MODES = {
    "cls": "pooling_mode_cls_token",
    "max": "pooling_mode_max_tokens",
    "mean": "pooling_mode_mean_tokens",
    "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
    "weightedmean": "pooling_mode_weightedmean_tokens",
    "lasttoken": "pooling_mode_lasttoken",
}
_TOKENS, _SENTENCE = "token_embeddings", "sentence_embedding"


def read_head(checkpoint: Checkpoint, hidden: int) -> tuple[HeadStep, ...]:
    """Return the steps of a checkpoint's modules; none for a checkpoint without modules.

    Args:
        checkpoint: the checkpoint.
        hidden: the length of a hidden state.

    Raises:
        CheckpointError: a module is none that a graph can hold, or contradicts the one before it.
    """
    modules = read_modules(checkpoint.whole, checkpoint.name)
    if not modules:
        return ()
    _check_model(checkpoint, modules[0])
    steps: list[HeadStep] = []
    for module in modules[1:]:
        if _class_name(checkpoint, module) == "Dropout":
            continue  # nothing is dropped when texts are embedded
        read = _READERS.get(module.class_name)
        if read is None:
            known = ", ".join(_READERS)
            raise CheckpointError(
                f"{MODULES} of '{checkpoint.name}' names the module {module.class_name} ('{module.folder}'), "
                "which no graph can hold",
                help=f"build --task feature-extraction and run the modules behind it; known are {known}",
            )
        if bool(steps) == (module.class_name == "Pooling"):
            reason = "comes before the pooling" if not steps else "is a second pooling"
            raise CheckpointError(f"the module {module.class_name} ('{module.folder}') of '{checkpoint.name}' {reason}")
        steps.append(read(_Place(checkpoint, module), steps[-1].size if steps else hidden))
    if not steps:
        raise CheckpointError(
            f"{MODULES} of '{checkpoint.name}' names no pooling, so its tokens do not become one embedding",
            help="build --task feature-extraction",
        )
    return tuple(steps)


def head_files(checkpoint: Checkpoint, head: Sequence[HeadStep]) -> tuple[str, ...]:
    """Return the files of a checkpoint whose values are in a head, relative to the checkpoint."""
    if not any(step.folder is not None for step in head):
        return (MODULES,) if (checkpoint.whole / MODULES).is_file() else ()
    names = [MODULES]
    for step in head:
        if step.folder is not None:
            names += [f"{step.folder}/config.json", f"{step.folder}/{weights_file(checkpoint, step.folder).name}"]
    return tuple(names)


def weights_file(checkpoint: Checkpoint, folder: str) -> Path:
    """Return the file with the weights of a module.

    Raises:
        CheckpointError: there is none, or it is a link that leaves the checkpoint.
    """
    for name in WEIGHT_FILES:
        path = checkpoint.whole / folder / name
        check_links(checkpoint.whole, checkpoint.name, [path])
        if path.is_file():
            return path
    raise CheckpointError(
        f"the module '{folder}' of '{checkpoint.name}' has no weights ({' or '.join(WEIGHT_FILES)})",
        help="copy the whole checkpoint",
    )


def embedding_remarks(checkpoint: Checkpoint, head: Sequence[HeadStep]) -> Iterator[str]:
    """Yield what a client must know to embed texts as sentence-transformers does.

    Args:
        checkpoint: the checkpoint.
        head: what its graph holds of the modules; empty for a graph that ends with hidden states.
    """
    modules = read_modules(checkpoint.whole, checkpoint.name)
    if not modules:
        if head:
            yield f"it has no {MODULES} of sentence-transformers, so hidden states are pooled by their mean"
        return
    if not head:
        names = ", ".join(module.class_name for module in modules[1:]) or "none"
        yield (
            f"what makes sentence embeddings of it ({names}) is not in the graph; "
            "--task sentence-similarity puts it there"
        )
        return
    settings = _settings(checkpoint)
    prompts, default = settings.get("prompts"), settings.get("default_prompt_name")
    prompt = prompts.get(default) if isinstance(prompts, Mapping) and isinstance(default, str) else None
    if isinstance(prompt, str) and prompt:
        yield f"a text is embedded behind the prompt {prompt!r}"
    if isinstance(settings.get("truncate_dim"), int):
        yield f"sentence-transformers keeps the first {settings['truncate_dim']} values of an embedding"
    for path in sorted(checkpoint.path.glob("sentence_*_config.json")):
        if path.is_file() and read_json(path).get("do_lower_case") is True:
            yield "texts are made lower case before they are split into tokens"


def _settings(checkpoint: Checkpoint) -> dict[str, Any]:
    path = checkpoint.whole / SETTINGS
    check_links(checkpoint.whole, checkpoint.name, [path])
    return read_json(path) if path.is_file() else {}


class _Place:
    """A module of a checkpoint, and its config."""

    def __init__(self, checkpoint: Checkpoint, module: Module) -> None:
        self.checkpoint, self.module = checkpoint, module
        path = checkpoint.whole / module.folder / "config.json"
        check_links(checkpoint.whole, checkpoint.name, [path])
        if not path.is_file() and module.class_name != "Normalize":
            raise self.error("has no config.json", "copy the whole checkpoint")
        # The config of a model that stands in its checkpoint's own folder is no module's.
        self.config = read_json(path) if path.is_file() and module.folder.parts else {}

    def error(self, problem: str, hint: str | None = None) -> CheckpointError:
        """Return the error for what is wrong with the module."""
        title = f"the module {self.module.class_name} ('{self.module.folder}') of '{self.checkpoint.name}'"
        return CheckpointError(f"{title} {problem}", help=hint or "build --task feature-extraction")

    def size(self, *keys: str) -> int:
        """Return a length that the config has under one of some keys."""
        value = next((self.config[key] for key in keys if key in self.config), None)
        if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
            raise self.error(f"has no size '{keys[0]}'")
        return value

    def flag(self, key: str, *, default: bool) -> bool:
        """Return a switch of the config."""
        value = self.config.get(key, default)
        if not isinstance(value, bool):
            raise self.error(f"has the value {value!r:.40} for '{key}', which is true or false")
        return value

    def reads(self, *allowed: str) -> None:
        """Refuse a module that reads or writes something else than the sentence's embedding."""
        for key in ("module_input_name", "module_output_name"):
            if self.config.get(key) not in (None, *allowed):
                raise self.error(f"has '{key}': {self.config[key]!r:.40}, which no graph can hold")

    def check_size(self, key: str, size: int, given: int) -> None:
        """Refuse a size that contradicts the module before."""
        if size != given:
            raise self.error(
                f"takes '{key}' {size}, and is given {given}", f"copy the whole checkpoint, or see {MODULES}"
            )


def _class_name(checkpoint: Checkpoint, module: Module) -> str:
    """Return the name of a module's class, which is one of sentence-transformers and no code of the checkpoint's."""
    if not module.kind.startswith(_PACKAGE):
        raise CheckpointError(
            f"the module '{module.kind}' of '{checkpoint.name}' is code of its own, which no graph can be made of",
            help="build --task feature-extraction",
        )
    return module.class_name


def _check_model(checkpoint: Checkpoint, module: Module) -> None:
    """Refuse a first module that is not the model with its hidden states."""
    if _class_name(checkpoint, module) != "Transformer":
        raise CheckpointError(
            f"{MODULES} of '{checkpoint.name}' begins with {module.class_name}, and a graph is made of a Transformer",
            help="build --task feature-extraction",
        )
    for path in sorted(checkpoint.path.glob("sentence_*_config.json")):
        check_links(checkpoint.path, checkpoint.name, [path])
        settings = read_json(path) if path.is_file() else {}
        text = settings.get("modality_config")
        text = text.get("text") if isinstance(text, Mapping) else None
        text = text if isinstance(text, Mapping) else {}
        expected = {
            "transformer_task": (settings, "feature-extraction"),
            "module_output_name": (settings, _TOKENS),
            "method": (text, "forward"),
            "method_output_name": (text, "last_hidden_state"),
        }
        for key, (mapping, value) in expected.items():
            if mapping.get(key, value) not in (None, value):
                raise CheckpointError(
                    f"{path.name} of '{checkpoint.name}' has '{key}': {mapping[key]!r:.40}, and a graph pools the "
                    "hidden states of the last layer",
                    help="build --task feature-extraction",
                )


def _pooling(place: _Place, given: int) -> HeadStep:
    config = place.config
    unknown = [
        key for key, value in config.items() if key.startswith("pooling_mode_") and value and key not in _MODES.values()
    ]
    modes = config.get("pooling_mode")
    if modes is None:
        modes = [mode for mode, key in _MODES.items() if place.flag(key, default=False)] or ["mean"]
    modes = [modes] if isinstance(modes, str) else modes
    if not isinstance(modes, list) or not modes:
        raise place.error("has no 'pooling_mode'")
    unknown += [str(mode) for mode in modes if mode not in _MODES]
    if unknown:
        raise place.error(f"pools by {unknown[0]:.40}, which no graph can hold")
    if not place.flag("include_prompt", default=True):
        settings = _settings(place.checkpoint)
        if settings.get("prompts") or settings.get("default_prompt_name"):
            raise place.error("leaves the tokens of a prompt out, and a graph is not told how long a prompt is")
    place.check_size("embedding_dimension", place.size("embedding_dimension", "word_embedding_dimension"), given)
    return HeadStep("pooling", given * len(modes), tuple(modes))


def _dense(place: _Place, given: int) -> HeadStep:
    place.reads(_SENTENCE)
    place.check_size("in_features", place.size("in_features"), given)
    activation = place.config.get("activation_function", "torch.nn.modules.activation.Tanh")
    if not isinstance(activation, str) or not activation.startswith("torch.nn."):
        raise place.error(f"has the activation {activation!r:.60}, which is none of PyTorch's")
    return HeadStep(
        "dense",
        place.size("out_features"),
        activation=activation.rpartition(".")[2],
        bias=place.flag("bias", default=True),
        residual=place.flag("use_residual", default=False),
        folder=str(place.module.folder),
    )


def _layer_norm(place: _Place, given: int) -> HeadStep:
    place.check_size("dimension", place.size("dimension"), given)
    return HeadStep("layer-norm", given, folder=str(place.module.folder))


def _normalize(place: _Place, given: int) -> HeadStep:
    place.reads(_SENTENCE)
    return HeadStep("normalize", given)


_READERS: Mapping[str, Callable[[_Place, int], HeadStep]] = {
    "Pooling": _pooling,
    "Dense": _dense,
    "LayerNorm": _layer_norm,
    "Normalize": _normalize,
}
