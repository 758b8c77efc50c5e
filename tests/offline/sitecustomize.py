"""Imported by every Python the tests start: no test reaches a network."""

import socket
from typing import Any

_connect, _connect_ex = socket.socket.connect, socket.socket.connect_ex


def _refuse_networks(original: Any) -> Any:
    """Return a way to connect that reaches processes of this machine only: through a file, and not by an address."""

    def connect(self: socket.socket, address: Any) -> Any:
        if self.family != socket.AF_UNIX:
            raise OSError(f"the tests have no network: connection to {address!r} refused")
        return original(self, address)

    return connect


socket.socket.connect = _refuse_networks(_connect)  # type: ignore[method-assign]
socket.socket.connect_ex = _refuse_networks(_connect_ex)  # type: ignore[method-assign]
