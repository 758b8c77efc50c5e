"""Build the documentation site: ``python docs/site/build.py``, or with ``--serve`` show it while it is written.

The pages are those of the repository, which the code host shows as they are. What a site needs otherwise is done to
copies of them, in ``build/site``: links out of the documentation lead to the repository, the README becomes the first
page, and the catalogue becomes a table that can be filtered. Zensical then makes ``build/site/html`` of the copies,
strictly: a link or an anchor that leads nowhere fails the build. ``--stage`` only writes the copies.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from catalogue import catalogue_page

from exporter.api import load_specs

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "docs" / "site"
STAGED = ROOT / "build" / "site"
# Pages that are beside docs/ in the repository, or for the site alone, by their place in it.
ELSEWHERE = {
    ROOT / "README.md": "index.md",
    ROOT / "CONTRIBUTING.md": "contributing.md",
    ROOT / "CHANGELOG.md": "changelog.md",
    ROOT / "SECURITY.md": "security.md",
    HERE / "api.md": "api.md",
    ROOT / "docs" / "decisions" / "README.md": "decisions/index.md",
}
CATALOGUE = "catalogue.md"
_FENCE = re.compile(r"^ *(```|~~~).*?^ *\1 *$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(\]\()(?![a-z][a-z+.-]*:|#)([^)#\s]+)((?:#[^)\s]*)?\))")
_TABLES = re.compile(r"<!-- catalogue -->\n.*<!-- /catalogue -->\n", re.DOTALL)


def pages() -> dict[Path, str]:
    """Return every page of the repository that the site has, with its place in it."""
    inside = sorted((ROOT / "docs").glob("*.md")) + sorted((ROOT / "docs" / "decisions").glob("*.md"))
    return {page: page.relative_to(ROOT / "docs").as_posix() for page in inside} | ELSEWHERE


def staged_text(page: Path) -> str:
    """Return the text of a page as the site has it.

    Raises:
        SystemExit: a link of the page leads to nothing in the repository.
    """
    text = page.read_text("utf-8")
    if page == ROOT / "README.md":
        text = _TABLES.sub(f"The [catalogue]({CATALOGUE}) has them all in a table that can be filtered.\n", text)
    start, parts = 0, []
    for fence in _FENCE.finditer(text):
        parts += [_rewrite(text[start : fence.start()], page), fence[0]]
        start = fence.end()
    return "".join([*parts, _rewrite(text[start:], page)])


def _rewrite(text: str, page: Path) -> str:
    return _LINK.sub(lambda link: f"{link[1]}{resolve(page, link[2])}{link[3]}", text)


def resolve(page: Path, target: str) -> str:
    """Return where a relative link of a page leads on the site: to another page, or to the file on the code host."""
    staged = pages()
    place = (page.parent / target).resolve()
    here = Path(staged[page]).parent
    if target == CATALOGUE and page == ROOT / "README.md":
        return target
    for there in (place, place / "README.md"):
        if there in staged:
            return Path(os.path.relpath(staged[there], here)).as_posix()
    if not place.exists() or not place.is_relative_to(ROOT):
        raise SystemExit(f"{page.relative_to(ROOT)} links to '{target}', which is not in the repository")
    return f"{repository()}/{'tree' if place.is_dir() else 'blob'}/main/{place.relative_to(ROOT).as_posix()}"


def repository() -> str:
    """Return the address of the repository."""
    address: str = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["urls"]["Repository"]
    return address.rstrip("/")


def configuration() -> str:
    """Return the configuration.

    In its navigation ``decisions/*.md`` stands for every decision, and ``*.md`` for the pages that it does not name.

    Raises:
        SystemExit: the navigation has a page that is not there.
    """
    text = (
        (HERE / "zensical.toml")
        .read_text("utf-8")
        .replace("<repository>", repository())
        .replace("<root>", ROOT.as_posix())
    )
    places = {*pages().values(), CATALOGUE}
    named = set(_places(tomllib.loads(text)["project"]["nav"])) - {"decisions/*.md", "*.md"}
    if named - places:
        raise SystemExit(f"docs/site/zensical.toml: the navigation has {min(named - places)}, which is no page")
    decisions = {place for place in places if place.startswith("decisions/")}
    index = "decisions/index.md"
    text = text.replace('"decisions/*.md",', _listed([index, *sorted(decisions - {index})]))
    return text.replace('"*.md",', _listed(sorted(places - named - decisions)))


def _places(nav: Any) -> Iterator[str]:
    """Yield the pages that a navigation leads to, in order."""
    if isinstance(nav, str):
        if not nav.startswith("https:"):
            yield nav
        return
    for each in nav.values() if isinstance(nav, dict) else nav:
        yield from _places(each)


def _listed(places: list[str]) -> str:
    return " ".join(f'"{place}",' for place in places)


def files() -> Iterator[tuple[str, str]]:
    """Yield the place and the text of every file that is written before the site is made of them."""
    yield "zensical.toml", configuration()
    for page, place in pages().items():
        yield f"docs/{place}", staged_text(page)
    yield f"docs/{CATALOGUE}", catalogue_page(load_specs(ROOT / "specs"), f"{repository()}/blob/main/specs")
    for asset in ("site.css", "catalogue.js"):
        yield f"docs/assets/{asset}", (HERE / asset).read_text("utf-8")


def stage(folder: Path) -> None:
    """Write the files anew."""
    shutil.rmtree(folder, ignore_errors=True)
    for place, text in files():
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


def main() -> int:
    """Stage the site and build or serve it; return the exit code."""
    parser = argparse.ArgumentParser(description="Build the documentation site.")
    parser.add_argument("--output", type=Path, default=STAGED, help="where the site is made, in html/ (build/site)")
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--serve", action="store_true", help="show it at http://localhost:8000")
    way.add_argument("--stage", action="store_true", help="write the pages it is made of, and no more")
    asked = parser.parse_args()
    stage(asked.output)
    if asked.stage:
        return 0
    if find_spec("zensical") is None:
        print("error: there is no zensical\n  = help: pip install -e '.[docs]'", file=sys.stderr)
        return 2
    way_of_zensical = ["serve"] if asked.serve else ["build", "--clean", "--strict"]
    return subprocess.run(
        [sys.executable, "-m", "zensical", *way_of_zensical], cwd=asked.output, check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
