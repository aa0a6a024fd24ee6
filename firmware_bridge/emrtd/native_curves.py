"""Scalar multiplication by OpenSSL, which works in constant time and gives only the first coordinate.

The second coordinate is one of two roots; which one, the first coordinate of the next multiple tells: for Q = k·P the
point Q + P has the x of (k + 1)·P only if the root is right.
"""

from cryptography.hazmat.primitives.asymmetric import ec

from firmware_bridge.emrtd.domain_parameters import Curve

#: Curves by name as the cryptography package knows them.
NATIVE: dict[str, type[ec.EllipticCurve]] = {
    "P-192": ec.SECP192R1,
    "P-224": ec.SECP224R1,
    "P-256": ec.SECP256R1,
    "P-384": ec.SECP384R1,
    "P-521": ec.SECP521R1,
    "brainpoolP256r1": ec.BrainpoolP256R1,
    "brainpoolP384r1": ec.BrainpoolP384R1,
    "brainpoolP512r1": ec.BrainpoolP512R1,
}


def base_multiple(curve: Curve, scalar: int) -> tuple[int, int] | None:
    """`scalar` times the standard base point; None if OpenSSL does not know the curve."""
    native = NATIVE.get(curve.name)
    if native is None or not 0 < scalar < curve.n:
        return None
    numbers = ec.derive_private_key(scalar, native()).public_key().public_numbers()
    return numbers.x, numbers.y


def multiple(curve: Curve, scalar: int, x: int, y: int) -> tuple[int, int] | None:
    """`scalar` times the point (x, y), which lies on the curve; None if OpenSSL cannot do it."""
    native = NATIVE.get(curve.name)
    p = curve.p
    if native is None or p % 4 != 3 or not 1 < scalar < curve.n - 2:
        return None
    point = ec.EllipticCurvePublicNumbers(x, y, native()).public_key()
    first, following = (
        int.from_bytes(ec.derive_private_key(k, native()).exchange(ec.ECDH(), point), "big")
        for k in (scalar, scalar + 1)
    )
    if first == x:
        return None
    root = pow((first * first + curve.a) * first + curve.b, (p + 1) // 4, p)
    inverse = pow(first - x, -1, p)
    for candidate in (root, p - root):
        slope = (candidate - y) * inverse % p
        if (slope * slope - first - x) % p == following:
            return first, candidate
    return None


def shared_x(curve: Curve, scalar: int, x: int, y: int) -> int | None:
    """The first coordinate of `scalar` times (x, y) alone, which is all that a shared secret needs."""
    native = NATIVE.get(curve.name)
    if native is None or not 0 < scalar < curve.n:
        return None
    point = ec.EllipticCurvePublicNumbers(x, y, native()).public_key()
    return int.from_bytes(ec.derive_private_key(scalar, native()).exchange(ec.ECDH(), point), "big")
