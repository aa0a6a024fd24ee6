"""The one protocol that every reader speaks.

Calls block and belong to one thread per reader; each takes a bound on its time. `cancel` may be set from any thread
and ends a call with `document.cancelled` within 100 ms where the bus allows it.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Protocol

from firmware_bridge.document import Document


@dataclass(frozen=True, slots=True, repr=False)
class MrzKey:
    """The part of the MRZ that opens a chip (ICAO Doc 9303-11, 4.3.2 and 4.4.3.3)."""

    document_number: str
    birth_date: date
    expiry_date: date


@dataclass(frozen=True, slots=True, repr=False)
class CanKey:
    """The card access number printed on the document: six digits."""

    can: str


AccessKey = MrzKey | CanKey


class EventKind(StrEnum):
    """What a reader tells."""

    PRESENTED = "presented"
    REMOVED = "removed"
    #: Text arrived by itself: a scanned code or a swiped MRZ (`text` of the event).
    SCANNED = "scanned"
    #: The reader went away or came back; told once each, not at every retry.
    GONE = "gone"
    BACK = "back"


@dataclass(frozen=True, slots=True)
class ReaderEvent:
    """One event of one reader."""

    kind: EventKind
    reader: str
    text: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a read is: the step's name, bytes read and expected in all (0 when not yet known)."""

    step: str
    done: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True, repr=False)
class ReadRequest:
    """What the caller wants of one read."""

    key: AccessKey | None = None
    #: The verifier's nonce for active authentication (8 bytes, ICAO Doc 9303-11, 6.1).
    nonce: bytes = b""
    #: Seconds for the whole read.
    timeout: float = 15.0
    #: A chip that offers PACE may be read by BAC all the same (the evidence will say so).
    allow_bac_fallback: bool = False
    progress: Callable[[Progress], None] = lambda _progress: None
    cancel: threading.Event = field(default_factory=threading.Event)


class DocumentReader(Protocol):
    """A source of documents (or, for scanners, of text)."""

    @property
    def name(self) -> str:
        """The reader's name in settings, events and the self-test."""

    def wait(self, timeout: float) -> ReaderEvent | None:
        """The next event within `timeout` seconds, or None. Never raises for an absent reader: that is an event."""

    def read(self, request: ReadRequest) -> Document:
        """Read the document that is present.

        Raises:
            BridgeError: with the code that says why; nothing is returned in part.
        """

    def close(self) -> None:
        """Release the reader; a call that waits ends."""
