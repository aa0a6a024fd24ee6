"""The audit: an append-only file of records, each chained to the one before by SHA-256 and signed by the device key.

A record holds an event, codes, numbers and digests, never a person. One line a record:

    {"record": {"seq": 7, "time": …, "event": …, "prev": "<sha256 of line 6>", …}, "signature": "<base64url>"}

A changed, missing or reordered line breaks the chain. A cut tail does not: `Audit.head` goes to the issuer with every
telemetry message, and `renzheng audit verify --head` holds the file against it.
"""

import base64
import errno
import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Protocol

from agent.failures import RenzhengError
from agent.health import events

#: A segment is closed at this size, and this many are kept: 8 MiB, some forty thousand verifications.
SEGMENT_BYTES = 1 << 20
SEGMENTS = 8
MAX_LINE = 4096
GENESIS = "0" * 64
#: Ends the name of a file that could not be continued.
BROKEN = ".broken"

_NAME = re.compile(r"audit-(\d{10})\.jsonl")
_EVENT = re.compile(r"[a-z_]+(?:\.[a-z_]+)*")
#: What a value may look like: codes, versions, hexadecimal. No space, no word with a capital, no other script.
_VALUE = re.compile(r"[a-z0-9][a-z0-9._:+-]{0,127}|")
_RESERVED = frozenset({"seq", "time", "event", "prev"})

Value = str | int | float | bool


class Signs(Protocol):
    """What the audit asks of the device key."""

    def sign(self, message: bytes) -> bytes:
        """A raw signature of `message`."""


@dataclass(frozen=True, slots=True)
class Head:
    """The newest record: its number and the digest of its line."""

    seq: int
    digest: str

    def __str__(self) -> str:
        return f"{self.seq}:{self.digest}"


class Audit:
    """Appends records; one process writes. Not safe between threads: it belongs to one."""

    def __init__(self, folder: Path, signer: Signs, *, clock: Callable[[], float] = time.time) -> None:
        """Continue the chain in `folder` (made if absent, mode 0700).

        Raises:
            RenzhengError: `audit.unwritable`.
        """
        self._folder, self._signer, self._clock = folder, signer, clock
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._head = self._resume()
        except OSError as error:
            raise RenzhengError("audit.unwritable", f"{folder}: {error.strerror}") from error

    @property
    def head(self) -> Head:
        """The newest record."""
        return self._head

    def append(self, event: str, **fields: Value) -> Head:
        """Write one record and wait until it is on the disk.

        Raises:
            ValueError: a field or its value could hold something personal.
            RenzhengError: `audit.unwritable`; the chain stays whole.
        """
        _refuse_free_text(event, fields)
        seq = self._head.seq + 1
        record = {**fields, "seq": seq, "time": round(self._clock(), 3), "event": event, "prev": self._head.digest}
        line = encode(record, self._signer.sign(canonical(record)))
        try:
            self._write(seq, line)
        except OSError as error:
            raise RenzhengError("audit.unwritable", f"{self._folder}: {error.strerror}") from error
        self._head = Head(seq, digest_of(line))
        return self._head

    def _write(self, seq: int, line: bytes) -> None:
        files = segments(self._folder)
        new = not files or files[-1].stat().st_size + len(line) > SEGMENT_BYTES
        path = self._folder / f"audit-{seq:010}.jsonl" if new else files[-1]
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            whole = False
            try:
                written = os.write(descriptor, line)
                os.fdatasync(descriptor)
                whole = written == len(line)
            finally:
                # Half a line would break the chain for every record behind it.
                if not whole:
                    os.ftruncate(descriptor, size)
            if not whole:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            os.close(descriptor)
        if new:
            _sync_folder(self._folder)
            for old in files[: len(files) + 1 - SEGMENTS]:
                old.unlink()

    def _resume(self) -> Head:
        """The head of what is there; a line that a power cut left half is set aside."""
        files = segments(self._folder)
        if not files:
            return Head(0, GENESIS)
        content = files[-1].read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            events.emit(events.AUDIT_TORN, bytes=len(content) - whole)
            os.truncate(files[-1], whole)
        lines = content[:whole].splitlines(keepends=True)
        if not lines:
            files[-1].unlink()
            return self._resume()
        try:
            return Head(seq_of(parse(lines[-1])[0]), digest_of(lines[-1]))
        except ValueError:
            # The terminal goes on; what is set aside stays for `renzheng audit verify` to name.
            events.emit(events.AUDIT_BROKEN, file=files[-1].name)
            files[-1].rename(_unused(files[-1].with_suffix(BROKEN)))
            return self._resume()


def segments(folder: Path) -> list[Path]:
    """The audit's files, oldest first."""
    return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))


def set_aside(folder: Path) -> list[Path]:
    """The files that the agent could not continue: what they held is in no chain."""
    return sorted(path for path in folder.iterdir() if BROKEN in path.suffixes)


def lines_of(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every line with its place (file name and line number), oldest first."""
    for path in segments(folder):
        with path.open("rb") as file:
            for number, line in enumerate(iter(lambda: file.readline(MAX_LINE + 1), b""), 1):
                yield f"{path.name}:{number}", line


def canonical(record: Mapping[str, object]) -> bytes:
    """The bytes that are signed: JSON with sorted keys and no spaces."""
    return json.dumps(record, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def encode(record: Mapping[str, object], signature: bytes) -> bytes:
    """One line."""
    return canonical({"record": record, "signature": base64.urlsafe_b64encode(signature).decode()}) + b"\n"


def parse(line: bytes) -> tuple[dict[str, object], bytes]:
    """The record and the signature of a line.

    Raises:
        ValueError: not a line of an audit.
    """
    try:
        parsed = json.loads(line)
    except RecursionError:
        raise ValueError("not a record") from None
    if not isinstance(parsed, dict) or parsed.keys() != {"record", "signature"}:
        raise ValueError("not a record")
    record, signature = parsed["record"], parsed["signature"]
    if not isinstance(record, dict) or not record.keys() >= _RESERVED or not isinstance(signature, str):
        raise ValueError("not a record")
    decoded = base64.urlsafe_b64decode(signature)
    # One way to write a record: what could be written twice, the newest line above all, could be changed unseen.
    if encode(record, decoded) != line:
        raise ValueError("not a record")
    return record, decoded


def seq_of(record: Mapping[str, object]) -> int:
    """The record's number.

    Raises:
        ValueError: it has none.
    """
    seq = record["seq"]
    if isinstance(seq, int):
        return seq
    raise ValueError("no number")


def digest_of(line: bytes) -> str:
    """What the next record names as `prev`."""
    return hashlib.sha256(line).hexdigest()


def _refuse_free_text(event: str, fields: Mapping[str, Value]) -> None:
    if not _EVENT.fullmatch(event) or not _RESERVED.isdisjoint(fields):
        raise ValueError(f"{event} is no event of the audit, or uses a reserved field")
    for name, value in fields.items():
        if isinstance(value, str) and not _VALUE.fullmatch(value):
            raise ValueError(f"{event}: {name} is free text")


def _unused(path: Path) -> Path:
    """`path`, or the first of `path.1`, `path.2` and so on that is not taken."""
    numbered = (path.with_name(f"{path.name}.{number}") for number in count(1))
    return next(free for free in chain((path,), numbered) if not free.exists())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
