"""The device key in a file: for development and for machines without a TPM or token. Mode 0600 or it is not used."""

import os
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from agent.trust.errors import TrustError
from agent.wire.errors import WireError
from agent.wire.keys import PrivateKey, Signer, SoftwareSigner, algorithm_of

_OTHERS = 0o077


def create(path: Path, *, kind: str = "ES256") -> Signer:
    """Make a new private key of `kind` (ES256 or EdDSA) at `path`.

    Raises:
        TrustError: `trust.key`; there is a file already, or it cannot be written.
    """
    key: PrivateKey = (
        ed25519.Ed25519PrivateKey.generate() if kind == "EdDSA" else ec.generate_private_key(ec.SECP256R1())
    )
    encoded = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
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
    """
    try:
        if path.stat().st_mode & _OTHERS:
            raise TrustError("trust.key", f"{path} can be read by others: chmod 600")
        key = serialization.load_pem_private_key(path.read_bytes(), None)
        algorithm_of(key.public_key())
    except OSError as error:
        raise TrustError("trust.key", f"{path}: {error.strerror}") from error
    except (ValueError, TypeError, UnsupportedAlgorithm, WireError) as error:
        raise TrustError("trust.key", f"{path} holds no private key that can be used (P-256 or Ed25519)") from error
    return SoftwareSigner(key)  # type: ignore[arg-type]  # algorithm_of refused every other key
