"""The versions of installed packages; that of this one stands in ``pyproject.toml`` and nowhere else."""

from __future__ import annotations


def installed_version(package: str = "exporter") -> str:
    """Return the version of an installed package, or ``unknown`` where it is not installed."""
    # Reading the metadata of packages takes as long as the rest of a light command's imports: it is left until somebody asks.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
