"""The lint rules, one file per group, and their registry."""

from exporter.language.rules import (
    composition,
    models,
    references,
    shapes,
    structure,
    style,
    suppressions,
    syntax,
    tolerances,
)
from exporter.language.rules.registry import RULES, Rule, Subject

__all__ = [
    "RULES", "Rule", "Subject", "composition", "models", "references", "shapes", "structure", "style", "suppressions", "syntax", "tolerances",
]  # fmt: skip
