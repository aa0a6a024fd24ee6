"""Serial lines that may be pulled at any moment: ports by path or USB id, bounded reads, one kind of error.

pyserial raises three kinds of exceptions when the other end dies, depending on the call; here all are `reader.gone`.
"""

from __future__ import annotations

import contextlib
import errno
import termios
import threading
import time
from collections.abc import Iterator

import serial
from serial.tools import list_ports

from firmware_bridge.errors import Code, DocumentError, ReaderError

_USB = "usb:"
_SLICE = 0.05
_MAX_READ = 4096


def find_port(spec: str) -> str | None:
    """The device path that `spec` means now: a path as it is, or `usb:VID:PID` (hexadecimal) looked up.

    `usb:VID:PID:SERIAL` tells two devices of one kind apart. None if no such device is connected.
    """
    if not spec.startswith(_USB):
        return spec
    vendor, _, rest = spec.removeprefix(_USB).partition(":")
    product, _, number = rest.partition(":")
    for port in list_ports.comports():
        if port.vid is None or port.pid is None:
            continue
        same = f"{port.vid:04x}:{port.pid:04x}" == f"{vendor.lower():0>4}:{product.lower():0>4}"
        if same and (not number or port.serial_number == number):
            return str(port.device)
    return None


@contextlib.contextmanager
def _gone() -> Iterator[None]:
    try:
        yield
    except (OSError, serial.SerialException, termios.error, TypeError) as error:
        # TypeError: pyserial selects on a descriptor that another thread has just closed.
        raise ReaderError(Code.READER_GONE, f"the serial line failed ({type(error).__name__})") from error


class SerialLine:
    """An open serial port, 8 data bits, no parity, 1 stop bit, held exclusively."""

    def __init__(self, spec: str, baud: int) -> None:
        """Open the port.

        Raises:
            ReaderError: `reader.gone`, `reader.busy` (another program holds it), `reader.refused`, or `reader.protocol`
                for a rate that the port does not take.
        """
        path = find_port(spec)
        if path is None:
            raise ReaderError(Code.READER_GONE, f"no device {spec} is connected")
        try:
            self._port = serial.Serial(path, baud, timeout=_SLICE, write_timeout=1.0, exclusive=True)
        except PermissionError as error:
            raise ReaderError(Code.READER_REFUSED, "the serial port may not be opened") from error
        except (ValueError, OverflowError) as error:
            raise ReaderError(Code.READER_PROTOCOL, f"the serial port does not take {baud} baud") from error
        except (OSError, serial.SerialException, termios.error) as error:
            raise ReaderError(
                _open_code(error), f"the serial port cannot be opened ({type(error).__name__})"
            ) from error

    def set_baud(self, baud: int) -> None:
        """Go on at another rate."""
        with _gone():
            self._port.baudrate = baud

    def write(self, data: bytes) -> None:
        """Send bytes."""
        with _gone():
            self._port.write(data)

    def discard(self) -> None:
        """Forget what has arrived."""
        with _gone():
            self._port.reset_input_buffer()

    def read(self, timeout: float, cancel: threading.Event | None = None) -> bytes:
        """What arrives first within `timeout` seconds, at most 4096 bytes; empty if nothing does.

        Raises:
            ReaderError: `reader.gone`.
            DocumentError: `document.cancelled`.
        """
        deadline = time.monotonic() + timeout
        while True:
            left = deadline - time.monotonic()
            with _gone():
                self._port.timeout = max(0.0, min(_SLICE, left))
                data = bytes(self._port.read(1))
                if data:
                    return data + bytes(self._port.read(min(self._port.in_waiting, _MAX_READ)))
            if cancel is not None and cancel.is_set():
                raise DocumentError(Code.DOCUMENT_CANCELLED, "the read was cancelled")
            if left <= 0:
                return b""

    def close(self) -> None:
        """Close the port."""
        with contextlib.suppress(OSError, serial.SerialException, termios.error):
            self._port.close()


def _open_code(error: Exception) -> Code:
    number = getattr(error, "errno", None)
    text = str(error)
    if number in {errno.EACCES, errno.EPERM} or "Permission denied" in text:
        return Code.READER_REFUSED
    if number in {errno.EBUSY, errno.EAGAIN} or "exclusively lock" in text or "busy" in text:
        return Code.READER_BUSY
    return Code.READER_GONE


class Backoff:
    """Seconds to wait between tries at something that is away: doubling, with a cap."""

    def __init__(self, first: float = 0.1, last: float = 2.0) -> None:
        self._first, self._last, self._next = first, last, first

    def reset(self) -> None:
        """It is back."""
        self._next = self._first

    def take(self) -> float:
        """The next pause."""
        pause, self._next = self._next, min(self._next * 2, self._last)
        return pause
