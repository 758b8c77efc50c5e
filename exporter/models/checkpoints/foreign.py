"""Weights as TensorFlow and Flax wrote them: their names and layouts turned into PyTorch's.

No table per architecture: the frameworks' own conventions decide. A TensorFlow variable is named by its scopes
(``tf_model_for_x/model/encoder/layer_._0/dense/kernel:0``), a Flax one by its path; both keep matrices the other way
round and call leaves by other words. The shape of the PyTorch parameter settles the axes of length one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch

# How the axes of a kernel, by their number, become those of a PyTorch weight: dense, 1-d and 2-d convolution.
_TRANSPOSED = {2: (1, 0), 3: (2, 1, 0), 4: (3, 2, 0, 1)}
_KERNELS = ("kernel", "pointwise_kernel", "depthwise_kernel")
_LEAVES = {
    "kernel": "weight",
    "pointwise_kernel": "pointwise.weight",
    "depthwise_kernel": "depthwise.weight",
    "embeddings": "weight",
    "embedding": "weight",
    "gamma": "weight",
    "scale": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
    "mean": "running_mean",
    "var": "running_var",
}
# Words that only Flax uses for leaves; in TensorFlow they may be names of the model's own.
_FLAX_ONLY = frozenset({"scale", "embedding", "mean", "var"})
_COLLECTIONS = ("params", "batch_stats")


@dataclass(frozen=True, slots=True)
class ForeignTensor:
    """One weight of a file. ``scoped`` says that a TensorFlow name still begins with the scope of the whole model."""

    framework: str
    name: str
    tensor: torch.Tensor
    scoped: bool = False


def translate_weights(
    weights: Iterable[ForeignTensor], shapes: Mapping[str, torch.Size]
) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield each weight under PyTorch's name and in PyTorch's layout.

    Args:
        weights: the weights of a file, in any order; a weight may come twice, as TensorFlow writes shared ones.
        shapes: the shape of each parameter and buffer of the PyTorch model. A weight of the file may lack the model's
            prefix (``layer.bias`` for ``model.layer.bias``) or have one too much.
    """
    shapes_by_ending = _by_ending(shapes)
    for weight in weights:
        steps = split_name(weight)
        leaf = steps[-1]
        known = leaf in _LEAVES and (weight.framework == "flax" or leaf not in _FLAX_ONLY)
        name = ".".join([*steps[:-1], _LEAVES[leaf] if known else leaf])
        tensor = weight.tensor
        if leaf in _KERNELS and tensor.ndim in _TRANSPOSED:
            tensor = tensor.permute(_TRANSPOSED[tensor.ndim])
        yield name, fit_shape(tensor, shapes_by_ending.get(name, shapes_by_ending.get(name.partition(".")[2])))


def split_name(weight: ForeignTensor) -> list[str]:
    """Return the steps of a weight's name as PyTorch has them, the leaf last and still in the framework's word."""
    if weight.framework == "flax":
        steps = re.split(r"[./]", weight.name)
        return steps[1:] if steps[0] in _COLLECTIONS and len(steps) > 1 else steps
    name = re.sub(r":\d+\Z", "", weight.name)
    # A layer shared under two names has the name of the one before `___`, which PyTorch does not have.
    name = re.sub(r"/[^/]*___([^/]*)/", r"/\1/", name)
    steps = [step for step in name.replace("_._", "/").split("/") if step]
    # A name with dots in its first scope keeps all of it in files that are otherwise without scopes.
    if len(steps) > 1 and (weight.scoped or "model." in weight.name):
        steps = steps[1:]
    return [part for step in steps for part in step.split(".")]


def fit_shape(tensor: torch.Tensor, shape: torch.Size | None) -> torch.Tensor:
    """Return a tensor in the shape of a parameter where the two differ by axes of length one only, else as it is.

    A bias of shape [3] becomes [3, 1] where the parameter is so. ``shape`` is None where the model has no such
    parameter.
    """
    if shape is None or tensor.shape == shape:
        return tensor
    if [size for size in tensor.shape if size != 1] == [size for size in shape if size != 1]:
        return tensor.reshape(shape)
    return tensor


def _by_ending(shapes: Mapping[str, torch.Size]) -> dict[str, torch.Size]:
    """Return shapes by full name and, where that is no other name, by the name without its first step."""
    by_ending = dict(shapes)
    for name, shape in shapes.items():
        by_ending.setdefault(name.partition(".")[2], shape)
    return by_ending
