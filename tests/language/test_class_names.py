"""The task that a class of transformers says."""

from __future__ import annotations

import pytest

from exporter.language.class_names import task_of_class
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
        ("RoFormerModel", "roformer", "feature-extraction"),
        ("RoFormerForMaskedLM", "roformer", "fill-mask"),
        ("T5EncoderModel", "t5", "text-encoding"),
        ("LongT5EncoderModel", "longt5", "text-encoding"),
        ("CLIPTextModel", "clip_text_model", "feature-extraction"),
        ("CLIPTextModelWithProjection", "clip_text_model", "text-embedding"),
        ("CLIPVisionModelWithProjection", "clip_vision_model", "image-embedding"),
        ("CLIPForImageClassification", "clip", "image-classification"),
        ("SiglipTextModel", "siglip_text_model", "feature-extraction"),
        ("SiglipVisionModel", "siglip_vision_model", "feature-extraction"),
        ("OwlViTVisionModel", "owlvit_vision_model", "feature-extraction"),
        ("BertForPreTraining", "bert", None),
    ],
)
def test_the_class_a_checkpoint_was_saved_from_tells_its_task(name: str, architecture: str, task: str | None):
    of_class = task_of_class(name, load_spec(architecture))
    assert (of_class.name if of_class else None) == task
