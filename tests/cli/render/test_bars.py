"""Bars fit a terminal of any width: nothing wraps, and what matters is not cut."""

from __future__ import annotations

import io

import pytest
from rich.console import Console, Group

from exporter.cli.render.bars import Bars, render_glance
from exporter.cli.render.glance import Glance, Work

LONG = "exporting decoder_with_past (opset 18, torchscript tracer), whose name is as long as names are"
WORKS = (
    Work("bert fill-mask", "verifying model at batch 3, sequence 11", 5, 12, 0.0),
    Work("gpt2 text-generation-with-past", LONG, 0, 0, 3.0),
)
SEVERAL = Glance(WORKS, 2, 6, 72.0, "about 2 min left", 42.0)
ONE = Glance(WORKS[:1], 0, 1, 42.0, "about 2 min left", 42.0)
UNCOUNTED = Glance(WORKS[1:], 0, 1, 42.0, "", 42.0)


def draw(glance: Glance, width: int, *, color: bool = False) -> list[str]:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    console.print(Group(*render_glance(glance, width, color=color)))
    printed: str = console.file.getvalue()  # type: ignore[attr-defined]
    return [line.rstrip() for line in printed.splitlines()]


@pytest.mark.parametrize("width", [60, 80, 99, 100, 120, 200])
@pytest.mark.parametrize("glance", [SEVERAL, ONE, UNCOUNTED])
@pytest.mark.parametrize("color", [False, True])
def test_nothing_wraps_and_nothing_that_matters_is_cut(glance: Glance, width: int, color: bool):
    lines = draw(glance, width, color=color)
    rows = len(glance.works) + (glance.total > 1)
    assert len(lines) == rows * (1 if width >= 100 else 2)
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    assert glance.left in text
    assert "0:42" in text or "0:39" in text
    if glance.works[0].total:
        assert "5/12" in text


def test_a_narrow_terminal_has_a_step_above_its_bar():
    assert draw(SEVERAL, 60) == [
        "2 of 6 builds ended",
        "  ━━━━━━━━━                    1:12 about 2 min left",
        "bert fill-mask: verifying model at batch 3, sequence 11",
        "  ━━━━━━━━━━━╸                 5/12 0:42",
        "gpt2 text-generation-with-past: exporting decoder_with_past…",
        "  0:39",
    ]


def test_a_wide_terminal_has_them_in_one_line_and_in_columns():
    lines = draw(SEVERAL, 120)
    assert lines[0].startswith("2 of 6 builds ended ")
    assert lines[0].endswith("1:12 about 2 min left")
    assert lines[1].index("0:42") == lines[0].index("1:12") == lines[2].index("0:39")
    assert "…" in lines[2]


def test_lines_are_printed_above_with_their_colours_or_without(capsys: pytest.CaptureFixture[str]):
    for color in (True, False):
        bars = Bars(lambda: ONE, color=color)
        bars.show()
        bars.say("\x1b[32m✓\x1b[0m bert [1/2]")
        bars.hide()
        printed = capsys.readouterr()
        assert printed.out == ""
        assert ("\x1b[32m✓" in printed.err) is color
        assert "bert [1/2]" in printed.err
        # The cursor is hidden and shown again.
        assert printed.err.count("\x1b[?25l") == printed.err.count("\x1b[?25h") == 1
