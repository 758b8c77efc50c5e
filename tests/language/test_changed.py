"""After a change, our documents are linted, with all that depend on them, and nobody else's."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from commands import SPECS

from exporter.language.changed import find_affected, is_ours, removed_files

FOREIGN = {
    "openapi.yaml": "openapi: 3.1.0\ninfo: {title: Pets, version: '1'}\npaths: {}\n",
    "asyncapi.yml": "asyncapi: 3.0.0\nchannels: {}\n",
    "rspec.yaml": "default:\n  profile: true\ntasks:\n  - run\n",
    "taskfile.yaml": "version: '3'\ntasks:\n  build: {cmds: [make]}\n",
    "github.yaml": "family: sans\nsize: 3\n",
    "nested.yaml": "settings:\n  spec_version: 1\n",
    "broken.yaml": "a: [1\n",
    "empty.yaml": "",
}


@pytest.fixture
def catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(SPECS, tmp_path / "specs")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "specs"


@pytest.mark.parametrize("path", sorted(SPECS.rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_document_of_the_catalogue_is_ours(path: Path):
    assert is_ours(path)


@pytest.mark.parametrize("name", FOREIGN)
def test_documents_of_other_programs_are_not(name: str, tmp_path: Path):
    (tmp_path / name).write_text(FOREIGN[name], "utf-8")
    assert not is_ours(tmp_path / name)
    assert find_affected([str(tmp_path / name)]) == []


@pytest.mark.parametrize(
    "text",
    [
        "architecture: x\nextends: encoder\ntasks: {}\n",
        '"spec_version": 1\n"architecture": "x"\n',
        "# yaml-language-server: $schema=../schemas/spec.schema.json\narchitecure: x\n",
        "spec_version: 1\ntasks: [\n",
    ],
)
def test_documents_of_ours_are_known_by_half_of_what_they_should_say(text: str, tmp_path: Path):
    (tmp_path / "x.yaml").write_text(text, "utf-8")
    assert is_ours(tmp_path / "x.yaml")


def test_a_spec_is_linted_alone_and_a_family_with_its_catalogue(catalogue: Path):
    (catalogue / "openapi.yaml").write_text(FOREIGN["openapi.yaml"], "utf-8")
    everything = {path.relative_to(catalogue.parent).as_posix() for path in catalogue.rglob("*.yaml")}
    ours = everything - {"specs/openapi.yaml"}
    assert find_affected(["specs/bert.yaml", "specs/openapi.yaml"]) == ["specs/bert.yaml"]
    assert set(find_affected(["specs/families/encoder.yaml"])) == ours
    assert set(find_affected(["specs/tasks.yaml"])) == ours
    (catalogue / "families" / "encoder.yaml").unlink()
    assert set(find_affected(["specs/families/encoder.yaml"])) == ours - {"specs/families/encoder.yaml"}


def test_what_a_commit_removes_is_asked_of_git(catalogue: Path):
    assert removed_files() == []
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "a"], ["rm", "-q", "specs/families/encoder.yaml"]):
        subprocess.run([*git, *command], check=True)
    assert removed_files() == ["specs/families/encoder.yaml"]
