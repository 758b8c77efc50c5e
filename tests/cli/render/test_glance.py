"""One line about what is being done."""

from __future__ import annotations

import pytest

from exporter.cli.render.glance import Glance, Work, beat_text

FIRST = Work("bert fill-mask", "verifying model", 5, 12, 30.0)
SECOND = Work("gpt2 text-generation", "exporting", 0, 0, 60.0)
ALONE = Work("", "sending 3 files", 0, 0, 0.0)


@pytest.mark.parametrize(
    ("glance", "line"),
    [
        (Glance((), 0, 0, 31.0, "", 31.0), "… 0:31  working"),
        (Glance((ALONE,), 0, 0, 3723.0, "", 0.0), "… 1:02:03  sending 3 files"),
        (Glance((FIRST,), 0, 1, 31.0, "", 31.0), "… 0:31  bert fill-mask: verifying model, 5 of 12"),
        (
            Glance((FIRST, SECOND), 2, 6, 90.0, "about 2 min left", 90.0),
            "… 1:30  bert fill-mask: verifying model, 5 of 12 (and 1 more); 2 of 6 builds ended; about 2 min left",
        ),
    ],
)
def test_it_says_what_is_done_and_how_far_it_is(glance: Glance, line: str):
    assert beat_text(glance) == line
