"""What is left of builds: as long as each took last time, or as long as those of this run take."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.building.durations import keep_duration
from exporter.building.forecast import Forecast, left_text
from exporter.building.request import Request
from exporter.building.requests import Build

A, B, C = Path("a"), Path("b"), Path("c")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_builds_take_as_long_as_last_time(clock: Clock):
    forecast = Forecast({A: 60.0, B: 30.0}, 1, clock)
    assert forecast.left() == 90
    forecast.begin(A)
    clock.now += 20
    forecast.begin(A)  # of each step of a build it is told again
    assert forecast.left() == 70
    clock.now += 50  # 10 more than last time
    assert forecast.left() == 30
    forecast.end(A)
    assert forecast.left() == 30
    forecast.begin(B)
    clock.now += 31
    assert forecast.left() == 0


def test_what_was_never_built_takes_as_long_as_the_others_of_this_run(clock: Clock):
    forecast = Forecast({A: None, B: None, C: 5.0}, 1, clock)
    assert forecast.left() is None
    forecast.begin(A)
    clock.now += 40
    assert forecast.left() is None
    forecast.end(A)
    assert forecast.left() == 45


def test_one_that_is_refused_says_nothing_of_the_others(clock: Clock):
    forecast = Forecast({A: None, B: None}, 1, clock)
    forecast.end(A)
    assert forecast.left() is None


def test_several_at_once_take_less_and_at_least_what_the_longest_takes(clock: Clock):
    forecast = Forecast({A: 100.0, B: 10.0, C: 10.0}, 2, clock)
    assert forecast.left() == 60
    for place in (A, B):
        forecast.begin(place)
    assert forecast.left() == 100


def test_it_is_read_from_what_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock):
    monkeypatch.setenv("EXPORTER_CACHE", str(tmp_path))
    request = Request(spec="bert", tasks=("fill-mask",), targets=("onnx",), output=A)
    assert Forecast.of([Build(request, "bert", "asked for")], 1, clock).left() is None
    keep_duration(request, 12.5, 100)
    assert Forecast.of([Build(request, "bert", "asked for")], 1, clock).left() == 12.5


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (0.0, "soon done"),
        (4.0, "about 5 s left"),
        (32.9, "about 35 s left"),
        (57.0, "about 1 min left"),
        (100.0, "about 2 min left"),
        (3590.0, "about 1 h 00 min left"),
        (7500.0, "about 2 h 05 min left"),
    ],
)
def test_it_is_said_no_more_exactly_than_it_is_known(seconds: float | None, text: str):
    assert left_text(seconds) == text
