"""The exceptions whose messages are meant for the person who asked, with the exit code the command line gives each.

::

ExporterError
├── UsageError          2   the request itself cannot be served: unknown task, opset 9, missing path
├── SpecError           1   a spec, family or build file has findings (language.diagnostics: carries them)
├── CheckpointError     1   weights or config are missing, wrong, truncated or refused
├── ExportError         1   the model or the tracer failed on a good request
├── PublishError        1   a hub cannot be reached, or refused an artifact
├── VerificationError   1   the artifact computes something else than PyTorch (verification.report: carries the report)
└── EngineError         3   a bug of ours: the message names the log
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from exporter.nearness import nearest

# A name of a stranger's file is cut after this many characters.
_LONGEST_NAME = 200


class ExporterError(Exception):
    """A failure whose message is meant for the person at the terminal."""

    exit_code = 1

    def __init__(self, message: str, *, help: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.help = help


class UsageError(ExporterError):
    """The request cannot be served as asked."""

    exit_code = 2


class UntrustedError(UsageError):
    """A file of an artifact would run code of its maker, or reach outside the artifact, and nobody said to trust it."""

    def __init__(self, file: str, reason: str) -> None:
        super().__init__(
            f"{file} is not opened: {reason}", help="give --trust-artifact if you trust whoever made the artifact"
        )


class CheckpointError(ExporterError):
    """A checkpoint is missing something, holds the wrong thing, or cannot be read."""


class ExportError(ExporterError):
    """The model or the tracer failed."""


class PublishError(ExporterError):
    """A hub cannot be reached, or did not take an artifact that is good."""


class EngineError(ExporterError):
    """The engine itself failed; the help names the log to report it with."""

    exit_code = 3


# Names that are compared with a word, and characters of one; names that are listed. More is no help to anybody.
_MAX_COMPARED, _MAX_WORD, _MAX_LISTED = 2_000, 100, 150


def did_you_mean(
    word: str, candidates: Iterable[str], *, otherwise: str | None = None, also: Mapping[str, str] | None = None
) -> str | None:
    """Return ``did you mean 'x'?`` for the candidate nearest in meaning, else ``otherwise`` listing what is possible.

    Very long words and very many candidates are not compared, and of many candidates the first are listed.

    Args:
        word: what was written.
        candidates: what is possible.
        otherwise: what stands before the list.
        also: further words for the candidates, as `exporter.nearness.nearest` takes them.
    """
    names = sorted(candidates)
    if len(word) <= _MAX_WORD and len(names) <= _MAX_COMPARED:
        short = [name for name in names if len(name) <= _MAX_WORD]
        near = [f"'{name}'" for name in nearest(word, short, also)]
        if near:
            return f"did you mean {' or '.join([', '.join(near[:-1]), near[-1]] if near[1:] else near)}?"
    if otherwise is not None and names:
        listed = [name if len(name) <= _MAX_WORD else f"{name[:_MAX_WORD]}…" for name in names[:_MAX_LISTED]]
        more = f" and {len(names) - _MAX_LISTED:,} more" if len(names) > _MAX_LISTED else ""
        return f"{otherwise}: {', '.join(listed)}{more}"
    return None


def some(items: Iterable[str], limit: int = 8) -> str:
    """Return the first of some names for a message, and how many more there are: ``a, b and 3 more``."""
    listed = list(items)
    more = f" and {len(listed) - limit} more" if len(listed) > limit else ""
    return (
        ", ".join(item if len(item) <= _LONGEST_NAME else item[:_LONGEST_NAME] + "…" for item in listed[:limit]) + more
    )


def first_line(error: BaseException | str, limit: int = 300) -> str:
    """Return what an error of a library says: the first line that is not blank, cut to ``limit`` characters.

    An error without text is given by its type, so that no message of ours ends at its colon:
    ``first_line(AssertionError())`` is ``AssertionError``. An empty text is given as ``no reason given``.
    """
    text = _first_text(error, limit)
    return text or (type(error).__name__ if isinstance(error, BaseException) else "no reason given")


def describe_error(error: BaseException, limit: int = 300) -> str:
    """Return the type of a library's error and what it says, for a message that is of use without a traceback.

    ``describe_error(KeyError("weight"))`` is ``KeyError: 'weight'``. An error without text is its type alone, and not
    its type twice: ``describe_error(AssertionError())`` is ``AssertionError``.
    """
    kind, text = type(error).__name__, _first_text(error, limit)
    return f"{kind}: {text}" if text else kind


def format_bytes(size: int) -> str:
    """Return a size in the largest unit that keeps it above one."""
    amount = float(size)
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.2f} GB"


def _first_text(error: BaseException | str, limit: int) -> str:
    """Return the first line that is not blank, cut to ``limit`` characters; empty where every line is blank."""
    lines = (line.strip() for line in str(error).splitlines())
    return next(filter(None, lines), "")[:limit]
