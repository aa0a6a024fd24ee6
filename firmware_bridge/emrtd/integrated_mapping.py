"""PACE's integrated mapping (ICAO Doc 9303-11, 4.4.3.3.2 and appendix B), for both sides of a chip."""

import secrets

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from firmware_bridge.emrtd.curves import Point
from firmware_bridge.emrtd.domain_parameters import Curve, Group
from firmware_bridge.emrtd.keys import CipherName
from firmware_bridge.errors import Code, DocumentError

#: Bytes of the chip's nonce.
NONCE_SIZE = {CipherName.TRIPLE_DES: 16, CipherName.AES_128: 16, CipherName.AES_192: 32, CipherName.AES_256: 32}
_KEY_SIZE = {CipherName.TRIPLE_DES: 16, CipherName.AES_128: 16, CipherName.AES_192: 24, CipherName.AES_256: 32}
_CONSTANTS = {
    16: (
        bytes.fromhex("a668892a7c41e3ca739f40b057d85904"),
        bytes.fromhex("a4e136ac725f738b01c1f60217c188ad"),
    ),
    32: (
        bytes.fromhex("d463d65234124ef7897054986dca0a174e28df758cbaa03f240616414d5a1676"),
        bytes.fromhex("54bd7255f0aaf831bec3423fcf39d69b6cbf066677d0faae5aadd99df8e53517"),
    ),
}


def second_nonce(cipher: CipherName) -> bytes:
    """The terminal's nonce: as long as the cipher's key."""
    return secrets.token_bytes(_KEY_SIZE[cipher])


def _encrypt(cipher: CipherName, key: bytes, data: bytes) -> bytes:
    key = key[: _KEY_SIZE[cipher]]
    if cipher is CipherName.TRIPLE_DES:
        return Cipher(TripleDES(key + key[:8]), modes.CBC(bytes(8))).encryptor().update(data)
    return Cipher(algorithms.AES(key), modes.CBC(bytes(16))).encryptor().update(data)


def pseudo_random(cipher: CipherName, nonce: bytes, second: bytes, modulus: int) -> int:
    """The function R of the specification, reduced by `modulus`."""
    size = NONCE_SIZE[cipher]
    if len(nonce) != size:
        raise DocumentError(Code.DOCUMENT_ACCESS, f"integrated mapping with a nonce of {len(nonce)} bytes")
    next_key, next_output = _CONSTANTS[size]
    key = _encrypt(cipher, second, nonce)
    output = b""
    while len(output) * 8 < modulus.bit_length() + 64:
        output += _encrypt(cipher, key, next_output)
        key = _encrypt(cipher, key, next_key)
    return int.from_bytes(output, "big") % modulus


def encode_point(curve: Curve, value: int) -> Point:
    """The point encoding of appendix B.2, for primes that are 3 modulo 4."""
    p, a, b = curve.p, curve.a, curve.b
    if p % 4 != 3:
        raise DocumentError(Code.DOCUMENT_ACCESS, f"integrated mapping is not defined on {curve.name}")
    alpha = -value * value % p
    x2 = -b * pow(a, -1, p) * (1 + pow(alpha + alpha * alpha, -1, p)) % p
    x3 = alpha * x2 % p
    h2 = (pow(x2, 3, p) + a * x2 + b) % p
    root = pow(h2, p - 1 - (p + 1) // 4, p)
    if root * root * h2 % p == 1:
        return Point(x2, root * h2 % p)
    return Point(x3, root * pow(value, 3, p) * h2 % p)


def map_integrated(domain: Curve | Group, cipher: CipherName, nonce: bytes, second: bytes) -> Point | int:
    """The mapped generator."""
    value = pseudo_random(cipher, nonce, second, domain.p)
    if isinstance(domain, Curve):
        return encode_point(domain, value)
    return pow(value, (domain.p - 1) // domain.q, domain.p)
