"""How a command ends that is told to: by ^C, by `kill`, by a terminal that closes.

The first signal interrupts the command, whose open blocks then remove what they made; signals after it change nothing,
so that nothing interrupts the removal. A thread of its own ends the process where the command does not come to it
soon: Python tells a program of a signal between two of its instructions, and one instruction may run a model.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from exporter.artifacts.claims import release_all

# Signal numbers are added to it for an exit code, as shells do.
SIGNALLED = 128
_PATIENCE_SECONDS = 1.2
# The thread that ends the process late. It waits for a signal and holds nothing, so that a fork does it no harm.
THREAD = "exporter-ending"
_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class Ending:
    """How a command is told to end.

    Attributes:
        signal: the signal that it was told by; None before there is one.
        last_words: what is still done before the process of a command that does not come to its end is ended.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self.last_words: Callable[[], object] = lambda: None

    @property
    def exit_code(self) -> int:
        """The exit code of a command that was interrupted."""
        return SIGNALLED + (self.signal or signal.SIGINT)

    @property
    def message(self) -> str:
        """What a command that was interrupted says."""
        if self.signal is None or self.signal == signal.SIGINT:
            return "interrupted"
        return f"ended by {self.signal.name}"


@contextmanager
def told_to_end() -> Iterator[Ending]:
    """Raise `KeyboardInterrupt` for the first signal that tells the process to end.

    Signals that the process was started to ignore, as by `nohup`, are ignored. In a thread that is not the main one, or
    in a program that has handlers of its own, nothing is changed.
    """
    ending = Ending()
    is_main = threading.current_thread() is threading.main_thread()
    signals = [each for each in _SIGNALS if is_main and signal.getsignal(each) in _UNHANDLED]
    if not signals:
        yield ending
        return

    def interrupt(number: int, _: FrameType | None) -> None:
        for each in signals:
            signal.signal(each, signal.SIG_IGN)
        ending.signal = signal.Signals(number)
        raise KeyboardInterrupt

    before = {each: signal.getsignal(each) for each in signals}
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    threading.Thread(target=_end_late, args=(reader, tuple(signals), ending), name=THREAD, daemon=True).start()
    wakeup = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    for each in signals:
        signal.signal(each, interrupt)
    try:
        yield ending
    finally:
        # After a signal the process is ending: its handlers stay, and so does the thread that ends it late.
        if ending.signal is None:
            for each, handler in before.items():
                signal.signal(each, handler)
            signal.set_wakeup_fd(wakeup)
            writer.close()


def forget_ending() -> None:
    """Let signals end this process as they end any other; for a child, which has the parent's handlers and wakes it."""
    signal.set_wakeup_fd(-1)
    for each in _SIGNALS:
        if signal.getsignal(each) is not signal.SIG_IGN:
            signal.signal(each, signal.default_int_handler if each == signal.SIGINT else signal.SIG_DFL)


_UNHANDLED = (signal.SIG_DFL, signal.default_int_handler)


def leave(code: int) -> NoReturn:
    """End the process of a command that was told to end, now: no thread or library is waited for."""
    release_all()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code)


def _end_late(reader: socket.socket, signals: tuple[int, ...], ending: Ending) -> None:
    """Wait for a signal, give the command time to end, and end it."""
    while number := reader.recv(1):
        if number[0] in signals:
            threading.Event().wait(_PATIENCE_SECONDS)
            ending.signal = ending.signal or signal.Signals(number[0])
            with contextlib.suppress(Exception):
                ending.last_words()
            leave(SIGNALLED + number[0])
    reader.close()
