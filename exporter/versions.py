"""The versions of installed packages; that of this one stands in ``pyproject.toml`` and nowhere else."""

from __future__ import annotations

# The name on the package index, where `exporter` is another project's.
DISTRIBUTION = "checkpoint-exporter"


def installed_version(package: str = DISTRIBUTION) -> str:
    """Return the version of an installed package, or ``unknown`` where it is not installed."""
    # The metadata of packages takes as long to read as the rest of a light command's imports: it waits until asked for.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def is_installed(module: str) -> bool:
    """Tell whether a module of this name can be found; it is not imported."""
    # The machinery of imports is there anyway, but not under this name.
    from importlib.util import find_spec

    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # something is in its place that is no module of an installed package
        return False


def install_command(extra: str) -> str:
    """Return what installs the packages of an extra: ``pip install 'checkpoint-exporter[tf]'``."""
    return f"pip install '{DISTRIBUTION}[{extra}]'"
