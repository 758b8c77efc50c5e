"""What kind of file a name stands for: weights, code, training state, caches; everything else goes beside a graph.

The patterns are those of `fnmatch`. They serve for a directory and for the hub alike, which takes the same patterns and
whose ``*`` crosses slashes.
"""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

WEIGHTS, CODE, STATE, CACHE = "weights", "code", "training state", "caches and hidden files"
_SOURCE = "*.py"
# The first kind with a pattern that fits is that of the file: the weights of an optimizer are training state.
_FILES = {
    CACHE: (".*", "*~", "*.lock", "*.incomplete", "*.tmp", "*.swp", "Thumbs.db", "desktop.ini"),
    STATE: (
        "optimizer*",
        "scheduler.pt",
        "scheduler.bin",
        "scaler.pt",
        "rng_state*",
        "random_states*",
        "trainer_state.json",
        "training_args.*",
        "*tfevents*",
        "*zero_pp_rank_*",
        "mp_rank_*",
        "sampler*.bin",
        "dl_state_dict*.bin",
        "custom_checkpoint_*.pkl",
        "latest",
    ),
    CODE: (
        _SOURCE,
        *("*.pyc", "*.pyo", "*.pyd", "*.pyx", "*.ipynb", "*.whl", "*.egg", "*.jar"),
        *("*.so", "*.so.*", "*.dll", "*.dylib", "*.exe", "*.wasm"),
        *("*.sh", "*.bash", "*.bat", "*.cmd", "*.ps1"),
        *("*.c", "*.cc", "*.cpp", "*.h", "*.hpp", "*.cu", "*.cuh", "*.rs", "*.go", "*.js", "*.mjs", "*.ts"),
        # Reading a pickle runs what it holds.
        *("*.pkl", "*.pickle", "*.joblib", "*.dill"),
    ),
    WEIGHTS: (
        *("*.safetensors", "*.safetensors.index.json", "*.bin.index.json"),
        *("pytorch_model*.bin", "model*.bin", "adapter_model*.bin", "diffusion_pytorch_model*.bin"),
        *("tf_model*.bin", "consolidated*.bin", "ggml*.bin", "*.pt", "*.pth", "*.pt2", "*.pte", "*.ptl", "*.ckpt"),
        *("*.ckpt.*", "*.ckpt-*", "*.distcp", "*.nemo", "*.mar"),
        *("*.h5", "*.hdf5", "*.h5.index.json", "*.keras", "*.pb", "*.data-?????-of-?????", "variables.index"),
        *("*.tflite", "*.msgpack", "*.msgpack.index.json", "*.ot", "*.gguf", "*.ggml", "*.llamafile"),
        *("*.onnx", "*.onnx_data*", "*.onnx.data", "*.ort", "*.mlmodel", "*.caffemodel", "*.params"),
        *("openvino_*.xml", "openvino_*.bin", "model.xml", "*.pdparams", "*.pdmodel", "*.pdiparams*"),
        *("*.engine", "*.plan", "*.trt", "*.neuron", "*.rknn", "*.mnn", "*.bmodel"),
        # Other archives of arrays, such as filters of a feature extractor or the voices of a speaker, are no weights.
        *("weights*.npz", "*weights.npz", "*model.npz", "model*.npz", "params*.npz", "*params.npz"),
        *("weights*.npy", "*weights.npy"),
    ),
}
_DIRECTORIES = {
    CACHE: (".*", "__pycache__"),
    STATE: (
        *("checkpoint-*", "checkpoint_*", "global_step*", "runs", "optimizer_*"),
        *("wandb", "mlruns", "lightning_logs", "tensorboard"),
    ),
    WEIGHTS: (
        *("onnx", "openvino", "coreml", "tflite", "saved_model", "pytorch_model_fsdp*"),
        *("*.mlpackage", "*.mlmodelc", "*.engine"),
    ),
}
# Without these a runtime cannot turn text, images or sound into tensors, or would do so in another way.
_NEEDED = (
    *("config.json", "generation_config.json", "adapter_config.json", "*processor_config.json"),
    *("feature_extractor_config.json", "*token*", "*vocab*", "merges.txt", "dict.txt", "emoji.json"),
    *("normalizer.json", "alphabet.json", "*.model", "*.spm", "*.codes", "chat_template*", "additional_chat_templates"),
    *("language_model", "modules.json", "config_sentence_transformers.json", "sentence_*_config.json", "[0-9]*_*"),
)
# What weights of PyTorch and of GGML begin with, whatever they are called, and what a language model of KenLM does.
_MAGIC = (b"PK\x03\x04", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19", b"GGUF", b"lmgg", b"fmgg", b"tjgg", b"algg")
_LANGUAGE_MODEL = b"mmap lm http://kheafield.com/code"
HEAD_BYTES = 64


def kind_of_file(name: str) -> str | None:
    """Return the kind of a file by its name without directories, or None for one that goes beside a graph."""
    return _kind(name, _FILES)


def kind_of_directory(name: str) -> str | None:
    """Return the kind of all that is in a directory by its name, or None where each file is asked."""
    return _kind(name, _DIRECTORIES)


def is_ambiguous(name: str) -> bool:
    """Tell whether only the content says what kind a file is: a ``.bin`` holds weights or the data of a processor."""
    return name.casefold().endswith(".bin")


def kind_of_content(name: str, head: bytes) -> str | None:
    """Return the kind of a file by its name and its first `HEAD_BYTES`."""
    if head.startswith(_LANGUAGE_MODEL):
        return None
    return kind_of_file(name) or (WEIGHTS if head.startswith(_MAGIC) else None)


def is_source(name: str) -> bool:
    """Tell whether a file is Python, which a checkpoint whose code is trusted needs."""
    return fnmatchcase(name.casefold(), _SOURCE)


def is_needed(name: str) -> bool:
    """Tell whether a runtime cannot do without a file or a directory of this name at the top of a checkpoint."""
    return any(fnmatchcase(name, pattern) for pattern in _NEEDED)


def _kind(name: str, patterns: dict[str, tuple[str, ...]]) -> str | None:
    folded = name.casefold()
    for kind, those in patterns.items():
        if any(fnmatchcase(folded, pattern.casefold()) for pattern in those):
            return kind
    return None


def undownloaded(*, trust_remote_code: bool) -> Iterator[str]:
    """Yield the patterns of what a hub id is not asked for, by paths from the top of its repository.

    Args:
        trust_remote_code: leave Python out of them.
    """
    for kind, patterns in _FILES.items():
        for pattern in patterns:
            if pattern == _SOURCE and trust_remote_code:
                continue
            yield pattern
            if kind == CACHE or not pattern.startswith("*"):
                yield f"*/{pattern}"
    for patterns in _DIRECTORIES.values():
        for pattern in patterns:
            yield f"{pattern}/*"
            yield f"*/{pattern}/*"
