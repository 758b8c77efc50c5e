"""What a checkpoint is built as when nobody says: the task behind the class it was saved from."""

from __future__ import annotations

import pytest

from exporter.building.requests import _task_of_class
from exporter.language.loading import load_spec


@pytest.mark.parametrize(
    ("name", "architecture", "task"),
    [
        ("BertModel", "bert", "feature-extraction"),
        ("BertLMHeadModel", "bert", "text-generation"),
        ("BertForQuestionAnswering", "bert", "question-answering"),
        ("XLMWithLMHeadModel", "xlm", "fill-mask"),
        ("FlaubertWithLMHeadModel", "flaubert", "fill-mask"),
        ("XLMForQuestionAnsweringSimple", "xlm", "question-answering"),
        ("GPT2LMHeadModel", "gpt2", "text-generation-with-past"),
        ("LlamaForCausalLM", "llama", "text-generation-with-past"),
        ("BartForConditionalGeneration", "bart", "text2text-generation-with-past"),
        ("MarianMTModel", "marian", "text2text-generation-with-past"),
        ("WhisperForConditionalGeneration", "whisper", "automatic-speech-recognition-with-past"),
        ("VisionEncoderDecoderModel", "vision-encoder-decoder", "image-to-text-with-past"),
        ("DeiTForImageClassificationWithTeacher", "deit", "image-classification"),
        ("PerceiverForImageClassificationFourier", "perceiver", "image-classification"),
        ("DetrForSegmentation", "detr", "image-segmentation"),
        ("OwlViTForObjectDetection", "owlvit", "zero-shot-object-detection"),
        ("HubertForSequenceClassification", "hubert", "audio-classification"),
        ("Wav2Vec2ForCTC", "wav2vec2", "automatic-speech-recognition"),
        ("BertForPreTraining", "bert", None),
    ],
)
def test_the_class_a_checkpoint_was_saved_from_tells_its_task(name: str, architecture: str, task: str | None):
    found = _task_of_class(name, load_spec(architecture))
    assert (found.name if found else None) == task
