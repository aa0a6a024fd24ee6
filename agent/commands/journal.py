"""Which commands were accepted, and which of them have ended: on disk before the command begins.

So a command that arrives twice is done once, also when the first ended this process. Identifiers are kept for longer
than any command lives; only so many are accepted in that time. Time runs forward: a broker that plays old epochs to a
terminal that has just started cannot bring a forgotten command back. When the file is damaged, commands are refused
for as long as one lives: nothing that was done before can then be repeated.
"""

import logging
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from agent import durable
from agent.failures import RenzhengError
from agent.wire.commands import MAX_LIFETIME

_LOG = logging.getLogger(__name__)

_LIMIT = 512 * 1024
#: Accepted commands that can still be repeated; more in that time are refused.
_MOST = 1000
#: How much earlier than at the last accepted command it may be: less than what lies between the end of a command's life
#: and its being forgotten.
_BACKWARDS = MAX_LIFETIME // 2


class _Accepted(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    command_id: str
    name: str
    #: The issuer's time when it was accepted.
    at: int
    ended: bool = False
    ends_process: bool = False


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    accepted: tuple[_Accepted, ...] = ()
    #: The issuer's time before which nothing is accepted, because the list of what was is lost.
    closed_until: int = 0


class CommandJournal:
    """The journal at `path`; every change is on the disk when its method returns."""

    def __init__(self, path: Path) -> None:
        self._path = path
        file = self._read()
        self._lost = file is None
        self._closed_until = 0 if file is None else file.closed_until
        self._accepted = {} if file is None else {entry.command_id: entry for entry in file.accepted}

    def accept(self, command_id: bytes, name: str, *, now: int, ends_process: bool) -> None:
        """Write down that the command is about to be done.

        Raises:
            RenzhengError: `command.repeated`, `command.stale`, `command.too_many`, `command.journal`, or
                `command.disk`; it must not be done.
        """
        if self._lost:
            self._closed_until = now + MAX_LIFETIME
            self._write({})
            self._lost = False
        if now < self._closed_until:
            raise RenzhengError("command.journal", "the list of accepted commands was lost lately")
        if command_id.hex() in self._accepted:
            raise RenzhengError("command.repeated", "this command was accepted before")
        if any(now < entry.at - _BACKWARDS for entry in self._accepted.values()):
            raise RenzhengError("command.stale", "a command was accepted at a later time than this one's")
        kept = {key: entry for key, entry in self._accepted.items() if entry.at > now - 2 * MAX_LIFETIME}
        if len(kept) >= _MOST:
            raise RenzhengError("command.too_many", f"{_MOST} commands were accepted lately")
        kept[command_id.hex()] = _Accepted(command_id=command_id.hex(), name=name, at=now, ends_process=ends_process)
        self._write(kept)

    def end(self, command_id: bytes) -> None:
        """Write down that the command has ended and that its result is on its way."""
        entry = self._accepted[command_id.hex()]
        self._write({**self._accepted, entry.command_id: entry.model_copy(update={"ended": True})})

    def unfinished(self) -> list[tuple[bytes, str, bool]]:
        """Identifier, name and `ends_process` of what the last process accepted and never ended."""
        return [
            (bytes.fromhex(entry.command_id), entry.name, entry.ends_process)
            for entry in self._accepted.values()
            if not entry.ended
        ]

    def _read(self) -> _File | None:
        """The file; None when it is damaged."""
        try:
            content = durable.read(self._path, limit=_LIMIT)
            return _File() if content is None else _File.model_validate_json(content)
        except (OSError, ValidationError):
            _LOG.error("the list of accepted commands is damaged")
            return None

    def _write(self, accepted: dict[str, _Accepted]) -> None:
        file = _File(accepted=tuple(accepted.values()), closed_until=self._closed_until)
        try:
            durable.write(self._path, file.model_dump_json().encode())
        except OSError as error:
            raise RenzhengError("command.disk", f"{self._path}: {error.strerror or error}") from error
        self._accepted = accepted
