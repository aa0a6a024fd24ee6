"""Personal data and secrets in text and files: taken out of the diagnostics bundle, looked for on the terminal's disk.

The patterns are those of what a terminal handles: machine-readable lines (ICAO Doc 9303-3), resident identity numbers
(GB 11643), document numbers, dates, pictures, keys. In a bundle they err on the side of taking out too much: it is read
by strangers.
"""

import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_RESIDENT = r"(?<![0-9a-fA-F])[1-9]\d{5}(?:19|20)\d\d(?:0[1-9]|1[0-2])\d{5}[\dXx](?![0-9a-fA-F])"
#: The same as a card's chip stores it, in UTF-16 with the low byte first.
_RESIDENT_16 = rb"[1-9]\0(?:\d\0){5}(?:1\x009|2\x000)\0(?:\d\0){2}[01]\0\d\0[0-3]\0(?:\d\0){4}[\dXx]\0"
#: A line with fillers; and one without, by its dates of birth and expiry with their check digits around the sex.
_MRZ = r"[A-Z0-9<]{5,44}<<[A-Z0-9<]{5,44}|[A-Z0-9<]{0,13}[0-9<]{6}[0-9][MFX<][0-9]{7}[A-Z0-9<]{0,16}"

#: What must never be found on a terminal's disk, by kind. Bytes, because a database is no text.
PERSONAL: tuple[tuple[str, re.Pattern[bytes]], ...] = (
    ("machine-readable lines", re.compile(_MRZ.encode())),
    ("resident identity number", re.compile(_RESIDENT.encode())),
    ("resident identity number", re.compile(_RESIDENT_16)),
    ("JPEG picture", re.compile(rb"\xff\xd8\xff[\xdb\xe0\xe1\xee]")),
    ("JPEG 2000 picture", re.compile(rb"\x00\x00\x00\x0cjP  |\xff\x4f\xff\x51")),
    ("PNG picture", re.compile(rb"\x89PNG\r\n")),
)

#: What is taken out of a bundle's text, in this order.
_TAKEN_OUT: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("private key", re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----", re.DOTALL)),
    ("machine-readable lines", re.compile(_MRZ)),
    ("resident identity number", re.compile(_RESIDENT)),
    ("credentials", re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)")),
    ("e-mail address", re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}\.[\w.]+")),
    ("document number", re.compile(r"(?<![\w-])[A-Z]{1,2}\d[A-Z0-9]{5,9}(?![\w-])")),
    ("date of a person", re.compile(r"(?i)(?:birth|born|expir\w*|出生)\D{0,12}\d{2,4}[-/.年]?\d{2}[-/.月]?\d{2}日?")),
    ("opaque data", re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{80,}={0,2}")),
    # Names hold rare characters (the extensions, and the private ones that cards use), and one alone between spaces.
    ("Chinese text", re.compile(r"[\u3400-\u9fff\ue000-\ufaff\U00020000-\U000323af]+")),
)

#: A file larger than this is read in overlapping pieces.
PIECE = 1 << 20
OVERLAP = 256


@dataclass(frozen=True, slots=True)
class Finding:
    """Personal data in a file: where and of what kind, never what."""

    path: Path
    kind: str
    offset: int


def redact(text: str) -> str:
    """`text` with everything that could be personal or secret replaced by its kind."""
    for kind, pattern in _TAKEN_OUT:
        text = pattern.sub(f"[{kind} taken out]", text)
    return text


def scan(folder: Path, *, except_for: frozenset[str] = frozenset()) -> Iterator[Finding]:
    """Personal data in the files under `folder`; files called one of `except_for` are passed over.

    Raises:
        OSError: something there cannot be read. What goes away meanwhile is passed over.
    """
    for place, _folders, names in os.walk(folder, onerror=_refuse):
        for path in (Path(place, name) for name in sorted(names) if name not in except_for):
            with suppress(FileNotFoundError):
                if stat.S_ISREG(path.lstat().st_mode):
                    yield from _scan_file(path)


def _refuse(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _scan_file(path: Path) -> Iterator[Finding]:
    found: set[str] = set()
    with path.open("rb") as file:
        offset, tail = 0, b""
        while piece := file.read(PIECE):
            window = tail + piece
            for kind, pattern in PERSONAL:
                if kind not in found and (match := pattern.search(window)):
                    found.add(kind)
                    yield Finding(path, kind, offset - len(tail) + match.start())
            offset += len(piece)
            tail = window[-OVERLAP:]
