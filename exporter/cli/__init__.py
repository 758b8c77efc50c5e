"""The command line. click and rich live here only."""

from exporter.cli.main import cli, main

__all__ = ["cli", "main"]
