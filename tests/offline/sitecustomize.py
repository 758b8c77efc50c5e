"""Imported by every Python the tests start: no test reaches a network."""

import socket
from typing import Any

_connect, _connect_ex = socket.socket.connect, socket.socket.connect_ex


def _local(original: Any) -> Any:
    """Return a way to connect that only reaches processes of this machine, by files or names and not by a network."""

    def connect(self: socket.socket, address: Any) -> Any:
        if self.family != socket.AF_UNIX:
            raise OSError(f"the tests have no network: connection to {address!r} refused")
        return original(self, address)

    return connect


socket.socket.connect = _local(_connect)  # type: ignore[method-assign]
socket.socket.connect_ex = _local(_connect_ex)  # type: ignore[method-assign]
