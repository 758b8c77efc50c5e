"""Layouts: where an artifact's graphs are, what they are called, and the files their consumers look for beside them.

Every layout is made of the same graphs; one module each. None imports torch, so that what a layout cannot hold is
refused before torch is there.
"""

from __future__ import annotations

from collections.abc import Mapping

from exporter.artifacts.layouts import flat, genai, sentence_transformers, transformers_js
from exporter.artifacts.layouts.layout import Layout
from exporter.errors import UsageError, did_you_mean

DEFAULT_LAYOUT = flat.LAYOUT.name
LAYOUTS: Mapping[str, Layout] = {
    layout.name: layout for layout in (flat.LAYOUT, transformers_js.LAYOUT, genai.LAYOUT, sentence_transformers.LAYOUT)
}


def find_layout(name: str) -> Layout:
    """Return a layout by name.

    Raises:
        UsageError: there is none of that name.
    """
    layout = LAYOUTS.get(name)
    if layout is None:
        raise UsageError(f"unknown layout '{name}'", help=did_you_mean(name, LAYOUTS, otherwise="the layouts are"))
    return layout
