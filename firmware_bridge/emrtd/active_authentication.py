"""Active authentication: the chip signs the verifier's nonce (ICAO Doc 9303-11, 6.1; ISO/IEC 9796-2, scheme 1)."""

import hashlib

from asn1crypto import keys
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa, utils
from cryptography.hazmat.primitives.constant_time import bytes_eq

from firmware_bridge.apdu import status, tlv
from firmware_bridge.apdu.channel import Channel
from firmware_bridge.apdu.command import Command
from firmware_bridge.emrtd import signatures
from firmware_bridge.errors import Code, DocumentError

NONCE_SIZE = 8
_TAG = 0x6F
#: The trailers of ISO/IEC 9796-2: BC is SHA-1, else the hash's number before CC (ISO/IEC 10118-3).
_TRAILERS = {0x33: "sha1", 0x34: "sha256", 0x35: "sha512", 0x36: "sha384", 0x38: "sha224"}
_DEFAULT_DIGEST = {
    192: "sha1",
    224: "sha224",
    256: "sha256",
    320: "sha256",
    384: "sha384",
    512: "sha512",
    521: "sha512",
}
_DIGEST_OF_OID = {
    "0.4.0.127.0.7.1.1.4.1.1": "sha1",
    "0.4.0.127.0.7.1.1.4.1.2": "sha224",
    "0.4.0.127.0.7.1.1.4.1.3": "sha256",
    "0.4.0.127.0.7.1.1.4.1.4": "sha384",
    "0.4.0.127.0.7.1.1.4.1.5": "sha512",
}


def public_key(dg15: bytes) -> keys.PublicKeyInfo:
    """The key of DG15, of a kind that `verify` can judge.

    Raises:
        DocumentError: for anything else.
    """
    try:
        info = keys.PublicKeyInfo.load(tlv.require(dg15, _TAG))
        if info["algorithm"]["algorithm"].native == "ec":
            signatures.elliptic_point(info)
        else:
            signatures.rsa_key(info)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise signatures.unsupported("an active authentication key that cannot be parsed") from error
    return info


def challenge(channel: Channel, nonce: bytes) -> bytes:
    """The chip's signature over `nonce`.

    Raises:
        DocumentError: `document.cloned` if the chip refuses what its own data announces.
    """
    le = 65536 if channel.extended else 256
    data, sw = channel.transmit(Command(0x00, 0x88, 0x00, 0x00, nonce, le))
    if sw == status.WRONG_LENGTH and le > 256:
        data, sw = channel.transmit(Command(0x00, 0x88, 0x00, 0x00, nonce, 256))
    if sw != status.OK or not data:
        raise DocumentError(Code.DOCUMENT_CLONED, f"the chip refuses active authentication: {status.meaning(sw)}")
    return data


def verify(info: keys.PublicKeyInfo, signature: bytes, nonce: bytes, algorithm: str | None = None) -> bool:
    """Whether the chip that holds the key of `info` signed `nonce`.

    Args:
        info: DG15's key.
        signature: the chip's answer.
        nonce: the verifier's 8 bytes.
        algorithm: object identifier of the ECDSA signature, from DG14.

    Raises:
        DocumentError: for a key that cannot be judged.
    """
    if info["algorithm"]["algorithm"].native == "ec":
        curve, point = signatures.elliptic_point(info)
        digest = _DIGEST_OF_OID.get(algorithm or "", _DEFAULT_DIGEST.get(curve.p.bit_length(), "sha512"))
        try:
            plain = len(signature) == 2 * ((curve.n.bit_length() + 7) // 8)
            pair = signatures.split_plain(signature) if plain else utils.decode_dss_signature(signature)
        except ValueError:
            return False
        return signatures.verify_point(curve, point, digest, pair, nonce)
    return _verify_rsa(signatures.rsa_key(info), signature, nonce)


def _verify_rsa(key: rsa.RSAPublicKey, signature: bytes, nonce: bytes) -> bool:
    numbers = key.public_numbers()
    size = (numbers.n.bit_length() + 7) // 8
    value = int.from_bytes(signature, "big")
    if len(signature) != size or value >= numbers.n:
        return False
    opened = pow(value, numbers.e, numbers.n)
    if _recover(opened.to_bytes(size, "big"), nonce):
        return True
    # ISO/IEC 9796-2 lets a signer send the smaller of s and n - s.
    if _recover((numbers.n - opened).to_bytes(size, "big"), nonce):
        return True
    return _verify_pkcs1(key, signature, nonce)


def _recover(block: bytes, nonce: bytes) -> bool:
    if block[-1] == 0xBC:
        name, trailer = "sha1", 1
    elif block[-1] == 0xCC and block[-2] in _TRAILERS:
        name, trailer = _TRAILERS[block[-2]], 2
    else:
        return False
    if block[0] & 0xC0 != 0x40:
        return False
    digest = hashlib.new(name, usedforsecurity=False)
    end = len(block) - trailer - digest.digest_size
    if block[0] & 0x0F == 0x0A:
        begin = 1
    else:
        # Padding nibbles B end with one nibble A.
        begin = next((i + 1 for i in range(1, max(end, 1)) if block[i] & 0x0F == 0x0A), 0)
        if not begin or any(byte != 0xBB for byte in block[1 : begin - 1]):
            return False
    # Partial recovery (bit 20): the nonce is the part that the signature does not carry.
    if begin > end or not block[0] & 0x20:
        return False
    digest.update(block[begin:end] + nonce)
    return bytes_eq(digest.digest(), block[end : len(block) - trailer])


def _verify_pkcs1(key: rsa.RSAPublicKey, signature: bytes, nonce: bytes) -> bool:
    """Some chips sign as PKCS#1 v1.5 although the specification does not; the nonce is covered all the same."""
    for name in ("sha256", "sha1"):
        try:
            key.verify(signature, nonce, padding.PKCS1v15(), signatures.digest(name))
        except (InvalidSignature, ValueError):
            continue
        return True
    return False
