"""Inputs for a graph that no spec describes: made by their names, or taken after those that somebody made.

The earlier system let a tokenizer make the inputs of every model. Here ``input_ids`` are ids of the whole vocabulary
and masks are padded, whatever the tokenizer; a picture or a sound is as large as the preprocessor makes it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from exporter.errors import UsageError
from exporter.onnx.defaults import earlier
from exporter.planning.dtypes import NUMPY_DTYPES, Array
from exporter.planning.dummies import fill_array
from exporter.planning.plan import Axis, FillPlan, Point

Axes = Mapping[str, Mapping[int, str]]

CACHE = "past_key_values"
_DECODER = "decoder_"
_FILL = re.compile(r"(\w+)(?:\((\w+)\))?\Z")
# Lengths that differ from those of other texts, so that no two are taken for one.
_PAST, _NEW = 5, 6


def make_stand_ins(
    declared: Axes, config: Any, preprocessor: Any = None, sizes: Mapping[str, int] | None = None
) -> dict[str, Array]:
    """Return an array for each declared input that is no part of the cache.

    Args:
        declared: the inputs and the names of their open axes.
        config: the config of the model.
        preprocessor: the tokenizer or processor of the model; None to go by the config alone.
        sizes: lengths of axes by their names, which are otherwise chosen here.

    Raises:
        UsageError: nothing says what an input is like.
    """
    lengths: dict[str, int] = dict(sizes or {})
    samples = sample_preprocessor(preprocessor) if preprocessor is not None else {}
    names = [name for name in declared if not name.startswith(f"{CACHE}.")]
    arrays: dict[str, Array] = {}
    rng = np.random.default_rng(0)
    # Pictures and sounds first: a mask over a sound is as long as the sound.
    for name in sorted(names, key=lambda name: "sequence" in _known(name)[2]):
        known = _known(name)
        sample = samples.get(name)
        if known[0] == "" and sample is None:
            raise UsageError(
                f"nothing says what the input '{name}' is like",
                help="override generate_dummy_inputs() of the config class and return one, or give a preprocessor",
            )
        shape = tuple(_shape(name, declared[name], config, lengths, sample))
        fill = known_fill(name, config)
        dtype = known[0] or str(sample.dtype if sample is not None else "")
        if fill is None:
            fill = observed_fill(name, sample) if sample is not None else FillPlan("zeros", ())
        arrays[name] = fill_array(fill, shape, np.dtype("float32" if dtype == "float" else dtype), rng, Point("", {}))
    return {name: arrays[name] for name in names}


def cache_shape(name: str, axes: Mapping[int, str], heads: tuple[int, int], lengths: Mapping[str, int]) -> list[int]:
    """Return the shape of a tensor of the cache: ``[batch, heads, past, head_dim]``, with ``past`` on the open axis.

    Args:
        name: the tensor.
        axes: the names of its open axes.
        heads: how many heads there are, and how wide each is.
        lengths: the lengths of axes by their names.
    """
    open_axis = next((index for index in axes if index), 2)
    label = axes.get(open_axis, "past_sequence")
    shape = [lengths.get(axes.get(0, "batch"), default_length("batch")), *heads]
    counted = past_of(name, label)
    shape.insert(open_axis, lengths.get(counted, default_length(counted)))
    return shape


def past_of(name: str, label: str) -> str:
    """Return what the open axis of an input counts.

    The earlier system called that of a cache ``past_sequence + sequence``, before anything is added to it.
    """
    return Axis(label).terms[0] if name.startswith(f"{CACHE}.") and "past" in label else label


def known_fill(name: str, config: Any) -> FillPlan | None:
    """Return how an input is filled that is known by its name; None for others."""
    if name.startswith(f"{CACHE}."):
        return FillPlan("randn", ())
    match = _FILL.match(_known(name)[1])
    if match is None:
        return None
    argument = match[2]
    if argument is None:
        return FillPlan(match[1], ())
    value = int(argument) if argument.isdigit() else find_value(config, argument)
    return FillPlan(match[1], (value,)) if isinstance(value, int) else None


def observed_fill(name: str, array: Array) -> FillPlan:
    """Return a fill whose arrays are like one that somebody made: zeros, ones, positions, or a range of numbers."""
    low, high = (array.min().item(), array.max().item()) if array.size else (0, 0)
    if low == high == 1:
        return FillPlan("padding" if "mask" in name and array.ndim > 1 and array.dtype.kind == "i" else "ones", ())
    if array.dtype.kind == "f":
        return FillPlan("zeros" if low == high == 0 else "rand" if low >= 0 and high <= 1 else "randn", ())
    if low == high == 0:
        return FillPlan("zeros", ())
    if array.dtype.kind == "b":
        return FillPlan("bernoulli", (0.5,))
    if array.ndim and np.array_equal(array, np.broadcast_to(low + np.arange(array.shape[-1]), array.shape)):
        return FillPlan("arange", (low,))
    return FillPlan("randint", (low, high + 1))


def flatten_stand_ins(values: Mapping[str, Any]) -> dict[str, Array]:
    """Return the arrays among arguments of ``forward()`` by name, those of a cache as ``past_key_values.0.key``."""
    return {name: array for key, value in values.items() for name, array in _flatten(key, value)}


def _flatten(name: str, value: Any) -> Iterator[tuple[str, Array]]:
    if isinstance(value, tuple | list) and value and _holds_tensors(value[0]):
        parts = _parts(len(value)) if re.fullmatch(rf"{CACHE}\.\d+", name) else map(str, range(len(value)))
        for part, each in zip(parts, value, strict=False):
            yield from _flatten(f"{name}.{part}", each)
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from _flatten(f"{name}.{key}", each)
    elif value is not None:
        yield name, np.asarray(value.detach().cpu().numpy() if hasattr(value, "detach") else value)


def _holds_tensors(value: Any) -> bool:
    """Tell whether a value is a tensor or has some, and is no list of numbers."""
    nested = isinstance(value, tuple | list) and len(value) > 0
    return hasattr(value, "shape") or (nested and _holds_tensors(value[0]))


def flatten_cache(name: str, layers: Iterable[Any]) -> dict[str, Any]:
    """Return the tensors of the layers of a cache by their names, such as ``present.0.key``."""
    return {
        f"{name}.{index}.{part}": each
        for index, layer in enumerate(layers)
        for part, each in zip(_parts(len(layer)), layer, strict=False)
    }


def _parts(count: int) -> tuple[str, ...]:
    """Return what the tensors of a layer of a cache are called."""
    return ("key", "value") if count == 2 else ("decoder.key", "decoder.value", "encoder.key", "encoder.value")


def sample_preprocessor(preprocessor: Any) -> dict[str, Array]:
    """Return what a preprocessor makes of a picture, a sound and a text, of those that it takes."""
    samples: dict[str, Array] = {}
    noise = np.random.default_rng(0)
    rate = int(getattr(getattr(preprocessor, "feature_extractor", preprocessor), "sampling_rate", None) or 16_000)
    sound = noise.standard_normal(rate).astype("float32")
    picture = noise.integers(0, 256, (40, 40, 3), dtype=np.uint8)
    for given in ({"images": [picture] * 2}, {"raw_speech": [sound] * 2}, {"audio": [sound] * 2}, {"text": ["0"] * 2}):
        rated = {"sampling_rate": rate} if "images" not in given and "text" not in given else {}
        try:
            made = preprocessor(**given, **rated, return_tensors="np")
            samples = {**flatten_stand_ins(dict(made)), **samples}
        except Exception:  # what a preprocessor says of what it does not take is a matter of each
            continue
    return {name: array for name, array in samples.items() if array.dtype.name in NUMPY_DTYPES}


def find_value(config: Any, key: str) -> Any:
    """Return the value of a key of a config, or of the first config inside it that has the key; None if none has."""
    values = [getattr(config, key, None)]
    nested = [value for value in vars(config).values() if hasattr(value, "to_dict")]
    values += [getattr(part, key, None) for part in nested]
    default = earlier()["sizes"].get(key)
    return next((value for value in values if value is not None), default)


def _known(name: str) -> tuple[str, str, list[str]]:
    """Return the dtype, fill and axes of an input that is known by its name; empty ones for another."""
    dtype, fill, axes = earlier()["inputs"].get(name.removeprefix(_DECODER), ("", "", []))
    return dtype, fill, axes


def _shape(
    name: str, declared: Mapping[int, str], config: Any, lengths: dict[str, int], sample: Array | None
) -> Iterator[int]:
    counted = _known(name)[2]
    # What a tokenizer makes is as long as its text; a picture or a sound has the size the preprocessor gives it.
    sampled = sample.shape if sample is not None and "sequence" not in counted else ()
    for index in range(max(len(counted), len(sampled), max(declared, default=-1) + 1)):
        known = counted[index] if index < len(counted) else ""
        label = declared.get(index, "")
        if label and all(term in lengths or term.isdigit() for term in Axis(label).terms):
            length = Axis(label).size_at(lengths)
        elif index and index < len(sampled):
            length = sampled[index]
        elif known not in ("", "batch", "sequence"):
            length = int(known) if known.isdigit() else _of_config(config, known, index)
        elif label:
            length = sum(_term_length(term, lengths) for term in Axis(label).terms)
        else:
            length = default_length(_DECODER + known if name.startswith(_DECODER) and known == "sequence" else known)
        if label:
            lengths.setdefault(label, length)
        yield length


def _term_length(term: str, lengths: dict[str, int]) -> int:
    return int(term) if term.isdigit() else lengths.setdefault(term, default_length(term))


def _of_config(config: Any, key: str, index: int) -> int:
    value = find_value(config, key)
    return int(value[index % 2] if isinstance(value, tuple | list) else value)


def default_length(label: str) -> int:
    """Return the length of an axis by its name: 8 for ``encoder_sequence``, 5 for ``past_sequence``."""
    if label.startswith("past_") and "encoder" not in label.replace(_DECODER, ""):
        return _PAST
    if label.startswith(_DECODER):
        return _NEW
    word, sizes = label.rpartition("_")[2].rstrip("s"), earlier()["sizes"]
    return next((size for name, size in sizes.items() if name.rstrip("s") == word), int(sizes["sequence"]))
