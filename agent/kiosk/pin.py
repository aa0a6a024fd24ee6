"""The operator's PIN: eight digits, kept as a scrypt hash (RFC 7914), a lock after wrong ones, short sessions."""

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable
from time import monotonic

PIN = re.compile(r"[0-9]{8}", re.ASCII)
#: Cost of one guess: 16 MiB of memory.
_N, _R, _P = 2**14, 8, 1
_STORED = re.compile(r"scrypt\$([A-Za-z0-9+/=]{24})\$([A-Za-z0-9+/=]{44})")
#: Wrong PINs before the first lock; each further one doubles it up to the longest.
FREE_TRIES = 4
FIRST_LOCK, LONGEST_LOCK = 30.0, 3600.0
#: Seconds without a request after which the operator must give the PIN again.
SESSION = 300.0


def hash_pin(pin: str) -> str:
    """The line that the PIN file holds.

    Raises:
        ValueError: the PIN is not eight digits.
    """
    if not PIN.fullmatch(pin):
        raise ValueError("a PIN has eight digits")
    salt = secrets.token_bytes(16)
    return f"scrypt${base64.b64encode(salt).decode()}${base64.b64encode(_scrypt(pin, salt)).decode()}"


def pin_matches(pin: str, stored: str) -> bool:
    """Whether `pin` is the one that `stored` was made from; a line that `hash_pin` did not make matches nothing."""
    parts = _STORED.fullmatch(stored.strip())
    if parts is None or not PIN.fullmatch(pin):
        return False
    salt, digest = (base64.b64decode(part) for part in parts.groups())
    return hmac.compare_digest(_scrypt(pin, salt), digest)


def _scrypt(pin: str, salt: bytes) -> bytes:
    return hashlib.scrypt(pin.encode(), salt=salt, n=_N, r=_R, p=_P, dklen=32)


class Door:
    """Counts wrong PINs and remembers the one open session; all times are of `clock`, in seconds."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._wrong = 0
        self._locked_until = 0.0
        self._session = ""
        self._seen = 0.0

    def locked_for(self) -> float:
        """Seconds until another PIN is looked at; 0 when it may be given now."""
        return max(0.0, self._locked_until - self._clock())

    def begin_try(self) -> None:
        """Count a try as wrong before it is looked at, so that tries side by side are all counted."""
        self._wrong += 1
        if self._wrong > FREE_TRIES:
            lock = min(FIRST_LOCK * 2 ** (self._wrong - FREE_TRIES - 1), LONGEST_LOCK)
            self._locked_until = self._clock() + lock

    def open(self) -> str:
        """The PIN was right: forget the wrong ones, end any older session, and give the new session's token."""
        self._wrong, self._locked_until = 0, 0.0
        self._session, self._seen = secrets.token_urlsafe(32), self._clock()
        return self._session

    def admits(self, token: str) -> bool:
        """Whether `token` is the session's, and not too long unused; using it keeps it alive."""
        if not self._session or self._clock() - self._seen > SESSION:
            self._session = ""
            return False
        if not hmac.compare_digest(token.encode(), self._session.encode()):
            return False
        self._seen = self._clock()
        return True

    def close(self) -> None:
        """End the session."""
        self._session = ""
