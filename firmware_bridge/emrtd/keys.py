"""Key derivation for BAC, PACE and chip authentication (ICAO Doc 9303-11, 9.7)."""

import hashlib
from enum import StrEnum

from firmware_bridge.apdu.secure import AesSuite, Suite, TripleDesSuite
from firmware_bridge.emrtd import mrz
from firmware_bridge.errors import Code, DocumentError
from firmware_bridge.reader import AccessKey, MrzKey

_ENCRYPTION, _MAC, _PASSWORD = 1, 2, 3


class CipherName(StrEnum):
    """The ciphers that a protocol's object identifier can name."""

    TRIPLE_DES = "3DES"
    AES_128 = "AES-128"
    AES_192 = "AES-192"
    AES_256 = "AES-256"


_KEY_SIZE = {CipherName.TRIPLE_DES: 16, CipherName.AES_128: 16, CipherName.AES_192: 24, CipherName.AES_256: 32}


def _derive(secret: bytes, counter: int, cipher: CipherName) -> bytes:
    size = _KEY_SIZE[cipher]
    data = secret + counter.to_bytes(4, "big")
    # SHA-1 is what the specification asks of 3DES and AES-128.
    digest = hashlib.sha256(data) if size > 16 else hashlib.sha1(data, usedforsecurity=False)
    return digest.digest()[:size]


def suite(secret: bytes, cipher: CipherName) -> Suite:
    """The session keys that follow from a shared secret."""
    make = TripleDesSuite if cipher is CipherName.TRIPLE_DES else AesSuite
    return make(_derive(secret, _ENCRYPTION, cipher), _derive(secret, _MAC, cipher))


def password_key(key: AccessKey, cipher: CipherName) -> bytes:
    """The key that encrypts PACE's nonce (9.7.3)."""
    return _derive(shared_password(key), _PASSWORD, cipher)


def shared_password(key: AccessKey) -> bytes:
    """SHA-1 of the MRZ information, or the CAN as it is printed.

    Raises:
        DocumentError: `document.key` for a key that no document can have.
    """
    if isinstance(key, MrzKey):
        return hashlib.sha1(mrz.information(key).encode("ascii"), usedforsecurity=False).digest()
    if not key.can.isascii() or not 1 <= len(key.can) <= 16:
        raise DocumentError(Code.DOCUMENT_KEY, "the card access number has characters that it cannot have")
    return key.can.encode("ascii")


def basic_access_suite(key: MrzKey) -> TripleDesSuite:
    """The document's basic access keys (9.7.2)."""
    seed = hashlib.sha1(mrz.information(key).encode("ascii"), usedforsecurity=False).digest()[:16]
    return TripleDesSuite(_derive(seed, _ENCRYPTION, CipherName.TRIPLE_DES), _derive(seed, _MAC, CipherName.TRIPLE_DES))
