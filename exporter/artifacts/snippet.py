"""The values for the program in a model card: the kind of its loop, where its inputs come from, and what it prints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from exporter.artifacts.facts import Facts
from exporter.language.spec import WITH_PAST
from exporter.planning.plan import GraphPlan, Plan, TensorPlan
from exporter.planning.words import split_layer

_PAST, _PRESENT = "past_key_values.", "present."
# The dim that counts the rows of a batch, under the name each layout has for it.
_BATCH_DIMS = ("batch", "batch_size")
# The inputs that a loop over tokens can give beside the cache: that of a decoder alone, and that behind an encoder.
_STEP = {"input_ids", "attention_mask"}
_CROSS = {"input_ids", "encoder_attention_mask", "encoder_hidden_states", "use_cache_branch"}
# numpy has no bfloat16: a program makes such an input in float32 and converts it.
_NUMPY = {"bool": "np.bool_", "bfloat16": "np.float32"}
# Inputs that a processor makes, by the names that models give them; `inputs` is whatever a model of any kind reads.
_SOUND, _PIXELS, _IDS, _ANY = ("input_values", "input_features"), "pixel_values", "input_ids", "inputs"
_OF_PICTURES, _OF_SOUND = ("pixel_values", "pixel_mask"), (*_SOUND, "attention_mask")
_EMBEDDINGS = ("sentence_embedding", "text_embeds")
# Texts are padded to their longest where no mask says what is padding; a limit above this is none in earnest.
_LONGEST_PADDING = 1024

_SENTENCES = (
    "A man is playing a guitar.",
    "Somebody plays an instrument.",
    "The bread needs half an hour in the oven.",
)
_SUBJECTS = ("a drawing of a ball", "a photo of a cat", "a photo of a city")
_TEXTS = {
    "fill-mask": ("She wrote a {tokenizer.mask_token} to her brother.",),
    "zero-shot-image-classification": _SUBJECTS,
    "zero-shot-object-detection": _SUBJECTS,
    "token-classification": ("Anna Schmidt moved from Berlin to Lisbon in the spring.",),
    "text-classification": ("What a wonderful day this is!", "The train was late again, and nobody told us why."),
}
_WRITING = ("text-generation", "text2text-generation", "image-to-text")
_START_OF_TEXT = "The old house by the river"
_QUESTION = "Where did she move?"
_CONTEXT = "Anna Schmidt lived in Berlin for ten years. She moved to Lisbon in the spring."
_BEGINNING, _CHOICES = "She opened the umbrella because", ("it was raining.", "the soup was cold.", "he sang.")


@dataclass(frozen=True, slots=True)
class Given:
    """One input in a program: its name, the expression it is made with, and the id it must end with, if any.

    ``is_real`` says that a tokenizer or a processor makes it.
    """

    name: str
    expression: str
    ending: int | None = None
    is_real: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    """How a program makes real inputs: expressions of Python, or None for what it does not need.

    Attributes:
        texts: the texts, as arguments of the tokenizer.
        padding: the other arguments of the tokenizer.
        several: whether there is more than one text.
        chat: whether the tokenizer is given a conversation.
        pictures: how many pictures there are, as an argument of the processor.
        sounds: the recordings, as an argument of the processor, whose ``rate`` is samples a second.
        rate: samples a second.
        decodes: whether the tokenizer turns tokens into a text again.
    """

    texts: tuple[str, ...] | None = None
    padding: str = ""
    several: bool = False
    chat: bool = False
    pictures: str | None = None
    sounds: str | None = None
    rate: int = 0
    decodes: bool = False


def describe_programs(plan: Plan, facts: Facts) -> dict[str, Any]:
    """Return what a template needs to write the program.

    ``kind`` is ``decoder`` for a loop over tokens with a cache, ``encoder-decoder`` for one behind an encoder, and
    ``plain`` for graphs that are run once each; ``runs`` are the graphs that the program makes inputs for. ``reads`` is
    None where random inputs stand for real ones, and ``prints`` is how the outputs are shown.

    Args:
        plan: the plan of the artifact.
        facts: what the files beside its graphs say.
    """
    kind = _kind(plan)
    traced = plan.sizes.trace.sizes
    batches = [dim for dim in traced if dim in _BATCH_DIMS]
    sizes = {**traced, **dict.fromkeys(batches, 1)} if kind != "plain" else traced
    runs = plan.graphs[:1] if kind == "encoder-decoder" else plan.graphs
    reads = find_reading(plan, facts, kind)
    vocabulary = _vocabulary(plan)
    outputs = {tensor.name for tensor in plan.graphs[-1].outputs}
    known = [token for token in facts.start if token < vocabulary]
    given = [_real_inputs(runs[0], reads, facts, sizes)] if reads else [_inputs(graph, sizes) for graph in runs]
    return {
        "kind": kind,
        "start": known if len(known) == len(facts.start) else known[:1] or [0],
        "stop": sorted(facts.stop) if reads is not None and reads.decodes else [],
        "dtype": f"np.{plan.model.dtype}",
        "graphs": {graph.component: graph.file for graph in plan.graphs},
        "runs": [{"file": graph.file, "inputs": inputs} for graph, inputs in zip(runs, given, strict=False)],
        "order": {
            graph.file: (_names(graph.inputs), _names(graph.outputs), any(map(_is_past, graph.inputs)))
            for graph in plan.graphs
        },
        "cache": _empty_cache(plan.graphs[-1], {**sizes, **dict.fromkeys(_past_dims(plan), 0)}),
        "has_past": any(_is_past(tensor) for graph in plan.graphs for tensor in graph.inputs),
        "batch": next(iter(batches), "batch"),
        "mask": any(tensor.name == "attention_mask" for tensor in plan.graphs[-1].inputs),
        "reads": reads,
        "prints": _prints(plan, facts, reads, kind),
        "scores": facts.kind,
        "labels": bool(facts.labels),
        "embedding": next((name for name in _EMBEDDINGS if name in outputs), None),
    }


def find_reading(plan: Plan, facts: Facts, kind: str) -> Reading | None:
    """Return how real inputs of an artifact are made, or None where nothing beside its graphs makes them.

    Args:
        plan: the plan of the artifact.
        facts: what the files beside its graphs say.
        kind: the kind of its program.
    """
    if kind == "plain" and (len(plan.graphs) > 1 or any(map(_is_past, plan.graphs[0].inputs))):
        return None
    tensors = {tensor.name: tensor for tensor in plan.graphs[0].inputs}
    sound = next((tensors[name] for name in _SOUND if name in tensors), None)
    picture = tensors.get(_PIXELS)
    ids = tensors.get(_IDS)
    some = tensors.get(_ANY)
    if some is not None:
        ids, picture = (some, picture) if some.dtype.startswith("int") else (ids, some)
    if ids is not None and not facts.has_tokenizer and facts.picture is not None:
        ids, picture = None, ids  # a model of images may read them as ids
    if sound is None and picture is None and ids is None:
        return None
    fits = (
        (sound is None or _sound_fits(sound, facts))
        and (picture is None or _picture_fits(picture, facts))
        and (ids is None or _text_fits(ids, facts))
    )
    if not fits:
        return None
    generates = kind != "plain" or plan.task.removesuffix(WITH_PAST) == "automatic-speech-recognition"
    batch = {
        name: tensor.shape[0] if isinstance(tensor.shape[0], int) else 1
        for name, tensor in (("sound", sound), ("picture", picture))
        if tensor is not None
    }
    many = {name: f"[{name}] * {count}" if count > 1 else name for name, count in batch.items()}
    texts, padding, several = _texts(plan, ids, facts, "attention_mask" in tensors) if ids else (None, "", False)
    return Reading(
        texts=texts,
        padding=padding,
        several=several,
        chat=kind == "decoder" and facts.tokenizer is not None and facts.tokenizer.has_chat,
        pictures=many.get("picture"),
        sounds=many.get("sound"),
        rate=facts.sound.rate if sound is not None and facts.sound is not None else 0,
        decodes=(generates or ids is not None) and facts.tokenizer is not None,
    )


def _sound_fits(tensor: TensorPlan, facts: Facts) -> bool:
    if facts.sound is None:
        return False
    made = (facts.sound.features, facts.sound.frames) if len(tensor.shape) == 3 else (None,)
    return all(not isinstance(axis, int) or axis == size for axis, size in zip(tensor.shape[1:], made, strict=False))


def _picture_fits(tensor: TensorPlan, facts: Facts) -> bool:
    if facts.picture is None:
        return False
    if len(tensor.shape) != 4:
        return True
    *_, channels, height, width = tensor.shape
    made = facts.picture.size or (height, width)
    sides = all(not isinstance(axis, int) or axis == size for axis, size in zip((height, width), made, strict=True))
    return sides and channels == 3


def _text_fits(tensor: TensorPlan, facts: Facts) -> bool:
    """Tell whether a program can tokenize for an input: its tokens are known to the model, and it can be filled up."""
    tokenizer = facts.tokenizer
    if tokenizer is None or (isinstance(tensor.shape[-1], int) and tokenizer.padding_side is None):
        return False
    known = tensor.fill.args[-1] if tensor.fill is not None and tensor.fill.name == "randint" else None
    return isinstance(known, int) and tokenizer.highest < known


def _texts(plan: Plan, ids: TensorPlan, facts: Facts, masked: bool) -> tuple[tuple[str, ...], str, bool]:
    """Return the texts of a program, the other arguments of its tokenizer, and whether there are several texts."""
    tokenizer = facts.tokenizer
    assert tokenizer is not None, "a text that fits has a tokenizer"
    task = plan.task.removesuffix(WITH_PAST)
    length = ids.shape[-1]
    # Where no mask says what is padding, a model was trained on texts that are all as long as they may be.
    full = not masked and (tokenizer.limit or _LONGEST_PADDING) < _LONGEST_PADDING
    pads = tokenizer.padding_side is not None and (masked or full or isinstance(length, int))
    groups = _choose_texts(task, ids, pads, generates=_generates(plan))
    several = len(groups[0]) > 1
    if isinstance(length, int):
        padding = f'padding="max_length", max_length={length}, truncation=True'
    elif full and pads:
        padding = 'padding="max_length", truncation=True'
    else:
        padding = ", ".join([*["padding=True"] * several, *["truncation=True"] * (tokenizer.limit is not None)])
    return tuple(map(_listed, groups)), padding, several


def _generates(plan: Plan) -> bool:
    """Tell whether a program writes on from one text."""
    return _kind(plan) != "plain" or plan.task.removesuffix(WITH_PAST) in _WRITING


def _choose_texts(task: str, ids: TensorPlan, pads: bool, *, generates: bool) -> list[list[str]]:
    """Return the texts for a task, a list for each argument of the tokenizer; ``pads`` says they may be unequal."""
    count = ids.shape[0] if isinstance(ids.shape[0], int) else None
    if task == "multiple-choice":
        choices = ids.shape[1] if isinstance(ids.shape[1], int) else 2
        number = choices if pads else 1
        return [[_BEGINNING] * number, _repeated(_CHOICES, number)]
    if task == "question-answering":
        return [[_QUESTION] * (count or 1), [_CONTEXT] * (count or 1)]
    if generates:
        return [[_START_OF_TEXT] * (count or 1)]
    texts = _TEXTS.get(task, _SENTENCES)
    return [_repeated(texts if pads else texts[:1], count or (len(texts) if pads else 1))]


def _repeated(texts: tuple[str, ...], count: int) -> list[str]:
    """Return as many texts as are asked for, from the beginning again where there are fewer."""
    return [texts[at % len(texts)] for at in range(count)]


def _listed(texts: Iterable[str]) -> str:
    """Return the expression of a list of texts; one with a mask in it is made when the program runs."""
    quoted = (('f"' if "{" in text else '"') + text + '"' for text in texts)
    return f"[{', '.join(quoted)}]"


def _prints(plan: Plan, facts: Facts, reads: Reading | None, kind: str) -> str:
    """Return how a program shows its outputs: by a word that the template knows."""
    if reads is None or kind != "plain":
        return "shapes"
    task = plan.task.removesuffix(WITH_PAST)
    outputs = {tensor.name: tensor for tensor in plan.graphs[-1].outputs}
    known = {
        "text-classification": "labels",
        "image-classification": "labels",
        "audio-classification": "labels",
        "token-classification": "token-labels",
        "question-answering": "answer",
        "multiple-choice": "choice",
        "object-detection": "boxes",
        "image-segmentation": "boxes",
        "zero-shot-object-detection": "named-boxes",
        "semantic-segmentation": "areas",
        "zero-shot-image-classification": "fits",
        "sentence-similarity": "similarity",
        "text-embedding": "similarity",
        "text-generation": "next-token",
    }
    if task == "fill-mask" and facts.tokenizer is not None and facts.tokenizer.has_mask:
        # A model that answers at places of its own gives no score for each token.
        ids = plan.graphs[0].inputs[0].shape
        return "masked" if outputs["logits"].shape[:2] == ids[:2] else "shapes"
    if task == "automatic-speech-recognition" and reads.decodes:
        return "transcript"
    if task == "question-answering" and outputs["start_logits"].shape != plan.graphs[0].inputs[0].shape:
        return "shapes"
    return known.get(task, "shapes")


def _vocabulary(plan: Plan) -> int:
    """Return how many tokens a decoder knows, or 0 where no graph says it.

    A reference knows fewer tokens than the special tokens among its config's defaults presume.
    """
    sizes = [tensor.shape[-1] for tensor in plan.graphs[-1].outputs if tensor.name == "logits"]
    return next((size for size in sizes if isinstance(size, int)), 0)


def _kind(plan: Plan) -> str:
    """Return which loop fits the graphs.

    Graphs for which our loops have no value for an input, or which give no scores, or whose cache has another shape,
    are run once each: how to generate with them is left to their user.
    """
    first, *others = plan.graphs
    if plan.sizes.fixed or any(
        output.name == "logits" and len(output.shape) != 3 for output in plan.graphs[-1].outputs
    ):
        return "plain"
    if not others and any(map(_is_past, first.inputs)):
        return "decoder" if _fits(first, _STEP) else "plain"
    names = [graph.component for graph in plan.graphs]
    known = (["encoder", "decoder"], ["encoder", "decoder", "decoder_with_past"], ["encoder", "decoder_model_merged"])
    if names in known and all(_fits(graph, _CROSS) for graph in others):
        return "encoder-decoder"
    return "plain"


def _fits(graph: GraphPlan, offered: set[str]) -> bool:
    """Tell whether a loop can give a graph all it takes: offered inputs, and a cache whose first axis is the batch."""
    past = [tensor for tensor in graph.inputs if _is_past(tensor)]
    plain = all(
        isinstance(axis, int) or (axis in _BATCH_DIMS) == (at == 0)
        for tensor in past
        for at, axis in enumerate(tensor.shape)
    )
    known = all(tensor.name in offered for tensor in graph.inputs if tensor not in past)
    return plain and known and graph.outputs[0].name == "logits"


def _is_past(tensor: TensorPlan) -> bool:
    return tensor.name.startswith(_PAST)


def _past_dims(plan: Plan) -> set[str]:
    """Return the dims of caches, without that of the batch."""
    dims = {dim for graph in plan.graphs for tensor in graph.inputs if _is_past(tensor) for dim in tensor.dims()}
    return dims.difference(_BATCH_DIMS)


def _names(tensors: Iterable[TensorPlan]) -> str:
    """Return the expression of a list of names, with those of layers spelled out by a loop."""
    parts: list[str] = []
    for layered, group in groupby(map(split_layer, (tensor.name for tensor in tensors)), lambda name: name[1] >= 0):
        names = list(group)
        patterns = list(dict.fromkeys(pattern for pattern, _ in names))
        layers = len(names) // len(patterns)
        if layered and layers > 1 and names == [(pattern, at) for at in range(layers) for pattern in patterns]:
            inner = ", ".join(f'f"{pattern}"' for pattern in patterns)
            parts.append(f"*(name for layer in range({layers}) for name in ({inner},))")
        else:
            parts.extend(f'"{pattern.format(layer=at)}"' for pattern, at in names)
    return f"[{', '.join(parts)}]"


def _empty_cache(graph: GraphPlan, sizes: Mapping[str, int]) -> str:
    """Return the expression of a cache without tokens, at sizes that are 0 for its dims; empty where there is none."""
    shapes: dict[tuple[int, ...], list[TensorPlan]] = {}
    for tensor in filter(_is_past, graph.inputs):
        shapes.setdefault(tensor.sizes_at(sizes), []).append(tensor)
    dtype = {tensor.dtype for group in shapes.values() for tensor in group}
    kind = _NUMPY.get(next(iter(dtype)), f"np.{next(iter(dtype))}") if dtype else ""
    return " | ".join(
        f"{{name: np.zeros({shape}, {kind}) for name in {_names(group)}}}" for shape, group in shapes.items()
    )


def _real_inputs(graph: GraphPlan, reads: Reading, facts: Facts, sizes: Mapping[str, int]) -> list[Given]:
    """Return the inputs of a graph that a tokenizer or a processor makes, and then those that follow from them."""
    sources: dict[str, str] = {}
    if reads.texts is not None and facts.tokenizer is not None:
        sources |= {name: f'encoded["{name}"]' for name in facts.tokenizer.names}
    if reads.pictures is not None:
        sources |= {name: f'seen["{name}"]' for name in _OF_PICTURES}
    if reads.sounds is not None:
        sources |= {name: f'heard["{name}"]' for name in _OF_SOUND}
    if reads.texts is None and reads.pictures is not None:
        sources[_IDS] = f'seen["{_IDS}"]'
    if _ANY not in sources:
        sources[_ANY] = sources[_IDS] if reads.texts is not None else sources.get(_PIXELS, "")
    nested = "[None]" if any(tensor.name == _IDS and len(tensor.shape) == 3 for tensor in graph.inputs) else ""
    real = [tensor for tensor in graph.inputs if tensor.name in sources and not _is_past(tensor)]
    optional = [tensor for tensor in real if tensor.name == "pixel_mask"]
    made = [
        Given(tensor.name, f"np.asarray({sources[tensor.name]}, {_dtype(tensor)}){nested}", is_real=True)
        for tensor in real
        if tensor not in optional
    ]
    bound: dict[str, str] = {}
    for tensor in (tensor for tensor in real if tensor not in optional):
        for at, axis in enumerate(tensor.shape):
            bound.setdefault(str(axis), f'inputs["{tensor.name}"].shape[{at}]')
    names = {given.name for given in made}
    others = [tensor for tensor in graph.inputs if tensor.name not in names and not _is_past(tensor)]
    return [*made, *(Given(other.name, _following(other, bound, sizes, facts.start[0])) for other in others)]


def _following(tensor: TensorPlan, bound: Mapping[str, str], sizes: Mapping[str, int], start: int) -> str:
    """Return the expression of an input that nothing makes, in the shape that the others give it."""
    axes = [axis if isinstance(axis, int) else bound.get(axis, axis.size_at(sizes)) for axis in tensor.shape]
    shape = f"({', '.join(map(str, axes))}{',' if len(axes) == 1 else ''})"
    if tensor.name == "decoder_input_ids":
        if 'inputs["input_ids"].shape[1]' in map(str, axes):
            # Such a model reads the text a second time, moved on by one token.
            return f'np.insert(inputs["input_ids"][:, :-1], 0, {start}, axis=1)'
        return f"np.full({shape}, {start})"
    name = tensor.fill.name if tensor.fill is not None else "zeros"
    if name in ("padding", "ones"):
        return f"np.ones({shape}, {_dtype(tensor)})"
    if name == "arange":
        return f"np.arange({axes[-1]}) + np.zeros({shape}, np.int64)"
    if name == "bernoulli" and tensor.dtype == "bool":
        return f"np.random.default_rng(0).random({shape}) < 0.4"
    if name == "bernoulli":
        # Where some places are chosen, the first is: there text models gather what they tell of a whole text.
        return f"(np.arange({axes[-1]}) == 0).astype({_dtype(tensor)}) + np.zeros({shape}, {_dtype(tensor)})"
    return f"np.zeros({shape}, {_dtype(tensor)})"


def _dtype(tensor: TensorPlan) -> str:
    return _NUMPY.get(tensor.dtype, f"np.{tensor.dtype}")


def _inputs(graph: GraphPlan, sizes: Mapping[str, int]) -> list[Given]:
    return [
        Given(tensor.name, _expression(tensor, tensor.sizes_at(sizes)), tensor.fill.ending if tensor.fill else None)
        for tensor in graph.inputs
    ]


def _expression(tensor: TensorPlan, shape: tuple[int, ...]) -> str:
    """Return the numpy expression for an input that is like those a client sends."""
    dtype = _dtype(tensor)
    name, args = (tensor.fill.name, tensor.fill.args) if tensor.fill is not None else ("zeros", ())
    if name == "randint":
        low, high = (0, args[0]) if len(args) == 1 else args
        return f"rng.integers({low}, {high}, {shape})"
    if name == "arange":
        start = args[0] if args else 0
        return f"np.arange({start}, {int(start) + shape[-1]}) + np.zeros({shape}, np.int64)"
    if name == "boxes":
        return f"np.sort(rng.integers(0, {args[0]}, {(*shape[:-1], 2, 2)}), axis=-2).reshape({shape})"
    if name == "bernoulli":
        chosen = f"rng.random({shape}) < {args[0]}"
        return chosen if tensor.dtype == "bool" else f"({chosen}).astype({dtype})"
    if name in ("randn", "rand"):
        return f"rng.{'standard_normal' if name == 'randn' else 'random'}({shape}).astype({dtype})"
    return f"np.{'zeros' if name == 'zeros' else 'ones'}({shape}, {dtype})"
