"""Detached signatures of manifests: P-256 (ECDSA with SHA-256) or Ed25519, by keys that the terminal trusts.

Apart from the bundle, so that whoever uses the shipped models alone loads no cryptography (8 MB).
"""

from collections.abc import Sequence
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from agent.biometrics.errors import ModelError

LARGEST = 1024
PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey


def check_signature(content: bytes, signature: Path, trusted_keys: Sequence[bytes]) -> None:
    """Hold the detached `signature` of `content` against trusted PEM public keys.

    Raises:
        ModelError: `model.signature`, it is absent, or of none of these keys.
    """
    try:
        with signature.open("rb") as file:
            given = file.read(LARGEST)
    except OSError as error:
        raise ModelError("model.signature", f"{signature.name}: {error.strerror}") from error
    if not any(_verifies(_public_key(pem), given, content) for pem in trusted_keys):
        raise ModelError("model.signature", f"{signature.name} is not a signature of a trusted key")


def _public_key(pem: bytes) -> PublicKey:
    try:
        key = serialization.load_pem_public_key(pem)
    except ValueError as error:
        raise ModelError("model.signature", "a trusted key is not a PEM public key") from error
    if not isinstance(key, PublicKey):
        raise ModelError("model.signature", "a trusted key is neither P-256 nor Ed25519")
    return key


def _verifies(key: PublicKey, signature: bytes, content: bytes) -> bool:
    try:
        if isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, content)
        else:
            key.verify(signature, content, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True
