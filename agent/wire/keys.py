"""Keys on the wire: who signs, whom to trust, whom to seal to, and how a key is named (RFC 9053, RFC 9679)."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from agent.wire import bounded, sm2
from agent.wire.errors import Fault, WireError
from agent.wire.sm2 import SM2_SM3, Sm2PrivateKey, Sm2PublicKey

#: COSE algorithm numbers (RFC 9053, tables 1 and 2).
ES256 = -7
EDDSA = -8

PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | Sm2PublicKey
PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | Sm2PrivateKey

#: What a signature is made with, by the name that policies and commands use.
SUITES = {"ES256": ES256, "EdDSA": EDDSA, "SM2": SM2_SM3}

_P256_SIZE = 32


class Signer(Protocol):
    """A private key that signs and never shows itself (a file, a TPM, a token)."""

    @property
    def algorithm(self) -> int:
        """COSE algorithm number: `ES256`, `EDDSA` or `SM2_SM3`."""

    @property
    def public_key(self) -> PublicKey:
        """The public half."""

    def sign(self, message: bytes) -> bytes:
        """The raw COSE signature of `message` (ES256: r || s, 64 bytes; the signer hashes). Blocks for milliseconds."""


@dataclass(frozen=True, slots=True, repr=False)
class SoftwareSigner:
    """A signer over a private key in memory."""

    private_key: PrivateKey

    @property
    def algorithm(self) -> int:
        """COSE algorithm number."""
        return algorithm_of(self.public_key)

    @property
    def public_key(self) -> PublicKey:
        """The public half."""
        return self.private_key.public_key()

    def sign(self, message: bytes) -> bytes:
        """The raw signature of `message`."""
        if isinstance(self.private_key, ed25519.Ed25519PrivateKey | Sm2PrivateKey):
            return self.private_key.sign(message)
        return raw_signature(self.private_key.sign(message, ec.ECDSA(hashes.SHA256())))


def raw_signature(der: bytes) -> bytes:
    """An ECDSA signature on P-256 as COSE carries it: r || s (RFC 9053, 2.1)."""
    r, s = decode_dss_signature(der)
    return r.to_bytes(_P256_SIZE, "big") + s.to_bytes(_P256_SIZE, "big")


def verify(key: PublicKey, signature: bytes, message: bytes) -> None:
    """Check a raw COSE signature.

    Raises:
        WireError: `signature`; or `suite`, when the key's suite is not installed.
    """
    try:
        if isinstance(key, ed25519.Ed25519PublicKey | Sm2PublicKey):
            key.verify(signature, message)
        elif len(signature) == 2 * _P256_SIZE:
            r, s = (int.from_bytes(half, "big") for half in (signature[:_P256_SIZE], signature[_P256_SIZE:]))
            key.verify(encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))
        else:
            raise WireError(Fault.SIGNATURE, "not a signature of this kind of key")
    except (InvalidSignature, ValueError) as error:
        raise WireError(Fault.SIGNATURE, "the signature does not hold") from error


def certified_key(certificate: x509.Certificate) -> PublicKey:
    """The key that a certificate is for.

    Raises:
        WireError: `algorithm`; the contract does not use this kind of key.
    """
    try:
        key = certificate.public_key()
        algorithm_of(key)
    except UnsupportedAlgorithm:
        return sm2.certified_key(certificate)
    except ValueError as error:
        raise WireError(Fault.ALGORITHM, "the certificate holds no key that can be read") from error
    return key  # type: ignore[return-value]  # algorithm_of refused every other kind


def spki(key: PublicKey) -> bytes:
    """The SubjectPublicKeyInfo of a key, in DER."""
    if isinstance(key, Sm2PublicKey):
        return key.spki()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def algorithm_of(key: object) -> int:
    """The one algorithm that a public key is used with.

    Raises:
        WireError: `algorithm`; the contract does not use this kind of key.
    """
    if isinstance(key, ed25519.Ed25519PublicKey):
        return EDDSA
    if isinstance(key, Sm2PublicKey):
        return SM2_SM3
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return ES256
    raise WireError(Fault.ALGORITHM, "neither P-256 nor Ed25519 nor SM2")


def cose_key(key: object) -> dict[int, int | bytes]:
    """The required parameters of a public COSE_Key (RFC 9053, 7).

    Raises:
        WireError: `algorithm`; neither P-256 nor Ed25519 nor SM2.
    """
    algorithm_of(key)
    if isinstance(key, ed25519.Ed25519PublicKey):
        return {1: 1, -1: 6, -2: key.public_bytes_raw()}
    if isinstance(key, Sm2PublicKey):
        return {1: 2, -1: sm2.CURVE, -2: key.x.to_bytes(sm2.SIZE, "big"), -3: key.y.to_bytes(sm2.SIZE, "big")}
    assert isinstance(key, ec.EllipticCurvePublicKey)  # noqa: S101 - narrowed by algorithm_of
    numbers = key.public_numbers()
    return {1: 2, -1: 1, -2: numbers.x.to_bytes(_P256_SIZE, "big"), -3: numbers.y.to_bytes(_P256_SIZE, "big")}


def thumbprint(key: object) -> bytes:
    """The COSE Key Thumbprint with SHA-256 (RFC 9679): 32 bytes, the `kid` of every key here."""
    return hashlib.sha256(bounded.encode(cose_key(key))).digest()


class KeyRing:
    """Public keys by thumbprint."""

    def __init__(self, keys: Iterable[PublicKey]) -> None:
        self._keys = {thumbprint(key): key for key in keys}

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, kid: object) -> PublicKey:
        """The key that `kid` names.

        Raises:
            WireError: `unknown_key`.
        """
        key = self._keys.get(kid) if isinstance(kid, bytes) else None
        if key is None:
            raise WireError(Fault.UNKNOWN_KEY, "signed by a key that is not trusted here")
        return key
