"""The elementary files of an eMRTD and how they are read with few commands (ICAO Doc 9303-10, 3 and 4)."""

from collections.abc import Callable
from typing import NamedTuple

from firmware_bridge.apdu import status, tlv
from firmware_bridge.apdu.channel import Channel
from firmware_bridge.apdu.command import EXTENDED_RESPONSE, SHORT_RESPONSE, Command, Response
from firmware_bridge.apdu.secure import OVERHEAD
from firmware_bridge.errors import Code, DocumentError

AID_LDS1 = bytes.fromhex("A0000002471001")
_SELECT_AID = Command(0x00, 0xA4, 0x04, 0x0C, AID_LDS1)
_READ_BINARY, _READ_BINARY_ODD = 0xB0, 0xB1
#: Offsets from here on need the odd instruction.
_FAR = 0x8000
_FALLBACK = (192, 128)
#: Tag and length of the object that wraps what the odd instruction reads.
_WRAPPING = 5
_READ_OK = {status.OK, status.END_OF_FILE}
#: What chips say of a length that they do not like.
_LENGTH_REFUSED = {status.WRONG_LENGTH, status.WRONG_OFFSET, status.WRONG_P1P2, status.UNKNOWN}
_ABSENT = {status.FILE_NOT_FOUND, status.REFERENCE_NOT_FOUND}
_DENIED = {status.SECURITY_STATUS, status.CONDITIONS, 0x6986}


class File(NamedTuple):
    """An elementary file: its name, identifiers, and the tag of the one object that it holds (None: several)."""

    name: str
    fid: int
    sfi: int
    tag: int | None


CARD_ACCESS = File("EF.CardAccess", 0x011C, 0x1C, 0x31)
CARD_SECURITY = File("EF.CardSecurity", 0x011D, 0x1D, 0x30)
ATR_INFO = File("EF.ATR/INFO", 0x2F01, 0x01, None)
DIR = File("EF.DIR", 0x2F00, 0x1E, 0x61)
COM = File("EF.COM", 0x011E, 0x1E, 0x60)
SOD = File("EF.SOD", 0x011D, 0x1D, 0x77)
_GROUP_TAGS = (0x61, 0x75, 0x63, 0x76, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6A, 0x6B, 0x6C, 0x6D, 0x6E, 0x6F, 0x70)
GROUPS: dict[int, File] = {
    number: File(f"DG{number}", 0x0100 | number, number, tag) for number, tag in enumerate(_GROUP_TAGS, start=1)
}


def group_of_tag(tag: int) -> int | None:
    """The data group that a tag in EF.COM stands for."""
    return _GROUP_TAGS.index(tag) + 1 if tag in _GROUP_TAGS else None


def select_application(channel: Channel) -> None:
    """Select the eMRTD application.

    Raises:
        DocumentError: `document.unknown` if the chip has none.
    """
    sw = channel.transmit(_SELECT_AID).sw
    if sw == status.FILE_NOT_FOUND:
        raise DocumentError(Code.DOCUMENT_UNKNOWN, "the chip holds no travel document application")
    if sw != status.OK:
        raise DocumentError(Code.DOCUMENT_UNKNOWN, f"the travel document application refuses: {status.meaning(sw)}")


class FileReader:
    """Reads whole files over one channel.

    The first command takes header and body together; the rest of a long file follows in one command where the chip
    takes extended lengths, else in as large pieces as it does take.
    """

    def __init__(
        self,
        channel: Channel,
        *,
        short_chunk: int = SHORT_RESPONSE,
        max_response: int = EXTENDED_RESPONSE,
        progress: Callable[[str, int, int], None] = lambda _name, _done, _total: None,
    ) -> None:
        self._transmit = channel.transmit
        self._short = short_chunk
        self._large = max(short_chunk, max_response - OVERHEAD) if channel.extended else short_chunk
        self._progress = progress

    def read(self, file: File, *, by_fid: bool = False, optional: bool = False) -> bytes | None:
        """The file's content, or None if the chip does not have it.

        Args:
            file: which one.
            by_fid: select it first: for chips that take no short identifiers.
            optional: take any refusal for absence; chips without PACE have many words for "no such file".

        Raises:
            DocumentError: `document.access` if it may not be read, `document.malformed`, `document.limit`.
        """
        data, sw = self._select_and_begin(file) if by_fid else self._begin(0x80 | file.sfi)
        if sw in _ABSENT or (optional and by_fid and sw not in _READ_OK):
            return None
        if sw in _DENIED and not optional:
            raise DocumentError(Code.DOCUMENT_ACCESS, f"{file.name} may not be read: {status.meaning(sw)}")
        if sw not in _READ_OK:
            if by_fid:
                raise DocumentError(Code.DOCUMENT_MALFORMED, f"{file.name} cannot be read: {status.meaning(sw)}")
            return self.read(file, by_fid=True, optional=optional)
        if not data:
            return None
        return self._rest(file, data)

    def _select_and_begin(self, file: File) -> Response:
        answer = self._transmit(Command(0x00, 0xA4, 0x02, 0x0C, file.fid.to_bytes(2, "big")))
        return self._begin(0x00) if answer.sw == status.OK else answer

    def _begin(self, p1: int) -> Response:
        answer = self._transmit(Command(0x00, _READ_BINARY, p1, 0, le=self._short))
        for smaller in _FALLBACK:
            exact = answer.sw & 0xFF if answer.sw >> 8 == 0x6C and not answer.data else 0
            if not exact and (answer.sw not in _LENGTH_REFUSED or smaller >= self._short):
                break
            self._short = exact or smaller
            self._large = max(self._large, self._short) if self._large > SHORT_RESPONSE else self._short
            answer = self._transmit(Command(0x00, _READ_BINARY, p1, 0, le=self._short))
        return answer

    def _rest(self, file: File, data: bytes) -> bytes:
        if file.tag is None:
            # Objects side by side, in all as few bytes as one command brings.
            return data
        head = tlv.header(data)
        if head.tag != file.tag:
            raise DocumentError(
                Code.DOCUMENT_MALFORMED, f"{file.name} begins with {head.tag:X} and not with {file.tag:X}"
            )
        total = head.size + head.length
        parts, done = [data], len(data)
        self._progress(file.name, min(done, total), total)
        while done < total:
            piece = self._piece(file, done, total - done)
            parts.append(piece)
            done += len(piece)
            self._progress(file.name, min(done, total), total)
        return b"".join(parts)[:total]

    def _piece(self, file: File, offset: int, left: int) -> bytes:
        size = min(self._large, left)
        if self._short < size <= SHORT_RESPONSE:
            # Short enough to be asked for in a short command, whose answer would be too long once it is protected.
            size = self._short
        data, sw = self._read_at(offset, size)
        if sw in _LENGTH_REFUSED and size > self._short:
            # The chip announced extended lengths and does not take them.
            self._large = self._short
            return self._piece(file, offset, left)
        if sw not in _READ_OK:
            raise DocumentError(Code.DOCUMENT_MALFORMED, f"{file.name} breaks off: {status.meaning(sw)}")
        if not data:
            raise DocumentError(Code.DOCUMENT_MALFORMED, f"{file.name} ends at byte {offset}, {left} are missing")
        return data[:left]

    def _read_at(self, offset: int, size: int) -> Response:
        if offset < _FAR:
            return self._transmit(Command(0x00, _READ_BINARY, offset >> 8, offset & 0xFF, le=size))
        where = tlv.encode(0x54, offset.to_bytes((offset.bit_length() + 7) // 8, "big"))
        # The answer wraps the bytes in a discretionary object, and is no longer with it than a chip takes.
        limit = self._large if size > self._short else self._short
        answer = self._transmit(Command(0x00, _READ_BINARY_ODD, 0, 0, where, min(size + _WRAPPING, limit)))
        if answer.sw not in _READ_OK:
            return answer
        return Response(tlv.require(answer.data, 0x53), answer.sw)
