"""Keep what libraries say while they record off the terminal."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from exporter.speech import libraries_speak


@contextmanager
def quiet_libraries(*loggers: str) -> Iterator[None]:
    """Silence warnings, and what the named loggers say below an error, while the context lasts; nothing with ``-v``.

    Tracers warn of every size they may bake in. Verification at other sizes finds out which ones they did.
    """
    if libraries_speak():
        yield
        return
    silenced = [logging.getLogger(name) for name in loggers]
    levels = [logger.level for logger in silenced]
    for logger in silenced:
        logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            for logger, level in zip(silenced, levels, strict=True):
                logger.setLevel(level)
