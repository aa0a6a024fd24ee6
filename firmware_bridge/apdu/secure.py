"""Secure messaging (ICAO Doc 9303-11, 9.8): 3DES with retail MAC, AES with CMAC.

`SecureChannel` is the terminal's side, `unprotect_command` and `protect_response` are the chip's.
"""

from typing import NamedTuple, Protocol

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC
from cryptography.hazmat.primitives.constant_time import bytes_eq

from firmware_bridge.apdu import status, tlv
from firmware_bridge.apdu.channel import Channel, ExtendedRefusedError
from firmware_bridge.apdu.command import EXTENDED_RESPONSE, SHORT_RESPONSE, Command, Response
from firmware_bridge.errors import Code, DocumentError

_PLAIN_DATA, _CRYPTOGRAM, _EXPECTED, _STATUS, _CHECKSUM = 0x85, 0x87, 0x97, 0x99, 0x8E
_PROTECTED = 0x0C
#: Bytes that wrap a response's data at most: headers, padding indicator, one block of padding, status and checksum.
OVERHEAD = 1 + 3 + 1 + 16 + 4 + 10


def pad(data: bytes, block: int) -> bytes:
    """ISO/IEC 9797-1 padding method 2."""
    return data + b"\x80" + bytes(-(len(data) + 1) % block)


def unpad(data: bytes) -> bytes:
    """Remove padding method 2.

    Raises:
        DocumentError: `document.secure_messaging` if it is not there.
    """
    stripped = data.rstrip(b"\x00")
    if not stripped.endswith(b"\x80"):
        raise DocumentError(Code.DOCUMENT_SECURE_MESSAGING, "decrypted data has no padding")
    return stripped[:-1]


class Suite(Protocol):
    """The two keys of a session with their algorithms; `ssc` is the send sequence counter."""

    block: int
    #: Bytes of file that fit a short response.
    short_chunk: int

    def encrypt(self, ssc: int, padded: bytes) -> bytes:
        """CBC over whole blocks, with the initial vector that belongs to `ssc`."""

    def decrypt(self, ssc: int, data: bytes) -> bytes:
        """The inverse of `encrypt`."""

    def mac(self, ssc: int, padded: bytes) -> bytes:
        """8 bytes over the counter and whole blocks."""

    def token(self, data: bytes) -> bytes:
        """8 bytes over `data` alone: authentication tokens."""


class TripleDesSuite:
    """Two-key 3DES in CBC mode with a zero initial vector, retail MAC (ISO/IEC 9797-1 algorithm 3)."""

    block = 8
    short_chunk = 231

    def __init__(self, encryption_key: bytes, mac_key: bytes) -> None:
        self._cipher = Cipher(TripleDES(encryption_key + encryption_key[:8]), modes.CBC(bytes(8)))
        first = mac_key[:8]
        # DES alone is 3DES with one key three times; E(K1) D(K2) E(K1) of the last block is 3DES itself.
        self._single = Cipher(TripleDES(first * 3), modes.CBC(bytes(8)))
        self._final = Cipher(TripleDES(mac_key + first), modes.ECB())  # noqa: S305 - one block of a retail MAC

    def encrypt(self, ssc: int, padded: bytes) -> bytes:
        """See `Suite.encrypt`."""
        return self._cipher.encryptor().update(padded)

    def decrypt(self, ssc: int, data: bytes) -> bytes:
        """See `Suite.decrypt`."""
        return self._cipher.decryptor().update(data)

    def mac(self, ssc: int, padded: bytes) -> bytes:
        """See `Suite.mac`."""
        return self.retail_mac(ssc.to_bytes(8, "big") + padded)

    def token(self, data: bytes) -> bytes:
        """See `Suite.token`."""
        return self.retail_mac(pad(data, 8))

    def retail_mac(self, padded: bytes) -> bytes:
        """The MAC over whole blocks."""
        last = int.from_bytes(padded[-8:], "big")
        if len(padded) > 8:
            last ^= int.from_bytes(self._single.encryptor().update(padded[:-8])[-8:], "big")
        return self._final.encryptor().update(last.to_bytes(8, "big"))


class AesSuite:
    """AES in CBC mode with the encrypted counter as initial vector, CMAC cut to 8 bytes."""

    block = 16
    short_chunk = 223

    def __init__(self, encryption_key: bytes, mac_key: bytes) -> None:
        self._key = algorithms.AES(encryption_key)
        self._mac_key = algorithms.AES(mac_key)
        self._vector = Cipher(self._key, modes.ECB())  # noqa: S305 - one block: the initial vector

    def _mode(self, ssc: int) -> modes.CBC:
        return modes.CBC(self._vector.encryptor().update(ssc.to_bytes(16, "big")))

    def encrypt(self, ssc: int, padded: bytes) -> bytes:
        """See `Suite.encrypt`."""
        return Cipher(self._key, self._mode(ssc)).encryptor().update(padded)

    def decrypt(self, ssc: int, data: bytes) -> bytes:
        """See `Suite.decrypt`."""
        return Cipher(self._key, self._mode(ssc)).decryptor().update(data)

    def mac(self, ssc: int, padded: bytes) -> bytes:
        """See `Suite.mac`."""
        return self.token(ssc.to_bytes(16, "big") + padded)

    def token(self, data: bytes) -> bytes:
        """See `Suite.token`."""
        cmac = CMAC(self._mac_key)
        cmac.update(data)
        return cmac.finalize()[:8]


class SecureChannel:
    """Commands under secure messaging, on top of a plain channel."""

    def __init__(self, channel: Channel, suite: Suite, ssc: int = 0) -> None:
        self._channel = channel
        self._suite = suite
        self._ssc = ssc
        self.extended = channel.extended
        self.short_chunk = suite.short_chunk

    @property
    def plain(self) -> Channel:
        """The channel underneath."""
        return self._channel

    def transmit(self, command: Command) -> Response:
        """See `Channel.transmit`.

        Raises:
            DocumentError: `document.secure_messaging` for an answer that is not protected, or wrongly so.
        """
        self._ssc += 1
        protected = self._protect(command)
        response = self._channel.transmit(protected)
        if response.sw == status.WRONG_LENGTH and not response.data and protected.extended:
            raise ExtendedRefusedError
        self._ssc += 1
        return self._unprotect(response)

    def _protect(self, command: Command) -> Command:
        suite = self._suite
        cla = command.cla | _PROTECTED
        header = bytes((cla, command.ins, command.p1, command.p2))
        body = b""
        if command.data:
            encrypted = suite.encrypt(self._ssc, pad(command.data, suite.block))
            if command.ins & 1:
                body = tlv.encode(_PLAIN_DATA, encrypted)
            else:
                body = tlv.encode(_CRYPTOGRAM, b"\x01" + encrypted)
        le = SHORT_RESPONSE
        if command.le is not None:
            if command.le > SHORT_RESPONSE:
                le = EXTENDED_RESPONSE
                body += tlv.encode(_EXPECTED, (command.le & 0xFFFF).to_bytes(2, "big"))
            else:
                body += tlv.encode(_EXPECTED, bytes((command.le & 0xFF,)))
        authenticated = pad(header, suite.block)
        if body:
            authenticated += pad(body, suite.block)
        body += tlv.encode(_CHECKSUM, suite.mac(self._ssc, authenticated))
        if len(body) > 255 and self.extended:
            le = EXTENDED_RESPONSE
        return Command(cla, command.ins, command.p1, command.p2, body, le)

    def _unprotect(self, response: Response) -> Response:
        data, sw = response
        if not data:
            raise DocumentError(Code.DOCUMENT_SECURE_MESSAGING, f"the chip left secure messaging: {status.meaning(sw)}")
        suite = self._suite
        protected = _parse_response(data)
        if not bytes_eq(suite.mac(self._ssc, pad(protected.covered, suite.block)), protected.checksum):
            raise DocumentError(Code.DOCUMENT_SECURE_MESSAGING, "an answer's checksum is wrong")
        if protected.encrypted is None:
            return Response(b"", protected.sw)
        if not protected.encrypted or len(protected.encrypted) % suite.block:
            raise DocumentError(Code.DOCUMENT_SECURE_MESSAGING, "a cryptogram of broken blocks")
        return Response(unpad(suite.decrypt(self._ssc, protected.encrypted)), protected.sw)


class _Protected(NamedTuple):
    covered: bytes
    encrypted: bytes | None
    sw: int
    checksum: bytes


def _parse_response(data: bytes) -> _Protected:
    encrypted = sw = None
    for tag, value, start, _end in tlv.parse(data):
        if tag == _CHECKSUM:
            if sw is None or len(sw) != 2:
                break
            return _Protected(data[:start], encrypted, int.from_bytes(sw, "big"), value)
        if tag == _CRYPTOGRAM:
            if value[:1] != b"\x01":
                raise DocumentError(Code.DOCUMENT_SECURE_MESSAGING, "unknown padding indicator")
            encrypted = value[1:]
        elif tag == _PLAIN_DATA:
            encrypted = value
        elif tag == _STATUS:
            sw = value
    raise DocumentError(Code.DOCUMENT_SECURE_MESSAGING, "an answer without protected status or checksum")


def unprotect_command(suite: Suite, ssc: int, command: Command) -> Command:
    """The chip's side: check and open a protected command.

    Raises:
        DocumentError: `document.secure_messaging`.
    """
    objects = tlv.parse(command.data)
    values = {item.tag: item.value for item in objects}
    covered = b"".join(command.data[item.start : item.end] for item in objects if item.tag != _CHECKSUM)
    authenticated = pad(command.header, suite.block)
    if covered:
        authenticated += pad(covered, suite.block)
    if not bytes_eq(suite.mac(ssc, authenticated), values.get(_CHECKSUM, b"")):
        raise DocumentError(Code.DOCUMENT_SECURE_MESSAGING, "a command's checksum is wrong")
    data = b""
    if _CRYPTOGRAM in values:
        data = unpad(suite.decrypt(ssc, values[_CRYPTOGRAM][1:]))
    elif _PLAIN_DATA in values:
        data = unpad(suite.decrypt(ssc, values[_PLAIN_DATA]))
    le = None
    if _EXPECTED in values:
        expected = values[_EXPECTED]
        le = int.from_bytes(expected, "big") or (EXTENDED_RESPONSE if len(expected) > 1 else SHORT_RESPONSE)
    return Command(command.cla & ~_PROTECTED, command.ins, command.p1, command.p2, data, le)


def protect_response(suite: Suite, ssc: int, response: Response, *, odd: bool = False) -> bytes:
    """The chip's side: the protected data field of `response`, to be followed by its status word."""
    body = b""
    if response.data:
        encrypted = suite.encrypt(ssc, pad(response.data, suite.block))
        body = tlv.encode(_PLAIN_DATA, encrypted) if odd else tlv.encode(_CRYPTOGRAM, b"\x01" + encrypted)
    body += tlv.encode(_STATUS, response.sw.to_bytes(2, "big"))
    return body + tlv.encode(_CHECKSUM, suite.mac(ssc, pad(body, suite.block)))
