"""The checks of composed specs, one file per group of rules; importing the package registers them."""

from exporter.language.rules import composition, references, shapes, style, tolerances
from exporter.language.rules.registry import CHECKS, Subject, find

__all__ = ["CHECKS", "Subject", "composition", "find", "references", "shapes", "style", "tolerances"]
