"""How long builds took is remembered in the user's cache, and nothing else of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from exporter.building import durations
from exporter.building.durations import cache_directory, find_duration, keep_duration, remembered
from exporter.building.pool import Outcome
from exporter.building.request import Request, make_request
from exporter.building.requests import Build
from exporter.errors import ExportError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EXPORTER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def request(**given: object) -> Request:
    return make_request({"spec": "bert", "tasks": ("fill-mask",), "output": Path("secret/place"), **given})


def test_the_cache_is_the_users_unless_another_is_named(cache: Path, monkeypatch: pytest.MonkeyPatch):
    assert cache_directory() == cache
    monkeypatch.delenv("EXPORTER_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert cache_directory() == Path("/caches/exporter")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", lambda: Path("/home/me"))
    assert cache_directory() == Path("/home/me/.cache/exporter")


def test_a_build_is_found_by_its_request(cache: Path):
    assert find_duration(request()) is None
    keep_duration(request(), 41.234, 1_000)
    found = find_duration(request())
    assert found is not None
    assert (found.seconds, found.bytes) == (41.23, 1_000)
    for other in (
        {"opset": 17},
        {"output": Path("elsewhere")},
        {"model": "some/where"},
        {"tasks": ("text-generation",)},
    ):
        assert find_duration(request(**other)) is None, other
    keep_duration(request(), 10.0, 7)
    again = find_duration(request())
    assert again is not None
    assert again.seconds == 10.0
    assert [path.name for path in cache.iterdir()] == ["builds.json"]
    assert "secret" not in (cache / "builds.json").read_text()


def test_a_place_is_the_same_wherever_it_is_named_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    keep_duration(request(output=Path("out")), 3.0, 1)
    assert find_duration(request(output=tmp_path / "out")) is not None


def test_the_oldest_are_forgotten(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(durations, "_MOST", 2)
    for seed in range(3):
        keep_duration(request(seed=seed), 1.0, 1)
    assert [find_duration(request(seed=seed)) is not None for seed in range(3)] == [False, True, True]


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a": 3}', "\udcff" * 3])
def test_what_is_not_ours_is_passed_over(cache: Path, text: str):
    keep_duration(request(), 1.0, 1)
    (cache / "builds.json").write_text(text, "utf-8", "surrogatepass")
    assert find_duration(request()) is None
    keep_duration(request(), 2.0, 1)
    assert find_duration(request()) is not None


def test_an_entry_that_is_not_ours_is_none(cache: Path):
    keep_duration(request(), 1.0, 1)
    (cache / "builds.json").write_text((cache / "builds.json").read_text().replace("1.0", '"soon"'))
    assert find_duration(request()) is None


def test_where_nothing_can_be_written_nothing_is_remembered(cache: Path):
    cache.write_text("a file in the place of the directory")
    keep_duration(request(), 1.0, 1)
    assert find_duration(request()) is None


def test_only_builds_that_end_well_are_remembered():
    good = Outcome(Build(request(), "bert", "asked for"), 12.0, files={"model.onnx": 5, "config.json": 2})
    bad = dataclasses.replace(good, build=Build(request(seed=3), "bert", "asked for"), error=ExportError("no"))
    assert list(remembered([good, bad])) == [good, bad]
    found = find_duration(request())
    assert found is not None
    assert (found.seconds, found.bytes) == (12.0, 7)
    assert find_duration(request(seed=3)) is None
