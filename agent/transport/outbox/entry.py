"""What the outbox holds: entries, their classes, and how much of them."""

from dataclasses import dataclass, field
from enum import IntEnum

from agent.wire.events import PAYLOAD_LIMIT


class Priority(IntEnum):
    """The class of an entry: what is sent first, and what gives way when there is no room.

    A new entry displaces entries of lower classes, lowest class first, oldest first. PROGRESS and REPORT also displace
    the oldest of their own class (a newer report says more than an older one). RESULT and AUDIT never displace their
    equals: then the new entry is refused and the caller is told.
    """

    PROGRESS = 0
    REPORT = 1
    RESULT = 2
    AUDIT = 3

    @property
    def displaces_its_own(self) -> bool:
        """Whether the oldest of this class gives way to a new one."""
        return self <= Priority.REPORT


@dataclass(frozen=True, slots=True)
class Limits:
    """Caps of the outbox. `size` counts the sealed payloads in bytes; the file is about a tenth larger."""

    rows: int = 20_000
    size: int = 32 * 1024 * 1024
    payload: int = PAYLOAD_LIMIT


@dataclass(frozen=True, slots=True)
class Entry:
    """One event on its way. Times are seconds since 1970 by this machine's clock."""

    event_id: bytes
    kind: str
    payload: bytes = field(repr=False)
    priority: Priority
    created: int
    expires: int | None = None


@dataclass(frozen=True, slots=True)
class Fill:
    """How full the outbox is, and what it has had to give up since the last report."""

    rows: int
    size: int
    lost: int
