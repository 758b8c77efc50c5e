"""Builds with the oldest and newest torch and transformers, on every Python that is there; and the matrix itself."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import REPOSITORY

from exporter.api import load_specs
from exporter.language.spec import WITH_PAST
from matrix.cells import (
    CROSSED,
    WAYS,
    Cell,
    Pair,
    Result,
    cells,
    choose_pairs,
    ends_of_range,
    find_python,
    pythons,
    render_table,
    requirement,
    run_cell,
)

PAGE = (REPOSITORY / "docs" / "versions.md").read_text("utf-8")


@pytest.mark.versions
@pytest.mark.timeout(24 * 3600)
@pytest.mark.parametrize("python", pythons())
def test_every_pair_builds_at_the_ends_of_the_ranges(
    python: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    interpreter = find_python(python)
    if interpreter is None:
        pytest.skip(f"no Python {python} is here: put it on the path, or name it in VERSIONS_PYTHONS")
    pairs = choose_pairs(load_specs(), each_form=os.environ.get("VERSIONS_PAIRS") == "forms")
    results = []
    for number, cell in enumerate(cells(python)):
        folder = tmp_path / str(number)
        folder.mkdir()
        results.append(run_cell(cell, interpreter, pairs, folder))
    record_property("versions", render_table(results))
    assert not [result.cell.name for result in results if result.count("failed")], render_table(results)


def plain(pairs: list[Pair]) -> set[tuple[str, str]]:
    return {(architecture, task) for architecture, task, way in pairs if not way}


def test_one_pair_of_each_family_and_every_pair_with_a_cache_is_built() -> None:
    specs = load_specs()
    pairs = plain(choose_pairs(specs, each_form=False))
    with_cache = {(spec.architecture, task) for spec in specs for task in spec.tasks if task.endswith(WITH_PAST)}
    assert with_cache < pairs
    families = {spec.architecture: spec.family for spec in specs}
    without = [families[architecture] for architecture, task in pairs if not task.endswith(WITH_PAST)]
    assert sorted(without) == sorted(set(families.values()))


def test_one_pair_of_each_form_is_a_part_of_that() -> None:
    specs = load_specs()
    forms = plain(choose_pairs(specs, each_form=True))
    assert forms < plain(choose_pairs(specs, each_form=False))
    assert {task for _, task in forms if task.endswith(WITH_PAST)} == {
        task for spec in specs for task in spec.tasks if task.endswith(WITH_PAST)
    }


@pytest.mark.parametrize("each_form", [False, True])
def test_a_pair_with_a_cache_and_one_without_are_built_in_every_way(each_form: bool) -> None:
    """A library may rename what only another tracer or target asks of it."""
    pairs = choose_pairs(load_specs(), each_form=each_form)
    for way in WAYS:
        tasks = [task for _, task, asked in pairs if asked == way]
        assert [task.endswith(WITH_PAST) for task in tasks] == [False, True]


@pytest.mark.parametrize("library", CROSSED)
def test_the_ends_of_a_range_are_in_it(library: str) -> None:
    oldest, newest = ends_of_range(library)
    version = oldest.partition("==")[2]
    assert re.fullmatch(r"\d+\.\d+\.0", version)
    assert requirement(library).specifier.contains(version)
    assert newest.startswith(library)
    assert "<" in newest


def test_each_python_has_the_ends_crossed() -> None:
    crossed = cells("3.11")
    assert len(crossed) == len(set(crossed)) == 4
    assert {cell.torch for cell in crossed} == set(ends_of_range("torch"))


def test_a_python_is_found_by_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "mine"
    program.write_text("#!/bin/sh\necho 3.77\n", "utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("VERSIONS_PYTHONS", os.pathsep.join([str(tmp_path / "none"), str(program)]))
    assert find_python("3.77") == program
    assert find_python("3.78") is None


def test_a_table_counts_and_names_what_is_not_built() -> None:
    cell = Cell("3.11", "torch==2.11.0", "transformers==5.20.0")
    ends = {"bert fill-mask": "built", "t5 fill-mask": "refused: it has none", "gpt2 fill-mask": "failed: it fell"}
    text = render_table([Result(cell, {"python": "3.11.7", "torch": "2.11.0", "transformers": "5.20.0"}, ends)])
    assert "| 5.20.0 | 2.11.0 | 3.11.7 | 1 | 1 | 1 |" in text
    assert text.endswith(
        "Python 3.11, torch==2.11.0, transformers==5.20.0: t5 fill-mask: refused: it has none\n"
        "Python 3.11, torch==2.11.0, transformers==5.20.0: gpt2 fill-mask: failed: it fell"
    )


@pytest.mark.parametrize("library", CROSSED)
def test_the_page_names_the_ranges_of_the_project(library: str) -> None:
    clauses = sorted(map(str, requirement(library).specifier), reverse=True)
    assert f"`{library}{','.join(clauses)}`" in PAGE


def test_the_page_names_the_pythons_of_the_project() -> None:
    assert f"Python {pythons()[0]} to {pythons()[-1]}" in PAGE


def test_the_versions_of_constraints_are_in_the_ranges() -> None:
    lines = (REPOSITORY / "constraints.txt").read_text("utf-8").splitlines()
    tried = dict(line.split("==") for line in lines if not line.startswith("#"))
    for library, version in tried.items():
        assert requirement(library).specifier.contains(version), library
        assert f"{library} {version}" in PAGE or library not in CROSSED
