"""``python -m exporter.cli`` is ``exporter``."""

from exporter.cli.main import main

main()
