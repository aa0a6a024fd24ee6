"""A chip as files on disk: what was dumped by whatever tool, found by name and cut to what a reader would have read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from firmware_bridge.apdu import tlv
from firmware_bridge.emrtd import files
from firmware_bridge.errors import Code, DocumentError

MAX_FILE = 4 << 20
_INDEFINITE = 0x80


@dataclass(slots=True)
class Dump:
    """Contents by name ("EF.COM", "EF.SOD", "DG1" …), and what was strange about the files."""

    contents: dict[str, bytes] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def groups(self) -> Mapping[int, bytes]:
        """The data groups by number."""
        return {number: self.contents[file.name] for number, file in files.GROUPS.items() if file.name in self.contents}


def _simple(name: str) -> str:
    letters = "".join(char for char in name.lower() if char.isalnum())
    letters = letters.removeprefix("ef")
    number = letters.removeprefix("dg")
    return f"dg{int(number)}" if number != letters and number.isdecimal() else letters


_NAMES = {
    _simple(file.name): file
    for file in (
        files.COM,
        files.SOD,
        files.CARD_ACCESS,
        files.CARD_SECURITY,
        files.ATR_INFO,
        files.DIR,
        *files.GROUPS.values(),
    )
}
_NAMES["atr"] = files.ATR_INFO


def load(folder: Path) -> Dump:
    """Read the files of `folder` whose names say what they are (`EF_SOD.bin`, `dg1.bin`, `DG01`, `EF.COM` …).

    Raises:
        DocumentError: `document.limit` for a file that no chip can hold.
        OSError: the folder cannot be read.
    """
    dump = Dump()
    for path in sorted(folder.iterdir()):
        file = _NAMES.get(_simple(path.stem)) or _NAMES.get(_simple(path.name))
        if file is None or not path.is_file() or file.name in dump.contents:
            continue
        if path.stat().st_size > MAX_FILE:
            raise DocumentError(Code.DOCUMENT_LIMIT, f"{path.name} is larger than any chip's file")
        content = path.read_bytes()
        if content:
            dump.contents[file.name] = _cut(file, content, dump.notes)
    return dump


def _cut(file: files.File, content: bytes, notes: list[str]) -> bytes:
    """The content as its header delimits it, which is what a terminal reads and an issuer hashes."""
    if file.tag is None:
        return content
    try:
        head = tlv.header(content)
    except DocumentError:
        return content
    total = head.size + head.length
    if content[head.size - 1 : head.size] == bytes((_INDEFINITE,)) or total > len(content):
        return content
    if total < len(content):
        notes.append(f"{file.name}: {len(content) - total} bytes after the end were ignored")
    return content[:total]
