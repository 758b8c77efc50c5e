"""What the documentation site is made of, without building it: pages, links, navigation and the table of the catalogue.

tests/clients/test_site.py builds it and reads it in a browser.
"""

from __future__ import annotations

import importlib
import re
import runpy
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from commands import REPOSITORY, offline_environment

import exporter
from exporter.api import load_specs
from exporter.cli.render.catalogue import catalogue_data

SITE = REPOSITORY / "docs" / "site"
PROJECT: dict[str, Any] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
ADDRESS = PROJECT["urls"]["Repository"]
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def builder() -> dict[str, Any]:
    """The names of docs/site/build.py, which imports its neighbour as a script does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SITE))
        return runpy.run_path(str(SITE / "build.py"))


@pytest.fixture(scope="module")
def staged(builder: dict[str, Any]) -> dict[str, str]:
    return dict(builder["files"]())


def places(nav: Any) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
        return
    for each in nav.values() if isinstance(nav, dict) else nav:
        yield from places(each)


def test_every_page_is_in_the_navigation_once_and_nothing_else(staged: dict[str, str]):
    nav = list(places(tomllib.loads(staged["zensical.toml"])["project"]["nav"]))
    pages = {place.removeprefix("docs/") for place in staged if place.endswith(".md")}
    assert sorted(nav) == sorted([*pages, ADDRESS])
    written = {page.relative_to(REPOSITORY / "docs").as_posix() for page in (REPOSITORY / "docs").rglob("*.md")}
    assert len(written) > 30
    assert {page for page in written if not page.startswith("site/") and not page.endswith("README.md")} <= pages


def test_links_lead_to_a_page_of_the_site_or_to_a_file_of_the_repository(staged: dict[str, str]):
    inside = outside = 0
    for place, text in staged.items():
        if not place.endswith(".md"):
            continue
        for target in _LINK.findall(_FENCE.sub("", text)):
            path, _, _ = target.partition("#")
            kind, _, rest = path.removeprefix(f"{ADDRESS}/").partition("/main/")
            if path.startswith(f"{ADDRESS}/") and rest:
                outside += 1
                assert {"blob": Path.is_file, "tree": Path.is_dir}[kind](REPOSITORY / rest), f"{place}: {target}"
            elif path and not re.match(r"[a-z]+:", path):
                inside += 1
                there = (Path("/") / place).parent / path
                assert str(there.resolve()).removeprefix("/") in staged, f"{place}: {target}"
    assert inside > 50
    assert outside > 50


def test_a_link_that_leads_nowhere_stops_the_build(builder: dict[str, Any]):
    with pytest.raises(SystemExit, match=r"README\.md links to 'docs/nowhere\.md', which is not in the repository"):
        builder["resolve"](REPOSITORY / "README.md", "docs/nowhere.md")
    with pytest.raises(SystemExit, match="which is not in the repository"):
        builder["resolve"](REPOSITORY / "README.md", "../outside.md")


def test_what_is_not_a_link_stays_as_it_is(staged: dict[str, str]):
    for page, place in {"README.md": "index.md", "docs/spec-language.md": "spec-language.md"}.items():
        text = (REPOSITORY / page).read_text("utf-8").partition("<!-- catalogue -->")[0]
        assert text.count("```") >= 10
        assert all(fence in staged[f"docs/{place}"] for fence in _FENCE.findall(text))
    for place in ("site.css", "catalogue.js"):
        assert staged[f"docs/assets/{place}"] == (SITE / place).read_text("utf-8")


def test_the_first_page_leads_to_the_catalogue_in_the_place_of_its_tables(staged: dict[str, str]):
    assert "(catalogue.md)" in staged["docs/index.md"]
    assert "(specs/" not in staged["docs/index.md"]
    assert "<!-- catalogue -->" not in staged["docs/index.md"]


def test_the_catalogue_has_every_task_with_its_targets_tracers_and_reasons(staged: dict[str, str]):
    rows = [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in staged["docs/catalogue.md"].splitlines()
        if line.startswith("| [")
    ]
    table = {
        (re.findall(r"\[(.+?)\]", name)[0], task): (family, targets, tracers, notes)
        for name, family, tasks, targets, tracers, notes in rows
        for task in re.findall("`(.+?)`", tasks)
    }
    pairs = 0
    for entry in catalogue_data(load_specs()):
        for task in entry["tasks"]:
            pairs += 1
            family, targets, tracers, notes = table[entry["architecture"], task["task"]]
            assert family == entry["family"]
            had = [name for name, target in task["targets"].items() if target["refused"] is None]
            assert re.findall("`(.+?)`", targets) == (had if task["tracers"] else [])
            assert set(re.findall("`(.+?)`", tracers)) == set(task["tracers"])
            for reason in task["refused"].values():
                assert reason.replace("|", "\\|").rstrip(".") in notes
    assert len(table) == pairs > 400


def test_the_reference_has_every_public_name(staged: dict[str, str]):
    named = re.findall(r"^::: ([\w.]+)$", staged["docs/api.md"], re.MULTILINE)
    for name in named:
        if name != "exporter.errors":
            module, _, attribute = name.rpartition(".")
            assert hasattr(importlib.import_module(module), attribute), name
    # Of the module of errors every error is shown.
    shown = {f"exporter.{name}" for name in dir(importlib.import_module("exporter.errors")) if name.endswith("Error")}
    assert {f"exporter.{name}" for name in exporter.__all__} <= {*named, *shown}


def test_no_page_asks_another_host_for_anything(staged: dict[str, str]):
    settings = tomllib.loads(staged["zensical.toml"])["project"]
    assert settings["theme"]["font"] is False
    # With the address of a repository the theme asks its host for numbers of stars and forks, whenever a page is read.
    assert "repo_url" not in settings
    for place, text in staged.items():
        assert not re.search(r"<(?:img|script|iframe|link)\b|!\[|@import|url\(", _FENCE.sub("", text)), place


def test_the_pages_are_staged_without_torch(tmp_path: Path):
    code = (
        "import runpy, sys; sys.path.insert(0, 'docs/site'); "
        f"sys.argv = ['build.py', '--stage', '--output', {str(tmp_path / 'staged')!r}]\n"
        "try: runpy.run_path('docs/site/build.py', run_name='__main__')\n"
        "except SystemExit as end: print(end.code, {'torch', 'transformers'} & {*sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        env=offline_environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.split() == ["0", "set()"], done.stderr
    assert (tmp_path / "staged" / "docs" / "index.md").is_file()


def test_one_command_builds_it_in_ci_and_for_pages():
    command = "python docs/site/build.py"
    assert command in (REPOSITORY / ".ci" / "run").read_text("utf-8")
    workflow = yaml.safe_load((REPOSITORY / ".github" / "workflows" / "docs.yml").read_text("utf-8"))
    assert workflow["permissions"] == {"contents": "read"}
    build, publish = workflow["jobs"]["build"], workflow["jobs"]["publish"]
    assert command in [step.get("run") for step in build["steps"]]
    assert build["steps"][-1]["with"]["path"] == "build/site/html"
    assert publish["permissions"] == {"pages": "write", "id-token": "write"}
    assert publish["needs"] == "build"
    assert all(re.fullmatch(r"actions/[\w-]+@v\d+", step["uses"]) for step in build["steps"] if "uses" in step)


def test_what_builds_it_is_an_extra_of_its_own():
    extras = PROJECT["optional-dependencies"]
    assert any(each.startswith("zensical") for each in extras["docs"])
    assert not any(re.match("zensical|mkdocs", each) for each in [*extras["test"], *PROJECT["dependencies"]])
