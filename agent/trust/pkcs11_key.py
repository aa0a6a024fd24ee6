"""The device key on a PKCS#11 token (python-pkcs11; PKCS #11 v3.1, 6.3): a smart card, an HSM, a secure element."""

import contextlib
import hashlib
import threading
from pathlib import Path
from typing import Any

import pkcs11
from pkcs11.exceptions import PKCS11Error, UserAlreadyLoggedIn
from pkcs11.util.ec import encode_ec_public_key, encode_named_curve_parameters

from agent.trust.errors import TrustError
from agent.trust.p256_key import P256Key

_CURVE = "secp256r1"


class Pkcs11Signer(P256Key):
    """A P-256 key pair by its label. Calls may come from any thread."""

    def __init__(self, module: Path, token: str, label: str, pin_file: Path) -> None:
        """Open the key `label` of the token `token` behind the library `module`; the PIN is the file's first line.

        Raises:
            TrustError: `trust.key`; no library, token or key, or a PIN that the token refuses.
        """
        self._lock = threading.Lock()
        self._where = f"key {label!r} of token {token!r}"
        try:
            with contextlib.ExitStack() as opened:
                self._session = opened.enter_context(_session(module, token, pin_file, writable=False))
                self._key: Any = self._session.get_key(pkcs11.ObjectClass.PRIVATE_KEY, pkcs11.KeyType.EC, label)
                public: Any = self._session.get_key(pkcs11.ObjectClass.PUBLIC_KEY, pkcs11.KeyType.EC, label)
                super().__init__(encode_ec_public_key(public))
                opened.pop_all()
        except (PKCS11Error, ValueError, TypeError) as error:
            raise TrustError("trust.key", f"{self._where}: {_why(error)}") from error

    def sign(self, message: bytes) -> bytes:
        """The raw ES256 signature of `message`: PKCS#11's own form is r || s.

        Raises:
            TrustError: `trust.key`; the token refused or is gone.
        """
        digest = hashlib.sha256(message).digest()
        try:
            with self._lock:
                return bytes(self._key.sign(digest, mechanism=pkcs11.Mechanism.ECDSA))
        except PKCS11Error as error:
            raise TrustError("trust.key", f"{self._where} did not sign: {_why(error)}") from error

    def close(self) -> None:
        """Log out of the token."""
        with self._lock:
            self._session.close()


def create(module: Path, token: str, label: str, pin_file: Path) -> Pkcs11Signer:
    """Make a new key pair on the token; the private half cannot be read or copied.

    Raises:
        TrustError: `trust.key`; no library or token, a PIN that it refuses, or the label is taken.
    """
    try:
        with _session(module, token, pin_file, writable=True) as session:
            if next(iter(session.get_objects({pkcs11.Attribute.LABEL: label})), None) is not None:
                raise TrustError("trust.key", f"token {token!r} holds a key {label!r} already")
            parameters = session.create_domain_parameters(
                pkcs11.KeyType.EC, {pkcs11.Attribute.EC_PARAMS: encode_named_curve_parameters(_CURVE)}, local=True
            )
            parameters.generate_keypair(
                mechanism=pkcs11.Mechanism.EC_KEY_PAIR_GEN,
                store=True,
                label=label,
                private_template={
                    pkcs11.Attribute.SENSITIVE: True,
                    pkcs11.Attribute.EXTRACTABLE: False,
                    pkcs11.Attribute.SIGN: True,
                },
            )
    except PKCS11Error as error:
        raise TrustError("trust.key", f"no key was made on token {token!r}: {_why(error)}") from error
    return Pkcs11Signer(module, token, label, pin_file)


def _session(module: Path, token: str, pin_file: Path, *, writable: bool) -> pkcs11.Session:
    try:
        pin = pin_file.read_text("utf-8").splitlines()[0]
    except (OSError, IndexError, ValueError) as error:
        raise TrustError("trust.key", f"{pin_file} gives no PIN") from error
    try:
        library = pkcs11.lib(str(module))
    except RuntimeError as error:
        raise TrustError("trust.key", f"{module} is no PKCS#11 library") from error
    found = library.get_token(token_label=token)
    try:
        return found.open(user_pin=pin, rw=writable)
    except UserAlreadyLoggedIn:
        # A process is logged in as a whole (PKCS #11, 2.7.1): another signer of ours has done it.
        return found.open(rw=writable)


def _why(error: Exception) -> str:
    """python-pkcs11 often raises without a text: its class is the reason."""
    return str(error) or type(error).__name__
