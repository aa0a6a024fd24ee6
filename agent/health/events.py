"""Events of the log: each has a stable message id and a fixed set of fields, so that nothing personal fits in.

`journalctl MESSAGE_ID=…` finds every occurrence, `journalctl -x` explains it (the package ships the catalogue that
`agent.health.catalog` writes). A field holds a code, a number or a part's name; free text does not pass.
"""

import logging
import re
import uuid
from dataclasses import dataclass

log = logging.getLogger("renzheng")

#: Message ids are derived from the events' names in this namespace: stable, and nobody has to keep a list.
_NAMESPACE = uuid.UUID("6c1d9a52-5a0e-4a57-9f0b-1f7a3b0c8e11")
#: A code, a number, a version, or a part's kind and name ("reader passport").
_VALUE = re.compile(r"(?:reader )?[A-Za-z0-9][A-Za-z0-9._:+-]{0,63}|")

Value = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Event:
    """A kind of event: its name, its level, its fields, and what it means for an operator."""

    name: str
    level: int
    fields: frozenset[str]
    text: str
    meaning: str

    @property
    def message_id(self) -> str:
        """The journal's MESSAGE_ID: 32 hexadecimal digits."""
        return uuid.uuid5(_NAMESPACE, self.name).hex


_EVENTS: dict[str, Event] = {}


def _event(name: str, level: int, fields: str, text: str, meaning: str) -> Event:
    event = _EVENTS[name] = Event(name, level, frozenset(fields.split()), text, meaning)
    return event


STARTED = _event(
    "started", logging.INFO, "version", "renzheng {version} is ready", "The terminal serves. Nothing to do."
)
STOPPED = _event(
    "stopped",
    logging.INFO,
    "reason",
    "stopping: {reason}",
    "The service was asked to stop (signal), or begins anew with other settings or after a command (renewal).",
)
PART_DOWN = _event(
    "part.down",
    logging.WARNING,
    "part code",
    "{part} is down: {code}",
    "The part is tried again by itself and the rest goes on serving. The manual page renzheng-failures(7) has the "
    "cause and the remedy of the code.",
)
PART_UP = _event("part.up", logging.INFO, "part seconds", "{part} is back after {seconds} s", "Nothing to do.")
PART_RESTARTED = _event(
    "part.restarted",
    logging.WARNING,
    "part seconds",
    "{part} made no progress for {seconds} s and is started anew",
    "The device or its driver hung. If it repeats, look at the cable, the power supply and the kernel's log.",
)
PROCESS_GIVEN_UP = _event(
    "process.given_up",
    logging.CRITICAL,
    "part seconds",
    "{part} still makes no progress after {seconds} s: the process asks systemd for a restart",
    "Starting the part anew did not help. The service comes back by itself within seconds; if this repeats, the device "
    "behind the part is broken.",
)
VERIFICATION_ENDED = _event(
    "verification.ended",
    logging.INFO,
    "result code seconds reader",
    "verification {result} {code} in {seconds} s",
    "One verification. No person is named here or anywhere else in the log.",
)
SELF_TEST = _event(
    "self_test.ended",
    logging.INFO,
    "result passed warned failed skipped",
    "self-test: {result} ({failed} failed, {warned} warned)",
    "`renzheng self-test --fix-hints` shows each check with its remedy.",
)
AUDIT_TORN = _event(
    "audit.torn",
    logging.WARNING,
    "bytes",
    "the audit's last record was cut off ({bytes} bytes) and is set aside",
    "Power was lost while a record was written. The chain goes on behind the last whole record.",
)
AUDIT_BROKEN = _event(
    "audit.broken",
    logging.ERROR,
    "file",
    "the audit's file {file} cannot be continued and is set aside",
    "The disk lost data or somebody changed the file. `renzheng audit verify` names the place.",
)


def all_events() -> list[Event]:
    """Every event, for the journal's catalogue and the documentation."""
    return list(_EVENTS.values())


def emit(event: Event, **fields: Value) -> None:
    """Log `event`.

    Raises:
        ValueError: a field is not one of the event's, or its value is free text.
    """
    if set(fields) != event.fields:
        raise ValueError(f"{event.name} has the fields {sorted(event.fields)}")
    for name, value in fields.items():
        if isinstance(value, str) and not _VALUE.fullmatch(value):
            raise ValueError(f"{event.name}: {name} is free text")
    log.log(event.level, event.text.format(**fields), extra={"event": event, "event_fields": fields})
