"""Frames of the SAM-V module: preamble, length, content, exclusive-or (GA 467; the vendors' protocol sheets).

The length counts everything after itself, the checksum with it; the checksum covers length and content.
"""

from __future__ import annotations

from typing import NamedTuple

from firmware_bridge.errors import Code, ReaderError

PREAMBLE = bytes.fromhex("AAAAAA9669")
#: The longest reply: text, photo, fingerprints and their lengths, with room to spare.
MAX_CONTENT = 8192
_MAX_BUFFER = 4 * MAX_CONTENT
_STATUS_BYTES, _CHECK = 3, 1


class Reply(NamedTuple):
    """A reply's status bytes and data."""

    sw1: int
    sw2: int
    sw3: int
    data: bytes


def _check(data: bytes) -> int:
    value = 0
    for byte in data:
        value ^= byte
    return value


def encode(content: bytes) -> bytes:
    """A frame around command or status bytes with their data."""
    body = (len(content) + _CHECK).to_bytes(2, "big") + content
    return PREAMBLE + body + bytes((_check(body),))


class FrameParser:
    """Finds frames in a stream that may hold noise, stray bytes and halves of frames."""

    def __init__(self) -> None:
        self._buffer = b""
        #: Bytes that belonged to no frame, and frames whose checksum was wrong.
        self.skipped = 0
        self.damaged = 0

    def feed(self, data: bytes) -> list[Reply]:
        """Take bytes as they arrive; the replies that are complete by now."""
        self._buffer = (self._buffer + data)[-_MAX_BUFFER:]
        found: list[Reply] = []
        while (reply := self._next()) is not None:
            found.append(reply)
        return found

    @property
    def pending(self) -> bool:
        """Whether the beginning of a frame has arrived and its end has not."""
        return self._buffer.startswith(PREAMBLE)

    def clear(self) -> None:
        """Forget what has not become a frame."""
        self._buffer = b""

    def _next(self) -> Reply | None:
        while True:
            start = self._buffer.find(PREAMBLE)
            if start < 0:
                # The preamble's first bytes may have arrived already.
                keep = len(PREAMBLE) - 1
                self.skipped += max(0, len(self._buffer) - keep)
                self._buffer = self._buffer[-keep:]
                return None
            self.skipped += start
            self._buffer = self._buffer[start:]
            body = self._buffer[len(PREAMBLE) :]
            if len(body) < 2:
                return None
            size = int.from_bytes(body[:2], "big")
            if not _STATUS_BYTES + _CHECK <= size <= MAX_CONTENT:
                self._resynchronise()
                continue
            if len(body) < 2 + size:
                if self._buffer.find(PREAMBLE, 1) > 0 and self._later_frame_is_whole():
                    self._resynchronise()
                    continue
                return None
            content = body[2 : 1 + size]
            if _check(body[: 1 + size]) != body[1 + size]:
                self.damaged += 1
                self._resynchronise()
                continue
            self._buffer = body[2 + size :]
            return Reply(content[0], content[1], content[2], content[3:])

    def _resynchronise(self) -> None:
        """Look for the next preamble inside what this one claimed."""
        self._buffer = self._buffer[1:]
        self.skipped += 1

    def _later_frame_is_whole(self) -> bool:
        """Whether a cut-off frame is followed by a whole one: then its rest will never come."""
        start = self._buffer.find(PREAMBLE, 1)
        body = self._buffer[start + len(PREAMBLE) :]
        if len(body) < 2:
            return False
        size = int.from_bytes(body[:2], "big")
        whole = _STATUS_BYTES + _CHECK <= size <= MAX_CONTENT and len(body) >= 2 + size
        return whole and _check(body[: 1 + size]) == body[1 + size]


def decode_dump(data: bytes) -> Reply:
    """A reply from a file: a whole frame, one without its preamble, stray bytes around either.

    Raises:
        ReaderError: `reader.protocol`.
    """
    parser = FrameParser()
    replies = parser.feed(data)
    if replies:
        return max(replies, key=lambda reply: len(reply.data))
    if PREAMBLE not in data:
        for skip in range(min(len(data), len(PREAMBLE) + 1)):
            replies = FrameParser().feed(PREAMBLE + data[skip:])
            if replies:
                return replies[0]
    reason = "its checksum is wrong" if parser.damaged else "it is cut off or something else"
    raise ReaderError(Code.READER_PROTOCOL, f"no whole frame of a SAM-V module: {reason}")
