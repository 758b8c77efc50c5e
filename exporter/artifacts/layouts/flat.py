"""The flat layout: graphs beside the config, as ONNX Runtime and optimum load them."""

from __future__ import annotations

from exporter.artifacts.layouts.layout import Layout
from exporter.language.spec import WITH_PAST
from exporter.planning.arrangement import Arrangement
from exporter.planning.plan import Plan

# The classes of optimum that load one graph, and those that load a decoder with its cache, or more graphs than one.
_CLASSES = {
    "feature-extraction": "FeatureExtraction",
    "fill-mask": "MaskedLM",
    "text-classification": "SequenceClassification",
    "token-classification": "TokenClassification",
    "question-answering": "QuestionAnswering",
    "image-classification": "ImageClassification",
    "semantic-segmentation": "SemanticSegmentation",
    "audio-classification": "AudioClassification",
    "automatic-speech-recognition": "CTC",
    "zero-shot-image-classification": "ZeroShotImageClassification",
}
_CLASSES_WITH_PAST = {
    "text-generation-with-past": "CausalLM",
    "text2text-generation-with-past": "Seq2SeqLM",
    "automatic-speech-recognition-with-past": "SpeechSeq2Seq",
    "image-to-text-with-past": "Vision2Seq",
}


def _word(plan: Plan) -> str | None:
    """Return the class of optimum for a plan: it loads ONNX files of this end, and gives float32."""
    loads = all(graph.file.endswith(".onnx") for graph in plan.graphs)
    if not loads or plan.model.dtype != "float32" or plan.sizes.fixed:
        return None
    single = len(plan.graphs) == 1 and not plan.task.endswith(WITH_PAST)
    name = _CLASSES.get(plan.task) if single else _CLASSES_WITH_PAST.get(plan.task)
    return None if name is None else f"ORTModelFor{name}"


LAYOUT = Layout(Arrangement("flat"), "graphs beside the config, as ONNX Runtime and optimum load them", word=_word)
