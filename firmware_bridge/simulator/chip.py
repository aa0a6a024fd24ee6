"""A travel document's chip: files and commands (ICAO Doc 9303-10, 3; ISO/IEC 7816-4), `process(apdu) -> apdu`.

Access protocols and authentications are in `protocols`. A chip keeps no time and knows no transport: `vpcd` puts it
into a reader, `link` gives it the speed of a radio field, `faults` makes it misbehave.
"""

from __future__ import annotations

from firmware_bridge.apdu import status, tlv
from firmware_bridge.apdu.command import CHAINED, Command, Response, decode
from firmware_bridge.apdu.secure import protect_response, unprotect_command
from firmware_bridge.emrtd import files
from firmware_bridge.errors import DocumentError
from firmware_bridge.simulator.personalise import Personalisation
from firmware_bridge.simulator.protocols import Protocols

_FREE = {files.CARD_ACCESS.fid, files.ATR_INFO.fid, files.DIR.fid}
_MASTER, _SM_OVERHEAD = 0x3F00, 35


class PassportChip:
    """One chip in one field; `reset` is what a reader does when it activates it."""

    def __init__(self, memory: Personalisation) -> None:
        self.memory = memory
        self.protocols = Protocols(memory)
        self.reset()

    @property
    def atr(self) -> bytes:
        """The answer to reset that a contactless reader makes of the chip's historical bytes (PC/SC part 3)."""
        capabilities = b"\x80\x73\x00\x00" + (b"\x40" if self.memory.profile.extended else b"\x00")
        body = bytes((0x80 | len(capabilities), 0x80, 0x01)) + capabilities
        check = 0
        for byte in body:
            check ^= byte
        return b"\x3b" + body + bytes((check,))

    def reset(self) -> None:
        """Power on: nothing selected, no session."""
        self._in_application = False
        self._current: int | None = None
        self._pending = b""
        self._chained = b""
        self.protocols.reset()

    def process(self, apdu: bytes) -> bytes:
        """One command as bytes, its response as bytes with the status word."""
        try:
            command = decode(apdu)
        except DocumentError:
            return _word(status.WRONG_LENGTH)
        if command.cla & 0x80:
            return _word(status.CLASS_UNSUPPORTED)
        if command.ins == 0xC0 and not command.cla & 0x0C:
            return self._more(command)
        if command.cla & 0x0C == 0x0C:
            return self._secured(command)
        if command.cla & CHAINED and command.ins != 0x86:
            self._chained += command.data
            return _word(status.OK)
        return self._answer(command, self._run(self._join(command)))

    def _join(self, command: Command) -> Command:
        data, self._chained = self._chained + command.data, b""
        return Command(command.cla, command.ins, command.p1, command.p2, data, command.le)

    def _secured(self, command: Command) -> bytes:
        session = self.protocols.session
        if session is None:
            return _word(status.SM_OBJECTS_WRONG)
        if command.cla & CHAINED and command.ins != 0x86:
            self._chained += command.data
            return _word(status.OK)
        command = self._join(command)
        session.ssc += 1
        try:
            inner = unprotect_command(session.suite, session.ssc, command)
        except DocumentError:
            self.protocols.reset()
            return _word(status.SM_OBJECTS_WRONG)
        response = self._run(inner, secured=True, short=(command.le or 0) <= 256)
        session.ssc += 1
        odd = bool(inner.ins & 1)
        data = protect_response(session.suite, session.ssc, response, odd=odd)
        # New keys take over after the answer to the command that made them.
        self.protocols.switch()
        return self._answer(command, Response(data, response.sw))

    def _answer(self, command: Command, response: Response) -> bytes:
        limit = min(command.le or 256, self.memory.profile.max_response)
        if len(response.data) <= max(limit, 256):
            return response.data + _word(response.sw)
        self._pending = response.data[256:]
        return response.data[:256] + _word(0x6100 | min(len(self._pending), 0xFF))

    def _more(self, command: Command) -> bytes:
        size = command.le or 256
        part, self._pending = self._pending[:size], self._pending[size:]
        if not part:
            return _word(status.CONDITIONS)
        return part + _word(0x6100 | min(len(self._pending), 0xFF) if self._pending else status.OK)

    def _run(self, command: Command, *, secured: bool = False, short: bool = True) -> Response:
        if command.ins == 0xA4:
            return Response(b"", self._select(command, secured=secured))
        if command.ins in {0xB0, 0xB1}:
            return self._read(command, secured=secured, short=short)
        return self.protocols.run(command, secured=secured)

    def _select(self, command: Command, *, secured: bool) -> int:
        if command.p1 == 0x04:
            if command.data != files.AID_LDS1:
                return status.FILE_NOT_FOUND
            if not secured:
                self.protocols.reset()
            self._in_application, self._current = True, None
            return status.OK
        number = int.from_bytes(command.data, "big") if command.data else _MASTER
        if number == _MASTER:
            self._in_application, self._current = False, None
            return status.OK
        if number not in self._directory():
            return status.FILE_NOT_FOUND
        if not self._may_read(number, secured=secured):
            return status.SECURITY_STATUS
        self._current = number
        return status.OK

    def _directory(self) -> dict[int, bytes]:
        return dict(self.memory.application if self._in_application else self.memory.master)

    def _may_read(self, number: int, *, secured: bool) -> bool:
        if not self._in_application:
            return number in _FREE or secured
        return secured or not (self.memory.profile.bac or self.memory.profile.pace)

    def _by_short_identifier(self, sfi: int) -> int | None:
        candidates = (files.CARD_ACCESS, files.CARD_SECURITY, files.ATR_INFO, files.DIR)
        if self._in_application:
            candidates = (files.COM, files.SOD, *files.GROUPS.values())  # type: ignore[assignment]
        return next((file.fid for file in candidates if file.sfi == sfi), None)

    def _read(self, command: Command, *, secured: bool, short: bool) -> Response:
        offset = command.p1 << 8 | command.p2
        if command.ins == 0xB1:
            offset = int.from_bytes(tlv.find(command.data, 0x54) or b"", "big")
        elif command.p1 & 0x80:
            self._current, offset = self._by_short_identifier(command.p1 & 0x1F), command.p2
        content = self._directory().get(self._current) if self._current is not None else None
        if content is None or self._current is None:
            return Response(b"", status.FILE_NOT_FOUND)
        if not self._may_read(self._current, secured=secured):
            return Response(b"", status.SECURITY_STATUS)
        if offset > len(content):
            return Response(b"", status.WRONG_OFFSET)
        le = command.le or 256
        if le > self.memory.profile.largest_read:
            return Response(b"", status.WRONG_LENGTH)
        session = self.protocols.session
        if secured and session is not None:
            room = session.suite.short_chunk if short else self.memory.profile.max_response - _SM_OVERHEAD
            le = min(le, room)
        if command.ins == 0xB1:
            data = content[offset : offset + le - 5]
            return Response(tlv.encode(0x53, data), status.OK)
        data = content[offset : offset + le]
        return Response(data, status.OK if len(data) == le else status.END_OF_FILE)


def _word(sw: int) -> bytes:
    return sw.to_bytes(2, "big")
