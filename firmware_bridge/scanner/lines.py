"""From a scanner's bytes to texts: terminators, prefixes, and machine readable zones that come line by line."""

from __future__ import annotations

import re

#: Longer than any code that a scanner can read.
MAX_TEXT = 8192
#: Lines of each size of machine readable zone.
_ZONE_LINES = {30: 3, 36: 2, 44: 2}
_ZONE = re.compile(r"[A-Z0-9<]+")


class LineAssembler:
    """Collects bytes into texts.

    MRZ swipe readers end each line of a zone as if it were a text: lines of a zone's width are held until the zone is
    whole. `flush` gives what is held, for a caller that has waited long enough; what has not ended by then is noise, or
    half of a code, and must not be put before the next person's.
    """

    def __init__(self, terminator: bytes = b"\r", prefix: bytes = b"") -> None:
        self._terminator = terminator
        self._prefix = prefix
        self._buffer = b""
        self._zone: list[str] = []
        #: Bytes that were too many for a text and were dropped.
        self.dropped = 0

    @property
    def pending(self) -> bool:
        """Whether an unfinished zone or text is held."""
        return bool(self._zone or self._buffer)

    def feed(self, data: bytes) -> list[str]:
        """Take bytes; the texts that are complete by now."""
        self._buffer += data
        texts: list[str] = []
        while self._terminator in self._buffer:
            line, self._buffer = self._buffer.split(self._terminator, 1)
            texts += self._line(line)
        if len(self._buffer) > MAX_TEXT:
            self.dropped += len(self._buffer)
            self._buffer = b""
        return texts

    def flush(self) -> list[str]:
        """The lines that are held, as texts of their own; half a line is forgotten."""
        self.dropped += len(self._buffer)
        self._buffer = b""
        return self._held()

    def _held(self) -> list[str]:
        held, self._zone = self._zone, []
        return ["\n".join(held)] if held else []

    def _line(self, raw: bytes) -> list[str]:
        if len(raw) > MAX_TEXT:
            self.dropped += len(raw)
            return []
        text = clean(raw.removeprefix(self._prefix))
        if not text:
            return []
        wanted = _ZONE_LINES.get(len(text)) if _ZONE.fullmatch(text) else None
        if wanted is None:
            return [*self._held(), text]
        if self._zone and len(self._zone[0]) != len(text):
            earlier = self._held()
            self._zone.append(text)
            return earlier
        self._zone.append(text)
        return self._held() if len(self._zone) == wanted else []


def clean(raw: bytes) -> str:
    """Text from bytes: UTF-8 or else Latin-1, without control characters and blanks around it."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    return "".join(char for char in text if char.isprintable()).strip()
