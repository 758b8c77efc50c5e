"""Progress on a terminal, through rich: a line for all builds, and the step and the bar of each that runs.

On a narrow terminal a step has a line of its own above its bar; on a wide one they share a line. Nothing wraps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from exporter.cli.render.glance import Glance, Work
from exporter.cli.render.text import clock_text

# From this width on a step and its bar share a line.
_WIDE = 100
_BAR = 28
_REFRESHES_A_SECOND = 8


class Bars:
    """What is live on a terminal.

    Args:
        glance: returns what there is to show.
        color: whether it has colours.
    """

    def __init__(self, glance: Callable[[], Glance], *, color: bool) -> None:
        self._console = Console(
            stderr=True,
            force_terminal=True,
            color_system="standard" if color else None,
            highlight=False,
            markup=False,
            emoji=False,
        )
        self._glance = glance
        self._color = color
        self._live = Live(
            console=self._console,
            get_renderable=self._render,
            transient=True,
            refresh_per_second=_REFRESHES_A_SECOND,
            redirect_stdout=False,
        )

    def show(self) -> None:
        """Begin to show it."""
        self._live.start(refresh=True)

    def hide(self) -> None:
        """Remove it from the terminal; the cursor is where it was before."""
        self._live.stop()

    def say(self, text: str) -> None:
        """Print a line above what is live."""
        self._console.print(Text.from_ansi(text) if "\x1b" in text else Text(text), soft_wrap=True)

    def _render(self) -> RenderableType:
        return Group(*render_glance(self._glance(), self._console.width, color=self._color))


def render_glance(glance: Glance, width: int, *, color: bool) -> Iterator[RenderableType]:
    """Yield the lines of a display, from the one about all builds to what is being done.

    Args:
        glance: what there is to show.
        width: the columns of the terminal.
        color: whether it has colours.
    """
    rows = list(_rows(glance, color=color))
    if width >= _WIDE:
        grid = Table.grid(padding=(0, 1), expand=True)
        grid.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        for cells in zip(*(row[1:] for row in rows), strict=True):
            grid.add_column(no_wrap=True, min_width=max(_width(cell) for cell in cells))
        for row in rows:
            grid.add_row(*row)
        yield grid
        return
    for text, *cells in rows:
        yield text
        grid = Table.grid(padding=(0, 1))
        grid.add_row(" ", *[cell for cell in cells if cell])
        yield grid


def _rows(glance: Glance, *, color: bool) -> Iterator[tuple[Text, RenderableType, Text, Text, Text]]:
    """Yield the cells of each line: what it is about, its bar, how much is done of how much, how long, what is left."""
    several = glance.total > 1
    if several:
        ended = _cell(f"{glance.done} of {glance.total} builds ended", "bold")
        bar = ProgressBar(glance.total, glance.done, width=_BAR)
        yield ended, bar, _cell(""), _cell(clock_text(glance.elapsed)), _cell(glance.left)
    for work in glance.works:
        counted = f"{work.done}/{work.total}" if work.total else ""
        elapsed = clock_text(glance.now - work.begun)
        yield (
            _cell(work.text),
            _bar(work, color=color),
            _cell(counted),
            _cell(elapsed),
            _cell("" if several else glance.left),
        )


def _bar(work: Work, *, color: bool) -> RenderableType:
    if work.total:
        return ProgressBar(work.total, work.done, width=_BAR)
    # A pulse without colours would look like a bar that is full.
    return ProgressBar(None, 0, width=_BAR, pulse=True) if color else ""


def _width(cell: RenderableType) -> int:
    return cell.cell_len if isinstance(cell, Text) else _BAR if cell else 0


def _cell(text: str, style: str = "") -> Text:
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")
