"""Payloads at rest: AES-256-GCM (NIST SP 800-38D) under a key from the signer or a systemd credential.

A random 96-bit nonce for each row; the row's other columns are authenticated beside it, so that a row can neither be
read, nor changed, nor given another identifier, class or expiry, by whoever holds the SD card.
"""

import hashlib
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from agent.transport.outbox.entry import Entry, Priority
from agent.wire import bounded
from agent.wire.errors import WireError

KEY_SIZE = 32
_NONCE = 12
_TAG = 16

#: id, priority, created, expires, sealed
Row = tuple[bytes, int, int, int | None, bytes]


class UnreadableError(Exception):
    """A row that this key does not open: changed, damaged, or written under another key."""


class Vault:
    """Seals entries into rows and opens them."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_SIZE:
            raise ValueError(f"the outbox key has {KEY_SIZE} bytes")
        self._cipher = AESGCM(key)
        #: Names the key without showing it: a file of another key is known before any row is tried.
        self.key_name = hashlib.sha256(b"renzheng outbox key name" + key).digest()

    def seal(self, entry: Entry) -> Row:
        """The row for `entry`."""
        columns = (entry.event_id, int(entry.priority), entry.created, entry.expires)
        nonce = os.urandom(_NONCE)
        plain = bounded.encode([entry.kind, entry.payload])
        return (*columns, nonce + self._cipher.encrypt(nonce, plain, bounded.encode(list(columns))))

    def open(self, row: Row) -> Entry:
        """The entry in `row`.

        Raises:
            UnreadableError: the seal does not open.
        """
        event_id, priority, created, expires, sealed = row
        try:
            aad = bounded.encode([event_id, priority, created, expires])
            plain = self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], aad)
            kind, payload = bounded.decode(plain, limit=len(plain))
            return Entry(event_id, kind, payload, Priority(priority), created, expires)
        except (InvalidTag, WireError, ValueError, TypeError) as error:
            raise UnreadableError from error


def sealed_size(entry: Entry) -> int:
    """Bytes that `entry` will take, near enough for a cap: payload, kind, heads, nonce and tag."""
    return len(entry.payload) + len(entry.kind) + _NONCE + _TAG + 9
