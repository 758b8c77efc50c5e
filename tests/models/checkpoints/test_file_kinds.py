"""Names of weights, code, training state and caches are told from everything else."""

from __future__ import annotations

from fnmatch import fnmatch

import pytest

from exporter.models.checkpoints.file_kinds import (
    CACHE,
    CODE,
    STATE,
    WEIGHTS,
    is_needed,
    is_source,
    kind_of_content,
    kind_of_directory,
    kind_of_file,
    undownloaded,
)

FILES = {
    WEIGHTS: """model.safetensors model-00001-of-00002.safetensors model.safetensors.index.json pytorch_model.bin
        pytorch_model-00001-of-00003.bin pytorch_model.bin.index.json adapter_model.bin tf_model.h5 flax_model.msgpack
        model.weights.h5 model.keras saved_model.pb variables.index variables.data-00000-of-00001 model.ckpt.index
        model.ckpt-100.meta consolidated.00.pth model.pt model.Q4_K_M.gguf MODEL.GGUF ggml-model-q4_0.bin model.onnx
        model.onnx_data model_quantized.onnx decoder_model.onnx rust_model.ot model.tflite model.mlmodel weights.npz
        model.npz openvino_model.xml openvino_model.bin model.ort model.pt2 model.nemo""",
    CODE: """modeling_own.py tokenization_own.py __init__.py run.sh train.ipynb kernel.cu kernel.so vocab.pkl
        zero_to_fp32.py""",
    STATE: """optimizer.pt optimizer.bin optimizer.safetensors scheduler.pt scaler.pt rng_state.pth rng_state_3.pth
        random_states_0.pkl trainer_state.json training_args.bin events.out.tfevents.1700000000.host.1.0 latest
        zero_pp_rank_0_mp_rank_00_model_states.pt""",
    CACHE: ".gitattributes .gitignore .DS_Store .env config.json~ model.safetensors.lock x.incomplete",
}
COMPANIONS = """config.json generation_config.json tokenizer.json sentencepiece.model sentencepiece.bpe.model dict.txt
    spiece.model vocab.txt vocab.json merges.txt bpe.codes chat_template.jinja preprocessor_config.json modules.json
    LICENSE README.md NOTICE alphabet.json unigrams.txt 5gram.bin lm.arpa attrs.json mel_filters.npz speaker.npy
    notes.pdf tokenizer.bin sample.wav params.json quantize_config.json source.spm emoji.json all_results.json"""


@pytest.mark.parametrize("kind", FILES)
def test_files_of_a_kind(kind: str) -> None:
    assert {name: kind_of_file(name) for name in FILES[kind].split()} == dict.fromkeys(FILES[kind].split(), kind)


def test_everything_else_is_no_kind() -> None:
    assert {name: kind_of_file(name) for name in COMPANIONS.split()} == dict.fromkeys(COMPANIONS.split())


def test_directories() -> None:
    kinds = {
        WEIGHTS: "onnx openvino coreml saved_model model.mlpackage",
        STATE: "checkpoint-500 global_step1000 runs wandb",
        CACHE: ".git .cache .huggingface __pycache__",
    }
    for kind, names in kinds.items():
        assert {name: kind_of_directory(name) for name in names.split()} == dict.fromkeys(names.split(), kind)
    for name in ("language_model", "additional_chat_templates", "1_Pooling", "2_Dense", "original", "assets"):
        assert kind_of_directory(name) is None


def test_the_content_tells_weights_from_a_language_model() -> None:
    assert kind_of_content("lm.bin", b"mmap lm http://kheafield.com/code format version 5\n") is None
    assert kind_of_content("model.bin", b"mmap lm http://kheafield.com/code format version 5\n") is None
    assert kind_of_content("other.bin", b"PK\x03\x04abc") == WEIGHTS
    assert kind_of_content("other.bin", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.") == WEIGHTS
    assert kind_of_content("other.bin", b"GGUF") == WEIGHTS
    assert kind_of_content("pytorch_model.bin", b"?") == WEIGHTS
    assert kind_of_content("5gram.bin", b"?") is None


def test_what_a_runtime_needs_and_what_is_source() -> None:
    for name in ("config.json", "tokenizer.json", "sentencepiece.model", "vocab.txt", "2_Dense", "modules.json"):
        assert is_needed(name), name
    for name in ("README.md", "LICENSE", "notes.txt", "images", "optimizer.pt"):
        assert not is_needed(name), name
    assert is_source("modeling_own.py")
    assert not is_source("run.sh")


@pytest.mark.parametrize("trusted", [False, True])
def test_the_hub_is_not_asked_for_what_stays_behind(trusted: bool) -> None:
    patterns = list(undownloaded(trust_remote_code=trusted))
    for names in FILES.values():
        for name in names.split():
            for place in (name, f"folder/{name}"):
                if name != "MODEL.GGUF":
                    ignored = any(fnmatch(place, pattern) for pattern in patterns)
                    assert ignored is not (trusted and name.endswith(".py")), place
    for name in (*COMPANIONS.split(), "language_model/5gram.bin", "additional_chat_templates/tool_use.jinja"):
        assert not any(fnmatch(name, pattern) for pattern in patterns), name
    for name in ("onnx/config.json", "runs/a/b", "checkpoint-5/config.json", ".git/config", "folder/onnx/x.json"):
        assert any(fnmatch(name, pattern) for pattern in patterns), name
