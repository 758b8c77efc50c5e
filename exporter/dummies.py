"""Inputs for the graphs of a plan, for programs around the package that compare runtimes of their own."""

from exporter.planning.dummies import make_dummies

__all__ = ["make_dummies"]
