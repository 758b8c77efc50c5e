"""A model whose hidden states become one embedding of each text, as the modules of sentence-transformers make it."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from exporter.errors import CheckpointError, first_line, some
from exporter.models.checkpoints.directory import Checkpoint
from exporter.models.checkpoints.embedding import weights_file
from exporter.models.checkpoints.safetensors_file import check_safetensors
from exporter.planning.heads import EMBEDDING, HIDDEN_STATES, MASK
from exporter.planning.plan import HeadStep

# What a length is at least, so that a text without a token divides by no zero.
_LEAST = 1e-9


class Pooling(nn.Module):
    """Pools the hidden states of a text's tokens; several modes give their results side by side."""

    def __init__(self, modes: Sequence[str]) -> None:
        super().__init__()
        self.modes = tuple(modes)

    def forward(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return ``[batch, modes * hidden]``.

        Args:
            states: float[batch, sequence, hidden].
            mask: int64[batch, sequence], 0 where there is padding, at the end or in front.
        """
        return torch.cat([_MODES[mode](states, mask) for mode in self.modes], dim=-1)


def _first_token(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return _token_at(states, _leading(mask))


def _last_token(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    positions = torch.arange(mask.shape[-1], device=mask.device)
    last = (mask * positions).amax(dim=-1)
    return _token_at(states * mask.unsqueeze(-1).to(states.dtype), last)


def _largest(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    largest = states.masked_fill(mask.unsqueeze(-1) == 0, float("-inf")).amax(dim=1)
    # A text without a token has no largest value; a later step would make NaN of an infinite one.
    return torch.where(mask.sum(dim=-1, keepdim=True) > 0, largest, torch.zeros_like(largest))


def _mean(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    total, count = _sums(states, mask)
    return (total / count).to(states.dtype)


def _mean_by_root(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    total, count = _sums(states, mask)
    return (total / count.sqrt()).to(states.dtype)


def _weighted_mean(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Weigh each token by its position, counted from 1 at the first token of the text."""
    positions = torch.arange(1, mask.shape[-1] + 1, device=mask.device) - _leading(mask).unsqueeze(-1)
    return _mean(states, mask * positions)


def _sums(states: torch.Tensor, weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the weighted sum of the states of each text and the sum of the weights, both at least in float32."""
    wide = torch.float32 if states.dtype in (torch.float16, torch.bfloat16) else states.dtype
    weights = weights.unsqueeze(-1).to(wide)
    return (states.to(wide) * weights).sum(dim=1), weights.sum(dim=1).clamp(min=_LEAST)


def _leading(mask: torch.Tensor) -> torch.Tensor:
    """Return the length of the padding in front of each text; 0 for a text without a token."""
    length = (mask.cumsum(-1) == 0).sum(-1)
    return torch.where(length < mask.shape[-1], length, torch.zeros_like(length))


def _token_at(states: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Return the state at one position of each text."""
    index = index.unsqueeze(-1).unsqueeze(-1).expand(-1, 1, states.shape[-1])
    return states.gather(1, index)[:, 0]


_MODES = {
    "cls": _first_token,
    "max": _largest,
    "mean": _mean,
    "mean_sqrt_len_tokens": _mean_by_root,
    "weightedmean": _weighted_mean,
    "lasttoken": _last_token,
}


class Dense(nn.Module):
    """A linear layer with an activation."""

    def __init__(self, step: HeadStep, size: int) -> None:
        """
        Args:
            step: what the layer is.
            size: the length of what it is given.
        """
        super().__init__()
        self.linear = nn.Linear(size, step.size, bias=step.bias)
        self.activation = getattr(nn, str(step.activation))()
        self.added = step.residual
        if step.residual and size != step.size:
            self.residual = nn.Linear(size, step.size, bias=False)

    def forward(self, embedding: torch.Tensor) -> torch.Tensor:
        """Return ``[batch, size]`` of the step for ``[batch, size]`` of the one before."""
        given = embedding
        embedding = self.activation(self.linear(given))
        if not self.added:
            return embedding
        return embedding + (self.residual(given) if hasattr(self, "residual") else given)


class LayerNorm(nn.Module):
    """Normalizes an embedding's values to their mean and variance."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(size)

    def forward(self, embedding: torch.Tensor) -> torch.Tensor:
        """Return an embedding of the same length."""
        normalized: torch.Tensor = self.norm(embedding)
        return normalized


class Normalize(nn.Module):
    """Scales an embedding to the length 1."""

    def forward(self, embedding: torch.Tensor) -> torch.Tensor:
        """Return an embedding of the same length."""
        return nn.functional.normalize(embedding, p=2.0, dim=-1)


class SentenceHead(nn.Module):
    """The steps from hidden states to an embedding."""

    def __init__(self, steps: Sequence[HeadStep]) -> None:
        super().__init__()
        pooling, *behind = steps
        self.pooling = Pooling(pooling.modes)
        sizes = [step.size for step in steps]
        self.steps = nn.ModuleList(_module(step, size) for step, size in zip(behind, sizes, strict=False))

    def forward(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return the embedding of each text, for its hidden states and the mask of its tokens."""
        embedding: torch.Tensor = self.pooling(states, mask)
        for step in self.steps:
            embedding = step(embedding)
        return embedding


def _module(step: HeadStep, size: int) -> nn.Module:
    match step.kind:
        case "dense":
            return Dense(step, size)
        case "layer-norm":
            return LayerNorm(size)
        case _:
            return Normalize()


def load_head(steps: Sequence[HeadStep], checkpoint: Checkpoint) -> SentenceHead:
    """Make a head with the weights that the modules of a checkpoint have.

    Raises:
        CheckpointError: a module has no weights, or others than its config says.
    """
    try:
        head = SentenceHead(steps)
    except (AttributeError, TypeError) as error:
        raise CheckpointError(
            f"an activation of the modules of '{checkpoint.name}' cannot be made: {first_line(error)}",
            help="build --task feature-extraction",
        ) from None
    for step, module in zip(steps[1:], head.steps, strict=True):
        if step.folder is None:
            continue
        weights = _read_weights(checkpoint, step.folder)
        expected = {name: list(tensor.shape) for name, tensor in module.state_dict().items()}
        given = {name: list(tensor.shape) for name, tensor in weights.items()}
        if given != expected:
            raise CheckpointError(
                f"the weights of the module '{step.folder}' of '{checkpoint.name}' are not those its config says: "
                f"{_shapes_text(given)} and not {_shapes_text(expected)}",
                help="copy the whole checkpoint",
            )
        module.load_state_dict(weights)
    return head.eval()


def _shapes_text(shapes: Mapping[str, list[int]]) -> str:
    return some(f"{name} {shape}" for name, shape in sorted(shapes.items())) or "none"


def _read_weights(checkpoint: Checkpoint, folder: str) -> Mapping[str, torch.Tensor]:
    path = weights_file(checkpoint, folder)
    try:
        if path.suffix == ".safetensors":
            check_safetensors(path)
            weights: Any = load_file(path)
        else:
            weights = torch.load(path, map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except Exception as error:
        raise CheckpointError(
            f"{folder}/{path.name} of '{checkpoint.name}' cannot be read as weights: {first_line(error)}",
            help="save the module as safetensors",
        ) from None
    if not isinstance(weights, Mapping) or not all(isinstance(tensor, torch.Tensor) for tensor in weights.values()):
        raise CheckpointError(f"{folder}/{path.name} of '{checkpoint.name}' holds no weights by name")
    return weights


def attach_head(model: nn.Module, head: SentenceHead) -> None:
    """Let a model give the embedding of each text beside its own outputs, in place.

    The names of its weights and submodules stay, since the head is one more of them.

    Args:
        model: a text encoder or decoder.
        head: what its hidden states go through.
    """
    kind = type(model)

    @functools.wraps(kind.forward)
    def forward(self: Any, *arguments: Any, **named: Any) -> dict[str, Any]:
        outputs = kind.forward(self, *arguments, **named)
        return {**outputs, EMBEDDING: self.sentence_head(outputs[HIDDEN_STATES], named[MASK])}

    model.__class__ = type(kind.__name__, (kind,), {"forward": forward, "__module__": kind.__module__})
    model.sentence_head = head
