"""The language server that editors read YAML with completes our names, shows what they mean and underlines others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import pytest

from clients.environments import Installer
from clients.language_server import LanguageServer, serve
from exporter.cli.render.manual import editor_document
from exporter.language.catalog import family_names, list_specs, load_tasks

pytestmark = [pytest.mark.clients, pytest.mark.timeout(600)]

REPOSITORY = Path(__file__).parent.parent.parent
SCHEMA_LINE = "# yaml-language-server: $schema=../schemas/spec.schema.json\n"
SPEC = """\
spec_version: 1
architecture: example
extends: encoder
tasks:
  fill-mask: {}
tolerances:
  float32: {atol: 1.0e-5, rtol: 1.0e-5}
reference:
  config: {hidden_size: 32, vocab_size: 99}
"""


class Serve(Protocol):
    def __call__(self, folder: Path, **settings: Any) -> AbstractContextManager[LanguageServer]: ...


@pytest.fixture(scope="module")
def start(installer: Installer) -> Serve:
    program = installer.yaml_language_server() / "node_modules/yaml-language-server/bin/yaml-language-server"

    def start(folder: Path, **settings: Any) -> AbstractContextManager[LanguageServer]:
        yaml = {"validate": True, "hover": True, "completion": True, "schemaStore": {"enable": False}, **settings}
        return serve(["node", program, "--stdio"], {"yaml": yaml}, folder)

    return start


@pytest.fixture(scope="module")
def server(start: Serve) -> Iterator[LanguageServer]:
    """A server in the repository, where the first line of a spec names the schema."""
    with start(REPOSITORY) as server:
        yield server


@pytest.fixture
def path() -> Path:
    """A document beside the specs of the repository, which only the editor has."""
    return REPOSITORY / "specs" / "example.yaml"


def test_families_complete_with_what_they_are(server: LanguageServer, path: Path):
    offered = server.complete(path, f"{SCHEMA_LINE}{SPEC}".replace("extends: encoder", "extends: |"))
    assert set(offered) == set(family_names())
    assert "Text encoders" in str(offered["encoder"]["documentation"])


def test_tasks_complete_as_the_family_has_them(server: LanguageServer, path: Path):
    offered = server.complete(path, f"{SCHEMA_LINE}{SPEC}".replace("  fill-mask: {}\n", "  |\n"))
    assert set(load_tasks()) <= set(offered)
    assert "text-generation-with-past" in offered
    assert "image-classification-with-past" not in offered
    assert offered["fill-mask"]["insertText"] == "fill-mask: {}"


@pytest.mark.parametrize(
    ("before", "after", "names"),
    [
        ("extends: encoder\n", "extends: encoder\ntargets:\n  |\n", {"openvino", "torchscript", "neuron"}),
        ("  float32: {atol: 1.0e-5, rtol: 1.0e-5}\n", "  |\n", {"float32", "float16", "bfloat16"}),
        ("extends: encoder\n", "extends: encoder\ntracer:\n  use: |\n", {"torchscript", "dynamo"}),
        ("extends: encoder\n", "extends: encoder\npatches:\n  |\n", {"recorded-sizes"}),
    ],
)
def test_other_closed_names_complete(server: LanguageServer, path: Path, before: str, after: str, names: set[str]):
    assert names <= set(server.complete(path, f"{SCHEMA_LINE}{SPEC}".replace(before, after)))


def test_a_misspelt_task_and_a_misspelt_family_are_underlined(server: LanguageServer, path: Path):
    assert server.open(path, f"{SCHEMA_LINE}{SPEC}") == []
    damaged = SPEC.replace("extends: encoder", "extends: encodr").replace("fill-mask", "fil-mask")
    (family, message), (task, other) = server.open(path, f"{SCHEMA_LINE}{damaged}")
    assert (family, task) == ("encodr", "fil-mask")
    assert "encoder" in message
    assert "fil-mask is not allowed" in other


def test_a_task_and_a_family_are_explained(server: LanguageServer, path: Path):
    shown = server.hover(path, f"{SCHEMA_LINE}{SPEC}".replace("fill-mask", "fill|-mask"))
    assert "Scores of every token at every position" in shown
    shown = server.hover(path, f"{SCHEMA_LINE}{SPEC}".replace("extends: encoder", "extends: enc|oder"))
    assert "Text encoders with one stack of layers" in shown


def test_nothing_is_underlined_in_the_catalogue(server: LanguageServer):
    families = (REPOSITORY / "specs" / "families").glob("*.yaml")
    for path in (*list_specs(REPOSITORY / "specs"), *families, REPOSITORY / "specs" / "tasks.yaml"):
        assert server.open(path, path.read_text("utf-8")) == [], path


def test_families_of_ones_own_are_known_where_the_schema_is_made_beside_them(start: Serve, tmp_path: Path):
    families = tmp_path / "specs" / "families"
    families.mkdir(parents=True)
    encoder = (REPOSITORY / "specs" / "families" / "encoder.yaml").read_text("utf-8")
    (families / "plain.yaml").write_text(encoder.replace("family: encoder", "family: plain"), "utf-8")
    (tmp_path / "spec.schema.json").write_text(editor_document("spec", tmp_path / "specs"), "utf-8")
    path, text = tmp_path / "specs" / "example.yaml", SPEC.replace("encoder", "plain")
    # By the editor's settings, without a line in the document.
    with start(tmp_path, schemas={(tmp_path / "spec.schema.json").as_uri(): "specs/*.yaml"}) as server:
        assert server.open(path, text) == []
        assert [word for word, _ in server.open(path, text.replace("plain", "plian"))] == ["plian"]
        assert "plain" in server.complete(path, text.replace("extends: plain", "extends: |"))


def test_build_files_complete_architectures_tasks_and_targets(start: Serve, tmp_path: Path):
    (tmp_path / "build.schema.json").write_text(editor_document("build", None), "utf-8")
    line = "# yaml-language-server: $schema=build.schema.json\nspec_version: 1\nkind: build\nbuilds:\n"
    path = tmp_path / "builds.yaml"
    with start(tmp_path) as server:
        assert "bert" in server.complete(path, f"{line}  - spec: |\n")
        assert "fill-mask" in server.complete(path, f"{line}  - spec: bert\n    tasks:\n      - |\n")
        assert "openvino" in server.complete(path, f"{line}  - spec: bert\n    targets:\n      - |\n")
        good = f"{line}  - spec: specs/mine.yaml\n    tasks: [masked-lm, text-generation-with-past, ner]\n"
        assert server.open(path, good) == []
        underlined = [word for word, _ in server.open(path, f"{line}  - spec: bertt\n    tasks: [fil-mask]\n")]
        assert set(underlined) == {"bertt", "fil-mask"}
