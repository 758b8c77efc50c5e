"""Targets: one module each turns a loaded model and a planned graph into files."""
