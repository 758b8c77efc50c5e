"""What a machine has for builds and what it lacks: versions, extras, SDKs, room, memory and the hub.

Nothing is imported to find out: packages are asked for by their metadata, so that the answer comes at once, and also
where a library is broken.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from exporter.errors import describe_error, format_bytes
from exporter.planning.target import Target
from exporter.targets.registry import TARGETS
from exporter.versions import DISTRIBUTION, extras, install_command, installed_version, is_installed

# Less than this is told of, in bytes: a model of some hundred million parameters is loaded twice and written once.
LITTLE_ROOM, LITTLE_MEMORY = 5 << 30, 4 << 30
_HUB = "https://huggingface.co"
_HUB_SECONDS = 2.0
# What people ask for; the other extras are for work on exporter itself, or for packages of one vendor.
_EXTRAS = ("build", "verify", "publish", "tf", "flax", "peft", "openvino")
_COMPILERS = ("c++", "g++", "clang++")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing of a machine.

    Attributes:
        group: ``versions``, ``extras``, ``sdks``, ``machine`` or ``hub``.
        name: what it is, such as ``torch``.
        state: ``ok``; ``absent``, which only some builds need; ``warning``; ``missing``, without which nothing builds.
        found: what is there: a version, an amount, a path.
        help: what to do about it; None where nothing need be done.
    """

    group: str
    name: str
    state: str
    found: str
    help: str | None = None


def examine_machine(output: Path, *, hub: bool = True) -> list[Finding]:
    """Return what this machine has and lacks.

    Args:
        output: where artifacts would be written.
        hub: whether to ask the hub if it answers. Never asked where ``HF_HUB_OFFLINE`` is set.
    """
    return [*_find_versions(), *_find_extras(), *_find_sdks(), *_find_room(output), *_find_hub(hub=hub)]


def _find_versions() -> Iterator[Finding]:
    """Yield Python and each package of a build. One that is there in a version nobody tried is a warning."""
    yield Finding("versions", DISTRIBUTION, "ok", installed_version())
    ranges = _ranges()
    yield Finding("versions", "python", "ok", f"{platform.python_version()}, {sys.executable}")
    for package in sorted(extras().get("build", ())):
        version, wanted = installed_version(package), ranges.get(package, "")
        if version == "unknown":
            yield Finding("versions", package, "missing", "not installed", install_command("build"))
        elif _is_outside(version, wanted):
            yield Finding("versions", package, "warning", f"{version}, untried", f"pip install '{package}{wanted}'")
        else:
            yield Finding("versions", package, "ok", version)


def _ranges() -> dict[str, str]:
    """Return the versions that were tried, ``<3,>=2``, of each package that an extra asks for."""
    from importlib.metadata import PackageNotFoundError, requires

    try:
        requirements = requires(DISTRIBUTION) or []
    except PackageNotFoundError:
        return {}
    packages = {package for brought in extras().values() for package in brought}
    return {
        package: text.partition(";")[0].strip().removeprefix(package).strip()
        for text in requirements
        for package in packages
        if text.startswith((f"{package}<", f"{package}>", f"{package}=", f"{package}!", f"{package}~"))
    }


def _is_outside(version: str, wanted: str) -> bool:
    """Tell whether a version is outside a range. A package that every build has reads both; without it nothing is."""
    if not is_installed("packaging"):
        return False
    from packaging.specifiers import InvalidSpecifier, SpecifierSet
    from packaging.version import InvalidVersion

    try:
        return not SpecifierSet(wanted).contains(version, prereleases=True)
    except (InvalidSpecifier, InvalidVersion):  # built by somebody who counts in another way
        return False


def _find_extras() -> Iterator[Finding]:
    brought = extras()
    if not brought:
        yield Finding("extras", DISTRIBUTION, "warning", "not installed as a distribution", "pip install .")
    for extra in (extra for extra in _EXTRAS if extra in brought):
        lacking = [package for package in brought[extra] if installed_version(package) == "unknown"]
        if not lacking:
            yield Finding("extras", extra, "ok", "installed")
        else:
            state = "missing" if extra == "build" else "absent"
            yield Finding("extras", extra, state, f"without {', '.join(lacking)}", install_command(extra))


def _find_sdks() -> Iterator[Finding]:
    for target in TARGETS.values():
        chains = _toolchains(target)
        here = next((chain for chain in chains if all(map(is_installed, chain))), None)
        if here is not None:
            known = [version for name in here if (version := installed_version(name)) != "unknown"]
            yield Finding("sdks", target.name, "ok", " and ".join(known or here))
        elif chains:
            yield Finding("sdks", target.name, "absent", "not installed", target.help)
    asked = os.environ.get("CXX")
    compiler = next(filter(None, map(shutil.which, [asked] if asked else _COMPILERS)), None)
    if compiler is None:
        what = f"CXX={asked} is no program" if asked else "none"
        yield Finding("sdks", "C++ compiler", "absent", what, "--aoti needs one: install g++ or clang++, or set CXX")
    else:
        yield Finding("sdks", "C++ compiler", "ok", compiler)


def _toolchains(target: Target) -> list[tuple[str, ...]]:
    """Return the sets of modules that each build a target, by its settings, where it needs what others do not."""
    words = ({flag.name: word} for flag in target.flags if isinstance(flag.kind, tuple) for word in flag.kind)
    return [chain for chain in dict.fromkeys(map(target.build_modules, ({}, *words))) if chain]


def _find_room(output: Path) -> Iterator[Finding]:
    places = {"output": output, "cache": _cache_directory(), "temporary files": Path(tempfile.gettempdir())}
    helps = {
        "output": "write elsewhere with -o",
        "cache": "set HF_HUB_CACHE or HF_HOME",
        "temporary files": "set TMPDIR",
    }
    for name, place in places.items():
        try:
            standing = next(each for each in (place.absolute(), *place.absolute().parents) if each.is_dir())
            free = shutil.disk_usage(standing).free
            can_write = os.access(standing, os.W_OK)
        except OSError as error:
            yield Finding("machine", name, "warning", f"{place}: {describe_error(error)}", helps[name])
            continue
        found = f"{place}, {format_bytes(free)} free"
        if not can_write:
            yield Finding("machine", name, "warning", f"{found}, may not be written to", helps[name])
        elif free < LITTLE_ROOM:
            yield Finding("machine", name, "warning", found, f"make room, or {helps[name]}")
        else:
            yield Finding("machine", name, "ok", found)
    memory = _available_memory()
    if memory is not None:
        is_little = memory < LITTLE_MEMORY
        help_ = "large checkpoints may not fit: close other programs, and build with --jobs 1" if is_little else None
        state = "warning" if is_little else "ok"
        yield Finding("machine", "memory", state, f"{format_bytes(memory)} available", help_)


def _cache_directory() -> Path:
    """Return where downloads are kept: where Hugging Face's libraries keep them."""
    explicit = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    return Path(explicit).expanduser() if explicit else _hub_home() / "hub"


def _hub_home() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.environ.get("HF_HOME") or f"{cache}/huggingface").expanduser()


def _available_memory() -> int | None:
    """Return how many bytes programs may still take; None where the system does not say."""
    try:
        for line in Path("/proc/meminfo").read_text("utf-8").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None


def _find_hub(*, hub: bool) -> Iterator[Finding]:
    token = os.environ.get("HF_TOKEN") or os.environ.get("HUGGING_FACE_HUB_TOKEN")
    stored = Path(os.environ.get("HF_TOKEN_PATH") or _hub_home() / "token").expanduser()
    where = "set in the environment" if token else f"stored in {stored}" if stored.is_file() else None
    needs_one = "private and gated checkpoints, and push, need one: hf auth login, or set HF_TOKEN"
    yield Finding("hub", "token", "ok" if where else "absent", where or "none", None if where else needs_one)
    endpoint = os.environ.get("HF_ENDPOINT") or _HUB
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        yield Finding("hub", endpoint, "absent", "not asked: HF_HUB_OFFLINE is set", "unset it to download checkpoints")
    elif hub:
        reason = _ask(endpoint)
        if reason is None:
            yield Finding("hub", endpoint, "ok", "answers")
        else:
            help_ = "directories and downloaded checkpoints build; see to the network or proxy, or set HF_ENDPOINT"
            yield Finding("hub", endpoint, "absent", f"does not answer: {reason}", help_)


def _ask(endpoint: str) -> str | None:
    """Return why the hub does not answer; None where it does, in whatever way."""
    import threading
    import urllib.error
    import urllib.request

    answer: list[str | None] = []

    def ask() -> None:
        try:
            with urllib.request.urlopen(f"{endpoint}/api/models?limit=1", timeout=_HUB_SECONDS):
                answer.append(None)
        except urllib.error.HTTPError:
            answer.append(None)  # a refusal is an answer
        except Exception as error:  # whatever the network, a proxy or an endpoint that is no address raises
            answer.append(describe_error(error))

    # A name that nobody resolves takes longer than any timeout of a connection.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_HUB_SECONDS)
    return answer[0] if answer else f"nothing came in {_HUB_SECONDS:.0f} s"
