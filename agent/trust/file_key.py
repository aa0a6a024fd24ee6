"""The device key in a file: for development and for machines without a TPM or token. Mode 0600 or it is not used."""

import os
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from agent.trust import sm2_file
from agent.trust.errors import TrustError
from agent.wire import sm2
from agent.wire.errors import Fault, WireError
from agent.wire.keys import PrivateKey, Signer, SoftwareSigner, algorithm_of

_OTHERS = 0o077


def create(path: Path, *, kind: str = "ES256") -> Signer:
    """Make a new private key of `kind` (a name of `agent.wire.keys.SUITES`) at `path`.

    Raises:
        TrustError: `trust.key`; there is a file already, or it cannot be written. `trust.suite`: the extra `gm` is
            not installed.
    """
    key, encoded = _new(kind)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(encoded)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise TrustError("trust.key", f"cannot write a new key to {path}: {error.strerror}") from error
    return SoftwareSigner(key)


def load(path: Path) -> Signer:
    """The private key at `path`.

    Raises:
        TrustError: `trust.key`; absent, readable by others, not a key, or of a kind that the contract does not use.
            `trust.suite`: an SM2 key, and the extra `gm` is not installed.
    """
    try:
        if path.stat().st_mode & _OTHERS:
            raise TrustError("trust.key", f"{path} can be read by others: chmod 600")
        return SoftwareSigner(_read(path.read_bytes()))
    except OSError as error:
        raise TrustError("trust.key", f"{path}: {error.strerror}") from error
    except (ValueError, TypeError, UnsupportedAlgorithm, WireError) as error:
        raise _unusable(path, error) from error


def _new(kind: str) -> tuple[PrivateKey, bytes]:
    if kind == "SM2":
        try:
            made = sm2.new_key()
        except WireError as error:
            raise TrustError("trust.suite", str(error)) from error
        return made, sm2_file.encode(made)
    key = ed25519.Ed25519PrivateKey.generate() if kind == "EdDSA" else ec.generate_private_key(ec.SECP256R1())
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key, key.private_bytes(pem, pkcs8, serialization.NoEncryption())


def _read(pem: bytes) -> PrivateKey:
    try:
        key = serialization.load_pem_private_key(pem, None)
    except UnsupportedAlgorithm:
        return sm2_file.decode(pem)
    algorithm_of(key.public_key())
    return key  # type: ignore[return-value]  # algorithm_of refused every other kind


def _unusable(path: Path, error: Exception) -> TrustError:
    if isinstance(error, WireError) and error.fault is Fault.SUITE:
        return TrustError("trust.suite", f"{path}: {error}")
    return TrustError("trust.key", f"{path} holds no private key that can be used (P-256, Ed25519 or SM2)")
