"""A step is a text that says how far."""

from __future__ import annotations

import pytest

from exporter.steps import Step, Steps


def test_a_step_is_a_text_with_counts():
    step = Step("verifying", 3, 8)
    assert (step, step.done, step.total) == ("verifying", 3, 8)
    assert f"{step} …" == "verifying …"
    assert (Step("loading").done, Step("loading").total) == (0, 0)


@pytest.mark.parametrize(("total", "told"), [(3, [(0, 3), (1, 3), (2, 3)]), (1, [(0, 1), (1, 1), (1, 1)])])
def test_parts_are_counted_as_they_begin_and_never_beyond_the_last(total: int, told: list[tuple[int, int]]):
    seen: list[Step] = []
    steps = Steps(lambda text: seen.append(text if isinstance(text, Step) else Step("lost")), total)
    for text in ("one", "two", "three"):
        steps.begin(text)
    assert [(step.done, step.total) for step in seen] == told
    assert seen == ["one", "two", "three"]
