"""The layer order: a package imports only those before it, and no module leads back to itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import REPOSITORY
from stories.rooms import RANKS, Arrow, against_layers, find_arrows, in_circles, into_root

PACKAGE = REPOSITORY / "exporter"


@pytest.fixture(scope="module")
def arrows() -> list[Arrow]:
    return find_arrows(PACKAGE)


def report(arrows: list[Arrow]) -> str:
    return "\n".join(["", *map(str, arrows)])


def test_every_package_has_a_layer():
    names = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert names - {"__init__"} <= set(RANKS)


def test_a_package_imports_only_those_before_it(arrows: list[Arrow]):
    backward = against_layers(arrows)
    assert not backward, report(backward)


def test_no_modules_import_one_another_in_a_circle(arrows: list[Arrow]):
    circular = in_circles(arrows)
    assert not circular, report(circular)


def test_nobody_inside_takes_names_from_the_public_face(arrows: list[Arrow]):
    """``exporter/__init__.py`` imports a name when it is first used: through it every layer could reach every other."""
    taken = into_root(arrows)
    assert not taken, report(taken)


@pytest.mark.parametrize(
    "code",
    [
        "from exporter.cli.main import cli",
        "from exporter.cli import main",
        "import exporter.cli.main as command_line",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from exporter.cli.main import cli",
        "def build():\n    import exporter.cli.main",
        "import importlib\nimportlib.import_module('exporter.cli.main')",
    ],
)
def test_an_import_is_seen_wherever_it_stands(code: str, tmp_path: Path):
    package = tmp_path / "exporter"
    for name, text in {"cli/main.py": "from exporter import models", "models/__init__.py": code}.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text, "utf-8")
    backward = against_layers(find_arrows(package))
    line = len(code.splitlines())
    assert list(map(str, backward)) == [
        f"exporter/models/__init__.py:{line}: exporter.models imports exporter.cli.main"
    ]
    assert {arrow.importer for arrow in in_circles(find_arrows(package))} == {"exporter.models", "exporter.cli.main"}


def test_a_name_taken_from_the_public_face_is_seen(tmp_path: Path):
    package = tmp_path / "exporter"
    package.mkdir()
    (package / "__init__.py").write_text("__version__ = '1'", "utf-8")
    (package / "errors.py").write_text("from exporter import __version__", "utf-8")
    assert list(map(str, into_root(find_arrows(package)))) == ["exporter/errors.py:1: exporter.errors imports exporter"]
