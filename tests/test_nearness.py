"""What a word may have meant: by its meaning, and by its spelling where no other word is spelt so."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from exporter import nearness
from exporter.artifacts.layouts import LAYOUTS
from exporter.building.request import OPTIONS
from exporter.language.catalog import list_specs, load_tasks, task_of_word, task_synonyms
from exporter.language.loading import load_spec
from exporter.language.spec import DTYPES, TRACERS
from exporter.nearness import is_elsewhere, letters, load_groups, meant, nearest, parts
from exporter.targets.registry import TARGETS

ARCHITECTURES = [path.stem for path in list_specs()]


@pytest.mark.parametrize(
    ("word", "names"),
    [
        ("gpt-2", "gpt2"),
        ("GPT2", "gpt2"),
        ("llama3", "llama"),
        ("Llama-3.2-1B-Instruct", "llama"),
        ("meta-llama/Llama-2-7b-hf", "llama"),
        ("Qwen/Qwen2.5-0.5B-Instruct", "qwen2"),
        ("xlm-r", "xlm-roberta"),
        ("wav2vec", "wav2vec2"),
        ("facebook/wav2vec2-base-960h", "wav2vec2"),
        ("bert-base-uncased", "bert"),
        ("distilbert-base-uncased-finetuned-sst-2-english", "distilbert"),
        ("sentence-transformers/all-MiniLM-L6-v2", "bert"),
        ("BertForMaskedLM", "bert"),
        ("GPT2LMHeadModel", "gpt2"),
        ("XLMRobertaForSequenceClassification", "xlm-roberta"),
        ("DistilBertConfig", "distilbert"),
        ("deberta_v2", "deberta-v2"),
        ("resnet50", "resnet"),
        ("robreta", "roberta"),
        ("brt", "bart bert"),
        # Architectures of their own that no spec describes, and words like them.
        ("blip", ""),
        ("mixtral", ""),
        ("mixtrall", ""),
        ("bert-generation", ""),
        ("gpt-oss-20b", ""),
        ("xlnet", ""),
        ("zzz", ""),
        ("", ""),
    ],
)
def test_an_architecture_is_found_by_what_people_call_it(word: str, names: str):
    assert nearest(word, ARCHITECTURES) == tuple(names.split())


@pytest.mark.parametrize(
    ("word", "names"),
    [
        ("sequence_classification", "text-classification"),
        ("MaskedLM", "fill-mask"),
        ("mlm", "fill-mask"),
        ("QuestionAnswering", "question-answering"),
        ("chat", "text-generation"),
        ("vqa", "image-to-text"),
        ("embeddings", "feature-extraction sentence-similarity"),
        ("segmentation", "image-segmentation semantic-segmentation"),
        ("fil-mask", "fill-mask"),
        ("token-clasification", "token-classification"),
        # A task of another kind is no misspelling, though most of its letters are the same.
        ("depth-estimation", ""),
        ("video-classification", ""),
        ("text-to-speech", ""),
        ("keypoint-detection", ""),
    ],
)
def test_a_task_is_found_by_what_it_means(word: str, names: str):
    assert nearest(word, load_tasks(), task_synonyms()) == tuple(names.split())


@pytest.mark.parametrize("word", ["image-classification", "audio-classification", "video-classification"])
def test_letters_alone_make_no_task_of_another(word: str):
    assert nearest(word, ["text-classification", "token-classification", "fill-mask"], task_synonyms()) == ()


@pytest.mark.parametrize(
    ("word", "names", "near"),
    [
        ("seq_len", ["batch", "sequence"], "sequence"),
        ("batch_size", ["batch", "sequence"], "batch"),
        ("sequnce", ["batch", "sequence"], "sequence"),
        ("h", ["height", "width"], "height"),
        ("hiden", ["hidden", "vocab"], "hidden"),
        ("pooler", ["pooler_output", "last_hidden_state"], "pooler_output"),
        ("token_types", ["token_type_ids", "input_ids"], "token_type_ids"),
        ("encoder", ["decoder", "batch"], ""),
        ("float8", DTYPES, ""),
        ("int8", DTYPES, ""),
        ("x", [], ""),
        ("aoti", list(TARGETS), "torch-export"),
        ("coreml", list(TARGETS), ""),
    ],
)
def test_names_of_all_kinds_are_found(word: str, names: list[str], near: str):
    assert nearest(word, names) == tuple(near.split())


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (
            "dtypes",
            {"fp16": "float16", "half": "float16", "bf16": "bfloat16", "FP32": "float32", "torch.half": "float16"},
        ),
        ("targets", {"ov": "openvino", "torch_script": "torchscript", "pt2": "torch-export"}),
        ("layouts", {"transformers.js": "transformers-js", "sbert": "sentence-transformers"}),
        ("tracers", {"torch.export": "dynamo"}),
    ],
)
def test_a_word_with_an_exact_meaning_is_understood(kind: str, words: dict[str, str]):
    assert {word: meant(word, kind) for word in words} == words
    assert meant("quantized", kind) is None


def test_words_are_made_of_parts():
    assert parts("MaskedLM") == parts("masked-lm") == parts("masked_lm") == ("masked", "lm")
    assert parts("XLMRobertaModel") == ("xlm", "roberta", "model")
    assert letters("XLM-RoBERTa") == "xlmroberta"


def test_every_name_that_words_mean_exists():
    """A name that is gone would be suggested to nobody, and a rename has to take its words along."""
    data = tomllib.loads(Path(nearness.__file__).with_name("words.toml").read_text("utf-8"))
    dims = {dim for path in list_specs() for dim in load_spec(str(path)).dims}
    flags = {flag.name.replace("_", "-") for target in TARGETS.values() for flag in target.flags}
    of_commands = {"jobs", "json", "no-verify", "select", "ignore", "format", "fix", "task", "target", "dim"}
    names = {
        "tasks": set(load_tasks()),
        "architectures": set(ARCHITECTURES),
        "dtypes": set(DTYPES),
        "targets": set(TARGETS),
        "layouts": set(LAYOUTS),
        "tracers": set(TRACERS),
        "options": {name.replace("_", "-") for name in OPTIONS} | flags | of_commands,
        "dims": dims,
    }
    for kind, entries in data.items():
        for sort in ("same", "near"):
            if kind in names:
                assert set(entries.get(sort, ())) <= names[kind], (kind, sort)


def test_no_word_is_said_to_mean_two_things():
    data = tomllib.loads(Path(nearness.__file__).with_name("words.toml").read_text("utf-8"))
    for kind, entries in data.items():
        pairs = {(letters(word), name) for name, words in entries.get("same", {}).items() for word in words}
        same = [word for word, _ in pairs]
        assert len(same) == len(set(same)), kind
        near = [letters(word) for words in entries.get("near", {}).values() for word in words]
        assert not set(same) & set(near), kind
        assert not {letters(word) for word in entries.get("elsewhere", ())} & {*same, *near}, kind
    assert not [word for group in ("tasks",) for word in load_groups()[group].elsewhere.values() if task_of_word(word)]
    assert not [name for name in ARCHITECTURES if is_elsewhere(name, "architectures")]
