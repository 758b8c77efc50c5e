"""Attention as transformers computes it by default, in operators every opset has.

Most models call PyTorch's scaled dot-product attention, for which the TorchScript tracer has no operator below opset
14. A model's own eager attention is the same arithmetic in plain operators, but for one case: a query that may look at
no key at all, as in a row of nothing but padding. PyTorch gives zeros there, and eager attention the mean of all
values. Recorded is the eager attention, times zero in such rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn import functional


@contextmanager
def plain_attention() -> Iterator[None]:
    """Let models compute scaled dot-product attention in plain operators while the context lasts."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward
    from transformers.modeling_utils import AttentionInterface

    find, masks = AttentionInterface.get_interface, _Masks()
    fused = functional.scaled_dot_product_attention

    def find_plain(self: Any, attn_implementation: str, default: Callable[..., Any]) -> Callable[..., Any]:
        found: Callable[..., Any] = find(self, attn_implementation, default)
        return _as_fused(default, masks) if found is sdpa_attention_forward else found

    owners: tuple[Any, Any] = (AttentionInterface, functional)
    owners[0].get_interface = find_plain
    owners[1].scaled_dot_product_attention = _plain_function(masks)
    try:
        yield
    finally:
        owners[0].get_interface = find
        owners[1].scaled_dot_product_attention = fused


class _Masks:
    """The masks of one recording as eager attention takes them: each is computed once, for all layers."""

    def __init__(self) -> None:
        # The masks are kept, so that no other tensor gets the id of one.
        self._known: dict[tuple[int, torch.dtype], tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = {}

    def take_apart(self, mask: torch.Tensor, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what is added to scores, and a factor: 0 for a query without a key, 1 for others.

        Args:
            mask: bool[batch, 1 or heads, query, key], true where a query may look at a key.
            dtype: the dtype of the scores.

        Returns:
            float[batch, 1 or heads, query, key] and float[batch, query, 1 or heads, 1].
        """
        key = (id(mask), dtype)
        if key not in self._known:
            added = torch.where(mask, torch.zeros((), dtype=dtype), _lowest(dtype))
            factor = mask.to(dtype).sum(-1).clamp(max=1)
            # Of a mask for all heads the factor is float[batch, query, 1], for `padded_rows` to know and to move.
            per_head = factor[:, 0].unsqueeze(-1) if int(mask.shape[1]) == 1 else factor.transpose(1, 2)
            self._known[key] = (mask, added, per_head.unsqueeze(-1))
        return self._known[key][1:]


def _lowest(dtype: torch.dtype) -> float:
    """Return what hides a score. Half of float16's lowest: scores added to all of it would be infinite."""
    lowest = torch.finfo(dtype).min
    return lowest / 2 if dtype == torch.float16 else lowest


def _as_fused(eager: Callable[..., Any], masks: _Masks) -> Callable[..., Any]:
    """Return a model's eager attention with the arguments and the result of the fused one."""

    def attend(
        module: torch.nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: torch.Tensor | None,
        **options: Any,
    ) -> tuple[torch.Tensor, None]:
        is_causal = options.get("is_causal")
        is_causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
        if attention_mask is None and is_causal and query.shape[2] > 1:
            attention_mask = _causal_mask(query, key)
        if attention_mask is None or attention_mask.dtype != torch.bool:
            return eager(module, query, key, value, attention_mask, **options)[0], None
        added, factor = masks.take_apart(attention_mask, query.dtype)
        output = eager(module, query, key, value, added, **options)[0]
        # With a bias for each position the fused attention adds up a mask of numbers, which hides no query altogether.
        return (output if options.get("position_bias") is not None else output * factor), None

    return attend


def _causal_mask(query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    """Return bool[1, 1, query, key]: each query looks at the keys up to its own."""
    return (torch.arange(query.shape[2])[:, None] >= torch.arange(key.shape[2])[None, :])[None, None]


def _plain_function(masks: _Masks) -> Callable[..., torch.Tensor]:
    """Return ``scaled_dot_product_attention`` in plain operators, for models that call PyTorch's themselves."""

    def attend(
        query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attn_mask: torch.Tensor | None = None, **more: Any
    ) -> torch.Tensor:
        if more.get("enable_gqa"):
            repeats = query.shape[-3] // key.shape[-3]
            key, value = (tensor.repeat_interleave(repeats, -3) for tensor in (key, value))
        mask = _causal_mask(query, key) if more.get("is_causal") else attn_mask
        scale = more.get("scale")
        scores = query @ key.transpose(-1, -2) * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
        if mask is None or mask.dtype != torch.bool:
            return (scores if mask is None else scores + mask).softmax(-1) @ value
        added, factor = masks.take_apart(mask, query.dtype)
        return (scores + added).softmax(-1) @ value * factor.transpose(1, 2)

    return attend
