"""The versions of installed packages; that of this one stands in ``pyproject.toml`` and nowhere else."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping

# The name on the package index, where `exporter` is another project's.
DISTRIBUTION = "checkpoint-exporter"
_PYTHON = "Programming Language :: Python :: "
# The parts of a requirement in a package's metadata: ``onnx-ir<2,>=1.0; extra == 'build'``.
_NAME = re.compile(r"[\w.-]+")
_EXTRA = re.compile(r"extra\s*==\s*['\"]([\w-]+)['\"]")


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


def extras() -> dict[str, tuple[str, ...]]:
    """Return the packages that each extra brings, by their names on the index; none where we are not installed."""
    from importlib.metadata import PackageNotFoundError, requires

    try:
        requirements = requires(DISTRIBUTION) or []
    except PackageNotFoundError:
        return {}
    packages: dict[str, tuple[str, ...]] = {}
    for text in requirements:
        name, extra = _NAME.match(text), _EXTRA.search(text)
        if name is not None and extra is not None:
            packages[extra[1]] = (*packages.get(extra[1], ()), name[0])
    return packages


def install_command_of(module: str) -> str | None:
    """Return what installs a module that an extra brings, in one line; None where none does."""
    bringing = {
        extra: packages
        for extra, packages in extras().items()
        if module in (package.replace("-", "_") for package in packages)
    }
    if "build" in bringing:
        alone = f"; for 'exporter verify' alone: {install_command('verify')}" if "verify" in bringing else ""
        return install_command("build") + alone
    least = min(bringing, key=lambda extra: len(bringing[extra]), default=None)
    return None if least is None else install_command(least)


def untried_versions() -> list[str]:
    """Return a line for each library, and for Python, that is installed in a version the tests have not run with.

    What was tried is in this package's own metadata: the ranges it asks for, and the Pythons it names.
    """
    from importlib.metadata import PackageNotFoundError, metadata

    try:
        ours = metadata(DISTRIBUTION)
    except PackageNotFoundError:
        return []
    tried = [
        str(line).removeprefix(_PYTHON) for line in ours.get_all("Classifier", []) if str(line).startswith(_PYTHON)
    ]
    requirements = ours.get_all("Requires-Dist", [])
    installed = {name: installed_version(name) for name in _names(requirements)}
    lines = list(dict.fromkeys(find_untried(requirements, installed)))
    python = ".".join(map(str, sys.version_info[:2]))
    if tried and python not in tried:
        lines.insert(0, f"Python {python} is not among the versions that exporter was tried with: {', '.join(tried)}")
    return lines


def find_untried(requirements: Iterable[str], installed: Mapping[str, str]) -> Iterable[str]:
    """Yield a line for each library that is installed in a version outside the range a requirement gives.

    Args:
        requirements: as in a package's metadata, such as ``torch>=2.11,<2.16; extra == "build"``.
        installed: the version of each library, or ``unknown``.
    """
    from packaging.requirements import Requirement
    from packaging.version import InvalidVersion, Version

    for text in requirements:
        requirement = Requirement(text)
        try:
            version = Version(installed.get(requirement.name, "unknown"))
        except InvalidVersion:  # not installed, or built by somebody who counts in another way
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            tried = ",".join(sorted(map(str, requirement.specifier), reverse=True))
            yield (
                f"{requirement.name} {version} is not among the versions that exporter was tried with ({tried}); "
                f"if a build fails, try: pip install '{requirement.name}{tried}'"
            )


def _names(requirements: Iterable[str]) -> set[str]:
    from packaging.requirements import Requirement

    return {Requirement(text).name for text in requirements}
