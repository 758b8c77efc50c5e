"""Tests are where a newcomer looks: ``exporter/planning/sizes.py`` is tested by ``tests/planning/test_sizes.py``."""

from __future__ import annotations

from commands import REPOSITORY


def test_every_module_has_its_test_file():
    package, tests = REPOSITORY / "exporter", REPOSITORY / "tests"
    modules = [path.relative_to(package) for path in sorted(package.rglob("*.py")) if not path.stem.startswith("__")]
    lacking = [
        f"exporter/{module.as_posix()}: no {expected.relative_to(REPOSITORY).as_posix()}"
        for module in modules
        if not (expected := tests / module.parent / f"test_{module.stem.lstrip('_')}.py").is_file()
    ]
    assert modules
    assert not lacking, "\n".join(["", *lacking])
