"""COSE_Sign1 and COSE_Encrypt0 (RFC 9052), with the algorithms and contexts of the contract and no others.

Encryption is `cwt`'s. A signature is put together here: cwt takes no algorithm of the private-use range (SM2).

A context goes into the external additional data of every signature and every encryption, so that a message of one
kind, to one reader, is never taken as another. The algorithm of a signature comes from the trusted key; the header only
has to agree.
"""

import warnings
from dataclasses import dataclass
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.utils import CryptographyDeprecationWarning

from agent.wire import bounded, keys
from agent.wire.errors import Fault, WireError
from agent.wire.keys import KeyRing, PublicKey, Signer, algorithm_of, cose_key, thumbprint

with warnings.catch_warnings():
    # cwt's HPKE part touches finite-field DH at import; the contract never uses it.
    warnings.simplefilter("ignore", CryptographyDeprecationWarning)
    from cwt import COSE, COSEKey, CWTError

#: HPKE-7 of COSE-HPKE: DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-256-GCM (RFC 9180).
HPKE_7 = 45

_ALG, _CRIT, _KID, _X5CHAIN = 1, 2, 4, 33
_ENCRYPT0, _SIGN1 = 16, 18


@dataclass(frozen=True, slots=True)
class Context:
    """What a message is (`kind`), whom it is for and whom it is about: authenticated, never transmitted."""

    kind: str
    audience: str
    subject: str

    def encode(self) -> bytes:
        """The external additional authenticated data (RFC 9052, 4.3)."""
        return bounded.encode(["renzheng", 1, self.kind, self.audience, self.subject])


@dataclass(frozen=True, slots=True, repr=False)
class Signed:
    """The outside of a COSE_Sign1, not yet verified."""

    algorithm: int
    kid: bytes | None
    chain: tuple[bytes, ...]


def sign(payload: bytes, signer: Signer, context: Context, *, chain: tuple[bytes, ...] = ()) -> bytes:
    """A tagged COSE_Sign1. With `chain` (DER, leaf first) the header carries x5chain (RFC 9360), else the key's kid."""
    protected: dict[int, Any] = {_ALG: signer.algorithm}
    if chain:
        protected[_X5CHAIN] = chain[0] if len(chain) == 1 else list(chain)
    else:
        protected[_KID] = thumbprint(signer.public_key)
    header = bounded.encode(protected)
    signature = signer.sign(_to_be_signed(header, context, payload))
    return bounded.encode(cbor2.CBORTag(_SIGN1, [header, {}, payload, signature]))


def inspect(data: bytes, *, limit: int) -> Signed:
    """The headers of a COSE_Sign1: what is needed to choose the key.

    Raises:
        WireError: `malformed` or `limit`.
    """
    protected = _protected(_layer(data, _SIGN1, 4, limit=limit), limit=limit)
    chain = protected.get(_X5CHAIN, [])
    certificates = [chain] if isinstance(chain, bytes) else chain
    if not isinstance(certificates, list) or not all(isinstance(der, bytes) for der in certificates):
        raise WireError(Fault.MALFORMED, "x5chain is not a list of certificates")
    kid = protected.get(_KID)
    return Signed(protected[_ALG], kid if isinstance(kid, bytes) else None, tuple(certificates))


def verify(data: bytes, key: PublicKey, context: Context, *, limit: int) -> bytes:
    """The payload of a COSE_Sign1 that `key` made in `context`.

    Raises:
        WireError: `malformed`, `limit`, `algorithm`, `suite` (not installed), `signature` (also for another context).
    """
    if inspect(data, limit=limit).algorithm != algorithm_of(key):
        raise WireError(Fault.ALGORITHM, "the header's algorithm is not the key's")
    header, _, payload, signature = _layer(data, _SIGN1, 4, limit=limit)
    if not isinstance(signature, bytes):
        raise WireError(Fault.MALFORMED, "not the expected COSE structure")
    keys.verify(key, signature, _to_be_signed(header, context, payload))
    return bytes(payload)


def verify_by_ring(data: bytes, ring: KeyRing, context: Context, *, limit: int) -> bytes:
    """The payload of a COSE_Sign1 in `context` by the key of `ring` that its header names.

    Raises:
        WireError: `unknown_key`, or as `verify`.
    """
    return verify(data, ring.find(inspect(data, limit=limit).kid), context, limit=limit)


def encrypt(plaintext: bytes, recipient: ec.EllipticCurvePublicKey, context: Context) -> bytes:
    """A tagged COSE_Encrypt0 with HPKE to `recipient` (P-256); about 110 bytes longer than `plaintext`."""
    key = COSEKey.new({**cose_key(recipient), 3: HPKE_7})
    protected = {_ALG: HPKE_7, _KID: thumbprint(recipient)}
    return bytes(COSE.new().encode_and_encrypt(plaintext, key, protected=protected, external_aad=context.encode()))


def decrypt(data: bytes, held: dict[bytes, ec.EllipticCurvePrivateKey], context: Context, *, limit: int) -> bytes:
    """The plaintext of a COSE_Encrypt0 to one of the keys in `held` (by thumbprint).

    Raises:
        WireError: `malformed`, `limit`, `algorithm`, `unknown_key`, or `decryption` (also for another context).
    """
    protected = _protected(_layer(data, _ENCRYPT0, 3, limit=limit), limit=limit)
    if protected[_ALG] != HPKE_7:
        raise WireError(Fault.ALGORITHM, "not the contract's encryption")
    kid = protected.get(_KID)
    private = held.get(kid) if isinstance(kid, bytes) else None
    if private is None:
        raise WireError(Fault.UNKNOWN_KEY, "sealed to a key that is not held here")
    secret = private.private_numbers().private_value.to_bytes(32, "big")
    key = COSEKey.new({**cose_key(private.public_key()), -4: secret, 2: kid, 3: HPKE_7})
    try:
        return bytes(COSE.new().decode(data, key, external_aad=context.encode()))
    except (CWTError, ValueError, TypeError) as error:
        raise WireError(Fault.DECRYPTION, "the seal does not open") from error


def _to_be_signed(header: bytes, context: Context, payload: bytes) -> bytes:
    """The Sig_structure (RFC 9052, 4.4)."""
    return bounded.encode(["Signature1", header, context.encode(), payload])


def _layer(data: bytes, tag: int, length: int, *, limit: int) -> list[Any]:
    message = bounded.decode(data, limit=limit)
    layer = getattr(message, "value", None)
    if getattr(message, "tag", None) != tag or not isinstance(layer, list) or len(layer) != length:
        raise WireError(Fault.MALFORMED, "not the expected COSE structure")
    return layer


def _protected(layer: list[Any], *, limit: int) -> dict[int, Any]:
    if not isinstance(layer[0], bytes) or not isinstance(layer[1], dict) or not isinstance(layer[2], bytes):
        raise WireError(Fault.MALFORMED, "not the expected COSE structure")
    protected = bounded.decode(layer[0], limit=limit) if layer[0] else {}
    if not isinstance(protected, dict) or type(protected.get(_ALG)) is not int:
        raise WireError(Fault.ALGORITHM, "no protected algorithm")
    if set(protected) & set(layer[1]):
        raise WireError(Fault.MALFORMED, "a header is both protected and not")
    if _CRIT in protected or _CRIT in layer[1]:
        raise WireError(Fault.MALFORMED, "a header that must be understood, and the contract has none")
    return protected
