"""A small config, for a reference that is built in a second and whose sizes cannot be mistaken for one another.

Which keys mean what is data, in ``sizes.json``. What is made small keeps its shape: every distinct kind of layer occurs
once and then the first again, lists of sizes keep their length, and special tokens stay inside the vocabulary.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

Values = dict[str, Any]

# The width of the first stage of a pyramid, and how many sides an image has.
_NARROWEST, _SIDES = 8, 2


@dataclass(frozen=True, slots=True)
class Scheme:
    """Sizes that go together: the width of the model and of its heads.

    Attributes:
        hidden: the width where a head has an equal share of it.
        apart: the width where heads have a width of their own.
        head: that of a head.
        keys: values for single keys, which come before all patterns.
        sides: the height and width of images, for configs that say both; empty where images are square.
    """

    hidden: int
    apart: int
    head: int
    keys: Mapping[str, int]
    sides: tuple[int, ...] = ()


@lru_cache(maxsize=1)
def _data() -> Mapping[str, Any]:
    data: Mapping[str, Any] = json.loads((Path(__file__).parent / "sizes.json").read_text("utf-8"))
    return data


def schemes() -> list[Scheme]:
    """Return the schemes, in the order they are tried."""
    return [
        Scheme(each["hidden"], each["apart"], each["head"], each.get("keys", {}), tuple(each.get("sides", ())))
        for each in _data()["schemes"]
    ]


def small_values(config: Any, scheme: Scheme) -> Values:
    """Return values that make a config small, without those that it has anyway.

    Args:
        config: a config as its class makes it.
        scheme: the widths.
    """
    return _Small(config, scheme, 0).values()


class _Small:
    """One config, or a part of one: ``place`` counts the parts, whose widths differ."""

    def __init__(self, config: Any, scheme: Scheme, place: int) -> None:
        self.config, self.scheme, self.place = config, scheme, place
        own = getattr(type(config), "attribute_map", {})
        self.common = {theirs: name for name, theirs in own.items()}
        parts = getattr(type(config), "sub_configs", {})
        self.parts = [name for name in parts if hasattr(getattr(config, name, None), "to_dict")]
        self.stages = {len(value) for value in vars(config).values() if _is_numbers(value) and len(value) > 1}
        self.keys = {
            key: value for key, value in vars(config).items() if not key.startswith("_") and key not in self.parts
        }

    def values(self) -> Values:
        """Return the values that differ from those of the config."""
        values: Values = {}
        for key, value in self.keys.items():
            small = self._small(key, value)
            if small is not None and small != value:
                values[key] = small
        values |= self._layers()
        values |= self._tokens(values)
        for number, name in enumerate(self.parts, 1):
            part = _Small(getattr(self.config, name), self.scheme, self.place + number).values()
            if part:
                values[name] = part
        return values

    def _small(self, key: str, value: Any) -> Any:
        if isinstance(value, bool) or key.startswith("num_labels"):
            return None
        if isinstance(value, int):
            if key == "image_size" and self.scheme.sides and max(self.scheme.sides) < value:
                return list(self.scheme.sides)
            size = self._size(key, value)
            return size if size is not None and size < value else None
        if _is_numbers(value):
            return self._list(key, list(value))
        return None

    def _size(self, key: str, value: int) -> int | None:
        names = (key, self.common.get(key, key))
        for name in names:
            if name in self.scheme.keys:
                return self.scheme.keys[name]
        if _matches(_data()["hidden"], names):
            width = self._pyramid() or (self.scheme.apart if self._has_head() else self.scheme.hidden)
            return width + 16 * self.place if self.place else width
        if _matches(_data()["head"], names):
            return self.scheme.head
        size = next((size for pattern, size in _data()["sizes"] if _matches(pattern, names)), None)
        if size is None or _counts_stages(key, value, self):
            return None
        return self._divisible(size)

    def _has_head(self) -> bool:
        heads = [key for key in self.keys if _matches(_data()["head"], (key, self.common.get(key, key)))]
        return any(type(self.keys[key]) is int for key in heads)

    def _pyramid(self) -> int | None:
        """Return the width of the first stage, of a config whose stages have more and more heads."""
        heads = [value for key, value in self.keys.items() if "head" in key and _is_numbers(value) and len(value) > 1]
        return _NARROWEST * heads[0][0] if heads else None

    def _divisible(self, size: int) -> int:
        """Return a size that experts take: their products want rows of whole sixteen bytes."""
        return size // 4 * 4 if size == 37 and any("expert" in key for key in self.keys) else size

    def _list(self, key: str, items: list[int]) -> list[int] | None:
        size = self._size(key, max(items))
        if size is not None and "size" in key and len(set(items)) > 1 and len(items) == _SIDES:
            return [size, size + size // 5]
        if "depth" in key:
            return [min(item, 1 + index % 2) for index, item in enumerate(items)]
        rising = items == sorted(items) and len(set(items)) > 1 and items[0] >= _NARROWEST
        if rising and "token" not in key:
            # In proportion, so that what divides a stage, such as its heads, still does.
            return [item * _NARROWEST // items[0] for item in items]
        return None

    def _layers(self) -> Values:
        """Return what is said of each layer, for one layer of each kind and the first again."""
        count = next((self.keys[key] for key in _layer_keys(self.keys, self.common)), None)
        lists = {
            key: list(value)
            for key, value in self.keys.items()
            if isinstance(value, list | tuple) and count is not None and len(value) == count and count > 1
        }
        lists = {key: value for key, value in lists.items() if not all(type(item) is int for item in value)}
        if not lists or count is None:
            return {}
        kinds = list(map(str, zip(*lists.values(), strict=True)))
        chosen = [kinds.index(kind) for kind in dict.fromkeys(kinds)]
        order = [*chosen, chosen[0]] if len(chosen) > 1 else chosen * 3
        picked = {key: [value[index] for index in order] for key, value in lists.items()}
        distinct = {key: value for key, value in picked.items() if len(set(map(str, value))) > 1}
        return {**dict.fromkeys(_layer_keys(self.keys, self.common), len(order)), **distinct}

    def _tokens(self, small: Values) -> Values:
        """Return special tokens inside the vocabulary, of those that are outside."""
        vocab = next((small[key] for key in small if re.fullmatch(r"vocab_size|n_words|vocabulary_size", key)), None)
        if vocab is None:
            return {}
        tokens = [key for key in self.keys if re.search(r"_token_(id|index)$|_idx$", key)]
        outside = [key for key in tokens if type(self.keys[key]) is int and self.keys[key] >= vocab]
        named = [key for key in _data()["tokens"] if key in self.keys and (key in outside or self.keys[key] is None)]
        values: Values = {}
        if self.keys.get("pad_token_id", 0) is None or outside:
            rest = [key for key in outside if key not in named]
            values = {key: vocab - 1 - number for number, key in enumerate((*named, *rest))}
            if "bos_token_id" in values and "eos_token_id" in values:
                values["eos_token_id"] = values["bos_token_id"]
        return values


def _is_numbers(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(type(item) is int for item in value)


def _counts_stages(key: str, value: int, small: _Small) -> bool:
    """Tell whether a key says how long the lists are that have an entry for each stage."""
    return value in small.stages and re.fullmatch(r"num_(stages|encoder_blocks|blocks|layers)", key) is not None


def _layer_keys(keys: Mapping[str, Any], common: Mapping[str, str]) -> list[str]:
    return [key for key in keys if "num_hidden_layers" in (key, common.get(key)) and type(keys[key]) is int]


def _matches(pattern: str, names: tuple[str, ...]) -> bool:
    return any(re.fullmatch(pattern, name) for name in names)
