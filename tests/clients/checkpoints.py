"""Checkpoints with everything a client loads: small random weights beside a trained tokenizer, or beside a processor.

The files of a tokenizer are written as trained checkpoints have them, with class names that clients of any age know.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

import exporter
from exporter.models.references import save_reference

SENTENCES = [
    "A man is playing a guitar on the stage.",
    "Somebody plays an instrument at a concert.",
    "The bread needs half an hour in the oven.",
    "Rain fell on the hills all night, and the river rose.",
    "She wrote a letter to her brother in Lisbon.",
    "The train to the coast leaves at seven.",
    "Nobody knows where the old map was found.",
    "Children were singing under the bridge.",
    "He bought three apples, two pears and a loaf of bread.",
    "The museum opens its doors on Monday morning.",
]
IMAGE_SIZE = 32
RATE = 16000
SECONDS = 1
MELS = 16


@dataclass(frozen=True)
class Kind:
    """What a checkpoint is of: an architecture, the task it was trained for, a config, and the files written beside it.

    ``generation`` are settings of its own for generating, or the names of values that the files beside it settle.
    """

    architecture: str
    task: str
    beside: Callable[[Path], Mapping[str, Any]]
    config: Mapping[str, Any] = field(default_factory=dict)
    generation: Mapping[str, Any] = field(default_factory=dict)


def make_kind(kind: str | Kind, folder: Path) -> None:
    """Make the checkpoint of a kind in a new directory."""
    recipe = KINDS[kind] if isinstance(kind, str) else kind
    folder.mkdir(parents=True)
    # What is beside a model settles its vocabulary and its special tokens, or the sizes of its inputs.
    settled = recipe.beside(folder)
    plan = exporter.plan(recipe.architecture, recipe.task, config={**recipe.config, **settled})
    # A head tied to the embeddings answers with the token it was given, over and over, and that shows nothing.
    untied = {"tie_word_embeddings": False} if "generation" in recipe.task or "speech" in recipe.task else {}
    reference_config = {**plan.model.reference_config, **recipe.config, **settled, **untied}
    save_reference(replace(plan, model=replace(plan.model, reference_config=reference_config)), folder)
    if recipe.generation:
        path = folder / "generation_config.json"
        written = json.loads(path.read_text("utf-8"))
        # Settings that came from the config alone would be made from it anew, without what is chosen here.
        del written["_from_model_config"]
        chosen = {name: settled.get(value, value) for name, value in recipe.generation.items()}
        _write_json(path, {**written, **chosen})


def _wordpiece(folder: Path) -> dict[str, Any]:
    """Write a tokenizer of words and their pieces, and return its part of the config."""
    specials = {
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "mask_token": "[MASK]",
    }
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=160, special_tokens=list(specials.values()), show_progress=False)
    tokenizer.train_from_iterator(SENTENCES, trainer)
    ids = {token: tokenizer.token_to_id(token) for token in specials.values()}
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])],
    )
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    (folder / "vocab.txt").write_text("".join(f"{token}\n" for token, _ in vocabulary), "utf-8")
    _write_tokenizer(folder, tokenizer, "BertTokenizer", specials, do_lower_case=True, model_max_length=64)
    return {"vocab_size": tokenizer.get_vocab_size(), "pad_token_id": ids["[PAD]"], "max_position_embeddings": 64}


def _bytes(folder: Path, class_name: str, template: str | None, *more: str) -> tuple[Tokenizer, int]:
    """Write a tokenizer of merged bytes whose text ends with one token, and return it with the token's id."""
    end = "<|endoftext|>"
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    # Behind all others, where those of trained checkpoints are: clients take what follows them for times.
    tokenizer.add_special_tokens([end, *more])
    tokens = [(token, tokenizer.token_to_id(token)) for token in (end, *more)]
    tokenizer.post_processor = (
        processors.TemplateProcessing(single=template, special_tokens=tokens)
        if template is not None
        else processors.ByteLevel(trim_offsets=False)
    )
    tokenizer.model.save(str(folder))
    specials = dict.fromkeys(("bos_token", "eos_token", "unk_token", "pad_token"), end)
    _write_tokenizer(folder, tokenizer, class_name, specials, model_max_length=64, add_prefix_space=False)
    return tokenizer, tokenizer.token_to_id(end)


def _decoder_tokens(folder: Path) -> dict[str, Any]:
    tokenizer, end = _bytes(folder, "GPT2Tokenizer", None)
    return {"vocab_size": tokenizer.get_vocab_size(), "bos_token_id": end, "eos_token_id": end, "pad_token_id": end}


def _unigram(folder: Path) -> dict[str, Any]:
    """Write a tokenizer of likely pieces, whose texts end with a token and start with the padding's."""
    specials = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=120, special_tokens=list(specials.values()), unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    pad, end = (tokenizer.token_to_id(specials[name]) for name in ("pad_token", "eos_token"))
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", end)])
    _write_tokenizer(folder, tokenizer, "T5Tokenizer", specials, model_max_length=64, extra_ids=0)
    return {
        "vocab_size": tokenizer.get_vocab_size(),
        "pad_token_id": pad,
        "eos_token_id": end,
        "decoder_start_token_id": pad,
    }


def _speech(folder: Path) -> dict[str, Any]:
    """Write a tokenizer of merged bytes and a processor that turns recordings into spectrograms."""
    start, plain = "<|startoftranscript|>", "<|notimestamps|>"
    tokenizer, end = _bytes(folder, "WhisperTokenizer", f"{start} {plain} $A <|endoftext|>", start, plain)
    processor = {
        "feature_extractor_type": "WhisperFeatureExtractor",
        "processor_class": "WhisperProcessor",
        "feature_size": MELS,
        "sampling_rate": RATE,
        "hop_length": 160,
        "chunk_length": SECONDS,
        "n_fft": 400,
        "n_samples": SECONDS * RATE,
        "nb_max_frames": SECONDS * RATE // 160,
        "padding_side": "right",
        "padding_value": 0.0,
        "return_attention_mask": False,
    }
    _write_json(folder / "preprocessor_config.json", processor)
    first = tokenizer.token_to_id(start)
    return {
        "vocab_size": tokenizer.get_vocab_size(),
        "pad_token_id": end,
        "bos_token_id": end,
        "eos_token_id": end,
        "decoder_start_token_id": first,
        "no_timestamps": tokenizer.token_to_id(plain),
        "num_mel_bins": MELS,
        "max_source_positions": SECONDS * RATE // 320,
    }


def _pixels(folder: Path) -> dict[str, Any]:
    """Write a processor of images that have the model's size already: libraries resample in ways of their own."""
    processor = {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": {"height": IMAGE_SIZE, "width": IMAGE_SIZE},
        "resample": 2,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
    }
    _write_json(folder / "preprocessor_config.json", processor)
    return {"image_size": IMAGE_SIZE, "patch_size": 8}


def _write_tokenizer(
    folder: Path, tokenizer: Tokenizer, class_name: str, specials: Mapping[str, str], **settings: Any
) -> None:
    tokenizer.save(str(folder / "tokenizer.json"))
    _write_json(folder / "special_tokens_map.json", specials)
    _write_json(folder / "tokenizer_config.json", {"tokenizer_class": class_name, **specials, **settings})


def _write_json(path: Path, data: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(data, indent=1, sort_keys=True), "utf-8")


_MOODS = {
    "num_labels": 3,
    "id2label": {"0": "glad", "1": "sad", "2": "angry"},
    "label2id": {"glad": 0, "sad": 1, "angry": 2},
}
_PARTS = {
    "num_labels": 3,
    "id2label": {"0": "noun", "1": "verb", "2": "name"},
    "label2id": {"noun": 0, "verb": 1, "name": 2},
}
_THINGS = {
    "num_labels": 3,
    "id2label": {"0": "cat", "1": "ship", "2": "tree"},
    "label2id": {"cat": 0, "ship": 1, "tree": 2},
}

KINDS = {
    "sentences": Kind("bert", "feature-extraction", _wordpiece),
    "moods": Kind("distilbert", "text-classification", _wordpiece, _MOODS),
    "parts": Kind("bert", "token-classification", _wordpiece, _PARTS),
    "stories": Kind("gpt2", "text-generation-with-past", _decoder_tokens),
    # optimum makes empty caches for heads of hidden_size / num_attention_heads (here 48 / 8), and for as many heads in
    # a decoder as in its encoder.
    "essays": Kind("llama", "text-generation-with-past", _decoder_tokens, {"head_dim": 6}),
    # As many layers in the decoder as in the encoder: transformers makes a cache of the encoder's number.
    # No repeated pairs of tokens: with random weights the model would answer with one token over and over.
    "translations": Kind(
        "t5",
        "text2text-generation-with-past",
        _unigram,
        {"num_layers": 2, "num_decoder_layers": 2, "d_kv": 8},
        {"no_repeat_ngram_size": 2},
    ),
    "things": Kind("vit", "image-classification", _pixels, _THINGS),
    # Its pooling covers whole images. Runtimes compute that in ways of their own, unless it is written as global.
    "scenes": Kind("efficientnet", "image-classification", _pixels, _THINGS),
    "recordings": Kind(
        "whisper",
        "automatic-speech-recognition-with-past",
        _speech,
        {"encoder_attention_heads": 4},
        {"is_multilingual": False, "no_timestamps_token_id": "no_timestamps", "begin_suppress_tokens": None},
    ),
}
