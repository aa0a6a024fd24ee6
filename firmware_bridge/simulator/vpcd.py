"""A chip in a virtual reader: the client of vsmartcard's vpcd driver (TCP; two-byte length, then the message).

One-byte messages are control: 0 power off, 1 power on, 2 reset, 4 answer to reset (the only one that is answered).
Connecting inserts the card, closing removes it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import threading
from typing import Protocol, Self

DEFAULT_PORT = 35963
_OFF, _ON, _RESET, _ATR = 0, 1, 2, 4
_CLONE_NEWNET = 0x40000000


class CardSide(Protocol):
    """What can be put into a reader."""

    @property
    def atr(self) -> bytes:
        """The answer to reset."""

    def reset(self) -> None:
        """The reader activates or deactivates the card."""

    def process(self, apdu: bytes) -> bytes:
        """One command. Raises `CardPulled` to leave the field."""


class CardPulled(Exception):  # noqa: N818 - it names an event, not a fault
    """Raised by a card in the middle of a command: it is taken away."""


def connect(port: int = DEFAULT_PORT, namespace: int | None = None, timeout: float = 5.0) -> socket.socket:
    """A connection to vpcd on loopback, inside the network namespace of process `namespace` if one is given.

    Raises:
        OSError: nobody listens, or the namespace may not be entered.
    """
    if namespace is None:
        return _open(port, timeout)
    outcome: list[socket.socket | OSError] = []

    def enter() -> None:
        try:
            descriptor = os.open(f"/proc/{namespace}/ns/net", os.O_RDONLY)
            try:
                # Only this thread moves; the socket stays where it was made.
                if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "cannot enter the reader's network namespace")
            finally:
                os.close(descriptor)
            outcome.append(_open(port, timeout))
        except OSError as error:
            outcome.append(error)

    thread = threading.Thread(target=enter, name="enter-namespace")
    thread.start()
    thread.join()
    result = outcome[0]
    if isinstance(result, OSError):
        raise result
    return result


def _open(port: int, timeout: float) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout)
    connection.settimeout(None)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


class VirtualCard:
    """A chip that can be put into a virtual reader and taken out again, as often as one likes."""

    def __init__(self, card: CardSide, port: int = DEFAULT_PORT, namespace: int | None = None) -> None:
        self._card = card
        self._port = port
        self._namespace = namespace
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None

    def insert(self) -> Self:
        """Put the card on the reader; returns at once, the reader notices within half a second."""
        if self._socket is not None:
            return self
        self._socket = connect(self._port, self._namespace)
        self._thread = threading.Thread(target=self._serve, args=(self._socket,), name="virtual-card", daemon=True)
        self._thread.start()
        return self

    def remove(self) -> None:
        """Take the card away; harmless if it is not there."""
        connection, self._socket = self._socket, None
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(5.0)
            self._thread = None

    def __enter__(self) -> Self:
        return self.insert()

    def __exit__(self, *_exc: object) -> None:
        self.remove()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, EOFError):
            while True:
                message = _receive(connection, int.from_bytes(_receive(connection, 2), "big"))
                if len(message) != 1:
                    try:
                        _send(connection, self._card.process(message))
                    except CardPulled:
                        connection.shutdown(socket.SHUT_RDWR)
                        return
                elif message[0] == _ATR:
                    _send(connection, self._card.atr)
                elif message[0] in {_OFF, _ON, _RESET}:
                    self._card.reset()


def _receive(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        # vpcd sends length and body apart: without an immediate acknowledgement of the first, Nagle's algorithm
        # holds the second for 40 ms, on every command.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        part = connection.recv(size - len(data))
        if not part:
            raise EOFError
        data += part
    return data


def _send(connection: socket.socket, message: bytes) -> None:
    connection.sendall(len(message).to_bytes(2, "big") + message)
