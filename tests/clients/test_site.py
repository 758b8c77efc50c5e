"""The documentation site, built strictly and read in Chromium: on a phone, in the dark, by search and by filters."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from commands import REPOSITORY, offline_environment

from clients.environments import PROGRAMS, Installer, installed_by_debian, run_program
from exporter.api import load_specs
from exporter.cli.render.catalogue import catalogue_data

pytestmark = [pytest.mark.clients, pytest.mark.timeout(1800)]

PROJECT: dict[str, Any] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
# What exporter imports to read specs. Neither torch nor transformers is there when the site is built.
LIGHT = ("pyyaml", "jsonschema", "jinja2", "click", "rich")


def build(python: Path, root: Path, output: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, root / "docs" / "site" / "build.py", "--output", output],
        env=offline_environment(PYTHONPATH=str(root)),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def python(installer: Installer) -> Path:
    light = [each for each in PROJECT["dependencies"] if re.match(r"[\w-]+", each)[0] in LIGHT]
    assert len(light) == len(LIGHT)
    return installer.python("site", *PROJECT["optional-dependencies"]["docs"], *light)


@pytest.fixture(scope="module")
def site(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("site")
    done = build(python, REPOSITORY, output)
    assert done.returncode == 0, done.stdout + done.stderr
    return output / "html"


@pytest.fixture(scope="module")
def answer(site: Path, installer: Installer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a browser measures on the site: on every page, and one of the decisions, which are alike."""
    places = sorted(page.parent.relative_to(site).as_posix() for page in site.rglob("index.html"))
    folder = tmp_path_factory.mktemp("browser")
    request = {
        "modules": installer.node("playwright", "playwright-core@1.65.1"),
        "chromium": installed_by_debian("chromium", "chromium"),
        "site": site,
        "pages": ["" if each == "." else f"{each}/" for each in places if not re.match(r"decisions/(?!0001-)", each)],
        "catalogue": "catalogue/",
        "drawer": ["Guides", "Checkpoints"],
        "word": "safetensors",
        "filters": [
            {"name": "task and target", "task": "fill-mask", "target": "openvino"},
            {"name": "family", "family": "audio"},
            {"name": "text", "text": "whisper"},
            {"name": "nothing", "text": "whisper", "task": "fill-mask"},
            {"name": "shared", "text": "bert", "task": "token-classification"},
        ],
        "shots": folder / "shots",
    }
    return run_program(["node", PROGRAMS / "site.mjs"], request, folder)


def test_every_page_is_there(site: Path):
    assert len(list(site.rglob("index.html"))) > 50
    reference = (site / "api" / "index.html").read_text("utf-8")
    for name in ("exporter.build", "exporter.BuildResult", "exporter.verify", "exporter.api.RequestOptions"):
        assert f'id="{name}"' in reference
    for option in ("output_hidden_states", "trust_remote_code", "layout"):
        assert option in reference


@pytest.mark.parametrize("broken", ["[nowhere](checkpoints.md#no-such-heading)", "[nowhere](no-such-page.md)"])
def test_a_broken_link_fails_the_build(broken: str, python: Path, site: Path, tmp_path: Path):
    """Those between pages are the tool's to find: it is given a copy of what the site is made of, with one broken."""
    staged = tmp_path / "staged"
    (staged / "docs").mkdir(parents=True)
    for file in site.parent.rglob("*"):
        if file.is_file() and "html" not in file.relative_to(site.parent).parts:
            place = staged / file.relative_to(site.parent)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(file.read_bytes())
    command = [python, "-m", "zensical", "build", "--clean", "--strict"]
    page = staged / "docs" / "layouts.md"
    page.write_text(f"{page.read_text('utf-8')}\n{broken}\n", "utf-8")
    done = subprocess.run(command, cwd=staged, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode != 0
    assert "layouts.md" in done.stdout + done.stderr


def test_nothing_is_asked_of_another_host(answer: dict[str, Any]):
    assert len(answer["requests"]) > 20
    assert not [url for url in answer["requests"] if not url.startswith((f"{answer['origin']}/", "data:", "blob:"))]
    assert answer["complaints"] == []


def test_no_page_is_wider_than_a_phone(answer: dict[str, Any]):
    assert len(answer["phone"]) > 20
    assert {page: seen for page, seen in answer["phone"].items() if seen["page"] > 0 or seen["elements"]} == {}
    # Some tables are wider: they move within themselves, and the page stays.
    assert any(seen["tables"] for seen in answer["phone"].values())
    assert answer["scrolled"]["by"] == 200
    assert answer["scrolled"]["page"] == 0


def test_the_navigation_of_a_phone_leads_to_pages(answer: dict[str, Any]):
    assert answer["drawer"]["address"] == "/checkpoints/"
    assert answer["drawer"]["heading"].startswith("Checkpoints")


def test_every_text_can_be_read_in_the_dark_and_in_the_light(answer: dict[str, Any]):
    """WCAG 2 asks for a contrast of 4.5, or 3 where a text is large."""
    assert answer["background"]["dark"] != answer["background"]["light"]
    assert {page.split()[0] for page in answer["contrast"]} == {"dark", "light"}
    assert all(seen["texts"] >= 10 for seen in answer["contrast"].values())
    assert {page: seen["poor"] for page, seen in answer["contrast"].items() if seen["poor"]} == {}


def test_a_word_is_found(answer: dict[str, Any]):
    assert any("Checkpoints" in result for result in answer["found"])
    assert answer["first"]["words"]


def test_the_catalogue_is_filtered(answer: dict[str, Any]):
    entries = catalogue_data(load_specs())
    rows = answer["filters"]

    def names(view: str) -> set[str]:
        return {row[0] for row in rows[view]}

    assert names("all") == {entry["architecture"] for entry in entries}
    assert names("task and target") == {
        entry["architecture"]
        for entry in entries
        for task in entry["tasks"]
        if task["task"] == "fill-mask" and task["targets"]["openvino"]["refused"] is None and task["tracers"]
    }
    assert names("family") == {entry["architecture"] for entry in entries if entry["family"] == "audio"}
    assert "whisper" in names("text")
    assert names("text") < names("all")
    assert rows["nothing"] == []
    assert answer["nothing says"]["count"] == f"0 of {len(entries)} architectures"
    # A view has an address that brings it back.
    assert answer["shared says"]["address"] == "/catalogue/?text=bert&task=token-classification"
    assert rows["again"] == rows["shared"] != []


def test_without_scripts_the_catalogue_is_a_plain_table(answer: dict[str, Any]):
    assert answer["plain"] == {"rows": len(answer["filters"]["all"]), "forms": 0}
