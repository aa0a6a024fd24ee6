"""Logging: structured fields straight to the journal where it runs, plain lines to standard error elsewhere.

The journal's native protocol (https://systemd.io/JOURNAL_NATIVE_PROTOCOL) rather than lines with a priority prefix:
message ids and fields survive, so that an alert can be made of a code instead of a sentence.

Nothing personal gets through by accident: exceptions are reduced to their type and the places they passed (their texts
may quote what was read from a chip), control characters are taken out, and a message has a length.
"""

import logging
import os
import re
import socket
import traceback
from contextlib import suppress
from pathlib import Path

from agent.failures import RenzhengError
from agent.health.events import Event
from firmware_bridge.errors import BridgeError

JOURNAL = "/run/systemd/journal/socket"
MAX_MESSAGE = 2000
IDENTIFIER = "renzheng"

_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]+")
#: Syslog priorities, as the journal counts them.
_PRIORITY = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))


def configure(level: str) -> None:
    """Send the log of the whole process to the journal, or to standard error when that is no journal."""
    handler: logging.Handler = StderrHandler()
    if _stderr_is_journal():
        with suppress(OSError):
            handler = JournalHandler()
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())


class JournalHandler(logging.Handler):
    """Writes records to the journal's socket."""

    def __init__(self, address: str = JOURNAL) -> None:
        super().__init__()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.connect(address)

    def emit(self, record: logging.LogRecord) -> None:
        """Send one datagram; a journal that is gone is not waited for."""
        fields = {
            "MESSAGE": text_of(record),
            "PRIORITY": str(next((number for level, number in _PRIORITY if record.levelno >= level), 7)),
            "SYSLOG_IDENTIFIER": IDENTIFIER,
            "RENZHENG_LOGGER": record.name,
            "CODE_FILE": record.pathname,
            "CODE_LINE": str(record.lineno),
            "CODE_FUNC": record.funcName or "",
        }
        event = getattr(record, "event", None)
        if isinstance(event, Event):
            fields["MESSAGE_ID"] = event.message_id
            fields["RENZHENG_EVENT"] = event.name
            for name, value in getattr(record, "event_fields", {}).items():
                fields[f"RENZHENG_{name.upper()}"] = str(value)
        with suppress(OSError):
            self._socket.send("".join(f"{name}={_clean(value)}\n" for name, value in fields.items()).encode())

    def close(self) -> None:
        """Release the socket."""
        self._socket.close()
        super().close()


class StderrHandler(logging.StreamHandler):  # type: ignore[type-arg]  # generic only for the type checker
    """One line a record."""

    def format(self, record: logging.LogRecord) -> str:
        """Level, logger and text."""
        return f"{record.levelname.lower()}: {record.name}: {text_of(record)}"


def text_of(record: logging.LogRecord) -> str:
    """The record's message and, of an exception, what can be told without quoting data."""
    text = record.getMessage()
    if record.exc_info and record.exc_info[1] is not None:
        text = f"{text}: {describe(record.exc_info[1])}"
    return _clean(text)


def describe(error: BaseException) -> str:
    """Type, code and places of an exception. Only our own errors promise texts without personal data."""
    told = f": {error}" if isinstance(error, RenzhengError | BridgeError) else ""
    if isinstance(error, OSError) and error.errno is not None:
        told = f": {os.strerror(error.errno)}"
    places = [
        f"{Path(frame.filename).name}:{frame.lineno}({frame.name})"
        for frame in traceback.extract_tb(error.__traceback__)
    ]
    told += f" at {' > '.join(places[-8:])}" if places else ""
    if isinstance(error, BaseExceptionGroup):
        told += f" of [{'; '.join(describe(part) for part in error.exceptions[:4])}]"
    return f"{type(error).__name__}{told}"


def _clean(text: str) -> str:
    cleaned = _CONTROL.sub(" ", text)
    return cleaned if len(cleaned) <= MAX_MESSAGE else f"{cleaned[:MAX_MESSAGE]}…"


def _stderr_is_journal() -> bool:
    """Whether standard error is the journal's stream (systemd.exec(5), JOURNAL_STREAM)."""
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        found = os.fstat(2)
    except OSError:
        return False
    return (device, inode) == (str(found.st_dev), str(found.st_ino))
