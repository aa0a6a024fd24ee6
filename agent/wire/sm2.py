"""SM2 signatures with SM3, the optional suite of the contract (GB/T 32918.2, GB/T 32905; GM/T 0009, 0010, 0015).

Certificates and requests follow RFC 8998's choices: curve 1.2.156.10197.1.301, signature 1.2.156.10197.1.501, signer's
identifier 1234567812345678. COSE has no registered numbers for any of it: ours are of the private-use range (RFC 9053).

The arithmetic on the curve is `gmalg`'s, which the extra `gm` brings and which is imported at the first use; SM3 is
OpenSSL's. gmalg is not constant-time: whoever watches closely, such as from the same core, may learn the private key.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding

from agent.wire.errors import Fault, WireError

#: COSE algorithm and elliptic curve: private use (below -65536), for want of registered ones.
SM2_SM3 = -75100
CURVE = -75101

CURVE_OID = "1.2.156.10197.1.301"
SIGNATURE_OID = "1.2.156.10197.1.501"
#: The signer's distinguishing identifier wherever none was agreed on (GM/T 0009, 10).
IDENTIFIER = b"1234567812345678"

INSTALL = "SM2 needs the package gmalg: pip install 'renzheng[gm]'"

SIZE = 32
#: GB/T 32918.5.
_P = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFF
_A = _P - 3
_B = 0x28E9FA9E9D9F5E344D5A9E4BCF6509A7F39789F515AB8F92DDBCBD414D940E93
_G = (
    0x32C4AE2C1F1981195F9904466A39C9948FE30BBFF2660BE1715A4589334C74C7,
    0xBC3736A2F4F6779C59BDCEE36B692153D0A9877CC62A474002DF32E52139F0A0,
)
ORDER = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123

#: SubjectPublicKeyInfo up to the coordinates: id-ecPublicKey, the named curve, an uncompressed point (GM/T 0009, 7.1).
_SPKI = bytes.fromhex("3059301306072a8648ce3d020106082a811ccf5501822d03420004")


@dataclass(frozen=True, slots=True)
class Sm2PublicKey:
    """A point of the curve; `public_key` makes one of what a stranger sent."""

    x: int
    y: int

    def spki(self) -> bytes:
        """The SubjectPublicKeyInfo in DER."""
        return _SPKI + self.x.to_bytes(SIZE, "big") + self.y.to_bytes(SIZE, "big")

    def verify(self, signature: bytes, message: bytes) -> None:
        """Check the raw `signature` (r || s, 64 bytes) of `message`.

        Raises:
            ValueError: it does not hold.
            WireError: `suite`; the extra `gm` is not installed.
        """
        r, s = int.from_bytes(signature[:SIZE], "big"), int.from_bytes(signature[SIZE:], "big")
        if len(signature) != 2 * SIZE or not _core().verify(message, r, s, IDENTIFIER, (self.x, self.y)):
            raise ValueError("the signature does not hold")


@dataclass(frozen=True, slots=True, repr=False)
class Sm2PrivateKey:
    """A private key in memory: 1 to n - 2."""

    secret: int
    public: Sm2PublicKey

    def public_key(self) -> Sm2PublicKey:
        """The public half."""
        return self.public

    def sign(self, message: bytes) -> bytes:
        """The raw signature (r || s) of `message`.

        Raises:
            WireError: `suite`; the extra `gm` is not installed.
        """
        r, s = _core().sign(message, self.secret, IDENTIFIER, (self.public.x, self.public.y))
        return bytes(int(r).to_bytes(SIZE, "big") + int(s).to_bytes(SIZE, "big"))


def new_key() -> Sm2PrivateKey:
    """A new private key.

    Raises:
        WireError: `suite`; the extra `gm` is not installed.
    """
    secret, (x, y) = _core().generate_keypair()
    return Sm2PrivateKey(secret, Sm2PublicKey(x, y))


def private_key(secret: int) -> Sm2PrivateKey:
    """The private key `secret`.

    Raises:
        ValueError: out of range.
        WireError: `suite`; the extra `gm` is not installed.
    """
    if not 1 <= secret <= ORDER - 2:
        raise ValueError("not a private key of SM2")
    x, y = _core().generate_pk(secret)
    return Sm2PrivateKey(secret, Sm2PublicKey(x, y))


def public_key(spki: bytes) -> Sm2PublicKey:
    """The key in a SubjectPublicKeyInfo (DER) of a stranger.

    Raises:
        WireError: `algorithm`; not an SM2 key on the named curve, or a point that is not on it.
    """
    head, point = spki[: len(_SPKI)], spki[len(_SPKI) :]
    x, y = int.from_bytes(point[:SIZE], "big"), int.from_bytes(point[SIZE:], "big")
    # The curve's order is prime: a point on it is in the right group.
    on_curve = max(x, y) < _P and (y * y - (x * x * x + _A * x + _B)) % _P == 0
    if head != _SPKI or len(point) != 2 * SIZE or not on_curve:
        raise WireError(Fault.ALGORITHM, "not an SM2 public key")
    return Sm2PublicKey(x, y)


def certified_key(certificate: x509.Certificate) -> Sm2PublicKey:
    """The key of a certificate whose key `cryptography` does not know.

    Raises:
        WireError: `algorithm`; it is no SM2 key either.
    """
    from asn1crypto import x509 as asn1

    try:
        return public_key(asn1.Certificate.load(certificate.public_bytes(Encoding.DER)).public_key.dump())
    except (ValueError, TypeError) as error:
        raise WireError(Fault.ALGORITHM, "not an SM2 public key") from error


def requested_key(request: x509.CertificateSigningRequest) -> Sm2PublicKey:
    """The key of a certification request (PKCS #10) that it signed itself.

    Raises:
        WireError: `algorithm`; no SM2 key. `signature`; not signed by it. `suite`; the extra `gm` is not installed.
    """
    from asn1crypto import csr as asn1

    try:
        parsed = asn1.CertificationRequest.load(request.public_bytes(Encoding.DER))
        key = public_key(parsed["certification_request_info"]["subject_pk_info"].dump())
    except (ValueError, TypeError) as error:
        raise WireError(Fault.ALGORITHM, "not a certification request for an SM2 key") from error
    verify_signed(request.tbs_certrequest_bytes, request.signature_algorithm_oid, request.signature, key)
    return key


def verify_signed(content: bytes, algorithm: x509.ObjectIdentifier, signature: bytes, key: Sm2PublicKey) -> None:
    """Check the signature (DER, as certificates and requests carry it) of `content`.

    Raises:
        WireError: `signature`; or `suite`, when the extra `gm` is not installed.
    """
    try:
        if algorithm.dotted_string != SIGNATURE_OID:
            raise WireError(Fault.SIGNATURE, "not signed with SM2 and SM3")
        r, s = decode_dss_signature(signature)
        key.verify(r.to_bytes(SIZE, "big") + s.to_bytes(SIZE, "big"), content)
    except (ValueError, OverflowError) as error:
        raise WireError(Fault.SIGNATURE, "the signature does not hold") from error


def installed() -> bool:
    """Whether the extra `gm` is there."""
    try:
        _library()
    except WireError:
        return False
    return True


class _Sm3:
    """OpenSSL's SM3 in the shape that gmalg asks of a hash."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._hash = hashes.Hash(hashes.SM3())

    def update(self, data: bytes) -> None:
        self._hash.update(bytes(data))

    def value(self) -> bytes:
        return self._hash.copy().finalize()


@cache
def _library() -> tuple[Any, Any]:
    """gmalg's SM2, and the curve."""
    try:
        from gmalg.ellipticcurve import ECDLP
        from gmalg.sm2 import SM2Core
    except ImportError as error:
        raise WireError(Fault.SUITE, INSTALL) from error

    class Curve(ECDLP):  # type: ignore[misc]  # gmalg has no types
        def kG(self, k: int) -> Any:  # noqa: N802 - gmalg's name
            # The same point by a multiplier of always one bit more than the order: the time does not tell the length
            # of a nonce, which over many signatures would tell the key (Minerva, 2020).
            longer = k + ORDER
            return super().kG(longer if longer.bit_length() > ORDER.bit_length() else longer + ORDER)

    return SM2Core, Curve(_P, _A, _B, _G, ORDER)


def _core() -> Any:
    """gmalg's SM2 with a hash of its own: the hash keeps state, and threads share nothing."""
    core, curve = _library()
    return core(curve, _Sm3())
