"""Finding specs, families and tasks by the names people know them by."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from commands import SPECS

from exporter.errors import UsageError
from exporter.language.catalog import (
    display_name,
    expand_paths,
    family_names,
    feature_of,
    find_family,
    find_spec,
    list_specs,
    load_tasks,
    resolve_task,
    scalar_text,
    spec_directory,
    task_of_word,
    task_words,
)
from exporter.language.document import parse_document
from exporter.language.text import Text

# Tasks


@pytest.mark.parametrize(
    ("word", "task"),
    [
        ("fill-mask", "fill-mask"),
        ("masked-lm", "fill-mask"),
        ("default", "feature-extraction"),
        ("image-feature-extraction", "feature-extraction"),
        ("translation", "text2text-generation"),
        ("causal-lm-with-past", "text-generation-with-past"),
        ("summarization-with-past", "text2text-generation-with-past"),
        ("text-generation-with-past", "text-generation-with-past"),
    ],
)
def test_a_task_is_known_by_each_of_its_names(word: str, task: str):
    assert task_of_word(word) == resolve_task(word) == task


@pytest.mark.parametrize("word", ["", "Fill-Mask", "fill mask", "-with-past", "fill-mask-with-past-with-past"])
def test_any_other_word_is_no_task(word: str):
    assert task_of_word(word) is None
    with pytest.raises(UsageError, match=f"^unknown task '{word}'$"):
        resolve_task(word)


def test_a_misspelt_task_is_answered_with_the_nearest_and_another_with_all():
    with pytest.raises(UsageError) as failure:
        resolve_task("fil-mask")
    assert failure.value.help == "did you mean 'fill-mask'?"
    with pytest.raises(UsageError) as failure:
        resolve_task("zzz")
    assert failure.value.help is not None
    assert failure.value.help.startswith("the tasks are: audio-classification, ")


@pytest.mark.parametrize(
    ("task", "feature"),
    [
        ("fill-mask", "masked-lm"),
        ("text-generation-with-past", "causal-lm-with-past"),
        ("question-answering", "question-answering"),
        ("no-task-of-ours", "no-task-of-ours"),
    ],
)
def test_a_task_has_the_feature_name_of_the_earlier_system(task: str, feature: str):
    assert feature_of(task) == feature


def test_no_word_means_two_tasks_and_every_feature_leads_back():
    words = [word for task in load_tasks().values() for word in {*task.words}]
    assert sorted(words) == task_words()
    for name, task in load_tasks().items():
        assert task.name == name
        assert task_of_word(task.feature) == name
        assert task.auto_class.startswith("AutoModel")
        assert task.description


# Specs


def test_the_catalogue_is_listed_by_name_and_the_vocabulary_is_no_spec():
    specs = list_specs()
    assert specs == sorted(specs)
    assert "bert" in {path.stem for path in specs}
    assert not {"tasks", "encoder"} & {path.stem for path in specs}
    assert spec_directory().samefile(SPECS)


def test_specs_of_another_directory_are_listed(tmp_path: Path):
    for name in ("b.yaml", "a.yaml", "tasks.yaml", "c.yml", "d.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in list_specs(tmp_path)] == ["a.yaml", "b.yaml"]
    assert list_specs(tmp_path / "nowhere") == []


def test_a_spec_is_found_by_its_architecture_and_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert find_spec("bert").samefile(SPECS / "bert.yaml")
    (tmp_path / "mine.yaml").touch()
    assert find_spec("mine.yaml") == Path("mine.yaml")
    assert find_spec(str(tmp_path / "mine.yaml")) == tmp_path / "mine.yaml"


def test_a_file_comes_before_an_architecture_and_a_directory_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bert").mkdir()
    assert find_spec("bert").samefile(SPECS / "bert.yaml")
    (tmp_path / "gpt2").touch()
    assert find_spec("gpt2") == Path("gpt2")


@pytest.mark.parametrize(
    ("name", "message", "help_"),
    [
        ("brt", "no spec for the architecture 'brt'", "did you mean 'bart' or 'bert'?"),
        ("", "no spec for the architecture ''", "the architectures are: "),
        ("tasks", "no spec for the architecture 'tasks'", None),
        ("BERT", "no spec for the architecture 'BERT'", None),
        ("bert.yaml", "there is no spec 'bert.yaml'", "give the path of a YAML file, or an architecture"),
        ("bert.yml", "there is no spec 'bert.yml'", "give the path of a YAML file, or an architecture"),
        ("families/encoder", "there is no spec 'families/encoder'", "give the path"),
        ("a" * 5000, f"no spec for the architecture '{'a' * 5000}'", None),
        ("../specs/bert", "there is no spec '../specs/bert'", "give the path"),
    ],
)
def test_what_is_no_spec_is_refused(
    name: str, message: str, help_: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as failure:
        find_spec(name)
    assert failure.value.message == message
    if help_ is not None:
        assert failure.value.help is not None
        assert failure.value.help.startswith(help_)


# Families


def test_a_family_is_found_in_the_catalogue_from_anywhere(tmp_path: Path):
    for near in (None, tmp_path / "example.yaml"):
        family = find_family("encoder", near)
        assert family is not None
        assert family.kind() == "family"
        assert family.source.path is not None
        assert family.source.path.samefile(SPECS / "families" / "encoder.yaml")
    assert find_family("no-such-family", None) is None


def test_a_family_beside_the_spec_comes_before_that_of_the_catalogue(tmp_path: Path):
    folder = tmp_path / "families"
    folder.mkdir()
    (folder / "encoder.yaml").write_text("family: encoder\ndescription: nearer\n", "utf-8")
    (folder / "own.yaml").write_text("family: own\n", "utf-8")
    family = find_family("encoder", tmp_path / "example.yaml")
    assert family is not None
    description = scalar_text(family, "description")
    assert description is not None
    assert description.value == "nearer"
    assert {"own", "encoder", "decoder"} <= set(family_names(tmp_path / "example.yaml"))
    assert "own" not in family_names()
    assert family_names(tmp_path / "example.yaml") == sorted({*family_names(), "own"})


def test_a_family_that_changes_is_read_anew(tmp_path: Path):
    (tmp_path / "families").mkdir()
    path = tmp_path / "families" / "own.yaml"
    for number in range(2):
        path.write_text(f"family: own\ndescription: text {number}\n", "utf-8")
        os.utime(path, ns=(number, number))
        family = find_family("own", tmp_path / "example.yaml")
        assert family is not None
        assert f"text {number}" in family.source.text


# Files


def test_a_file_is_shown_by_its_shortest_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert display_name(Path("here.yaml")) == "here.yaml"
    assert display_name(tmp_path / "deep" / "there.yaml") == "deep/there.yaml"
    assert display_name(SPECS / "families" / "encoder.yaml") == "specs/families/encoder.yaml"
    (tmp_path / "deep").mkdir()
    monkeypatch.chdir(tmp_path / "deep")
    assert display_name(tmp_path / "here.yaml") == (tmp_path / "here.yaml").as_posix()


def test_a_directory_stands_for_every_document_below_it(tmp_path: Path):
    for name in ("b.yaml", "a.yml", "deep/c.yaml", "deep/d.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    names = [path.relative_to(tmp_path).as_posix() for path in expand_paths([str(tmp_path)])]
    assert names == ["a.yml", "b.yaml", "deep/c.yaml"]


def test_a_file_is_listed_once_and_in_the_order_given(tmp_path: Path):
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).touch()
    paths = expand_paths([str(tmp_path / "b.yaml"), str(tmp_path), "bert", str(tmp_path / "a.yaml")])
    assert [path.name for path in paths] == ["b.yaml", "a.yaml", "bert.yaml"]
    assert expand_paths([]) == []
    with pytest.raises(UsageError, match="there is no spec"):
        expand_paths([str(tmp_path), str(tmp_path / "c.yaml")])


@pytest.mark.parametrize(
    ("text", "value"),
    [("a: x\n", "x"), ("a: 3\n", 3), ("a:\n", None), ("a: {b: 1}\n", ...), ("b: x\n", ...), ("- a\n", ...)],
)
def test_a_scalar_at_the_top_is_read_and_nothing_else(text: str, value: object):
    scalar = scalar_text(parse_document(Text("x.yaml", text)), "a")
    assert (... if scalar is None else scalar.value) == value
