"""Imported by every Python the tests start: no test reaches a network."""

import socket


def _refuse(self: socket.socket, address: object, *_: object) -> None:
    if self.family != socket.AF_UNIX:
        raise OSError(f"the tests have no network: connection to {address!r} refused")


socket.socket.connect = _refuse  # type: ignore[assignment, method-assign]
socket.socket.connect_ex = _refuse  # type: ignore[assignment, method-assign]
