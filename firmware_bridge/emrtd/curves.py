"""Arithmetic on the curves of ICAO Doc 9303-11: what PACE's mapping needs and no library offers.

Generic mapping needs a whole point (both coordinates) and a generator of its own; OpenSSL's key agreement gives the
first coordinate only and takes the standard generator: `native_curves` gets the rest out of it. The three curves that
OpenSSL's binding does not name (and P-224) are computed here, in Python's integers, which are not constant-time: every
secret that comes here is ephemeral, made for one read and dropped after it.
"""

import hashlib
import secrets
from typing import NamedTuple

from firmware_bridge.emrtd import native_curves
from firmware_bridge.emrtd.domain_parameters import Curve
from firmware_bridge.errors import Code, DocumentError


class Point(NamedTuple):
    """A point of a curve, never the one at infinity."""

    x: int
    y: int


_Jacobian = tuple[int, int, int]
_INFINITY: _Jacobian = (1, 1, 0)
_WINDOW = 4


def _bad(text: str) -> DocumentError:
    return DocumentError(Code.DOCUMENT_ACCESS, text)


def generator(curve: Curve) -> Point:
    """The standard base point."""
    return Point(curve.gx, curve.gy)


def on_curve(curve: Curve, point: Point) -> bool:
    """Whether the point fulfils the curve's equation with coordinates in range."""
    x, y = point
    p = curve.p
    return 0 <= x < p and 0 <= y < p and (y * y - (x * x + curve.a) * x - curve.b) % p == 0


def encode(curve: Curve, point: Point) -> bytes:
    """Uncompressed encoding (BSI TR-03111, 3.2.1)."""
    size = curve.size
    return b"\x04" + point.x.to_bytes(size, "big") + point.y.to_bytes(size, "big")


def decode(curve: Curve, data: bytes) -> Point:
    """A point from its uncompressed or compressed encoding, checked to lie on the curve.

    Raises:
        DocumentError: `document.access`.
    """
    size = curve.size
    if len(data) == 2 * size + 1 and data[0] == 4:
        point = Point(int.from_bytes(data[1 : size + 1], "big"), int.from_bytes(data[size + 1 :], "big"))
    elif len(data) == size + 1 and data[0] in (2, 3):
        x = int.from_bytes(data[1:], "big")
        point = Point(x, square_root((pow(x, 3, curve.p) + curve.a * x + curve.b) % curve.p, curve.p))
        if point.y & 1 != data[0] & 1:
            point = Point(x, curve.p - point.y)
    else:
        raise _bad(f"a point of {len(data)} bytes on {curve.name}")
    if not on_curve(curve, point):
        raise _bad(f"a point that is not on {curve.name}")
    return point


def square_root(value: int, p: int) -> int:
    """A square root modulo `p` if there is one (the caller checks); Tonelli and Shanks for p = 1 mod 4.

    Raises:
        DocumentError: `document.access` if `value` has no root.
    """
    if value == 0:
        return 0
    if p % 4 == 3:
        return pow(value, (p + 1) // 4, p)
    if pow(value, (p - 1) // 2, p) != 1:
        raise _bad("a coordinate without a point")
    odd, twos = p - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    non_residue = next(z for z in range(2, p) if pow(z, (p - 1) // 2, p) == p - 1)
    m, c, t, root = twos, pow(non_residue, odd, p), pow(value, odd, p), pow(value, (odd + 1) // 2, p)
    while t != 1:
        i, square = 0, t
        while square != 1:
            square, i = square * square % p, i + 1
        b = pow(c, 1 << (m - i - 1), p)
        m, c = i, b * b % p
        t, root = t * c % p, root * b % p
    return root


def _double(curve: Curve, point: _Jacobian) -> _Jacobian:
    x, y, z = point
    p = curve.p
    if not z or not y:
        return _INFINITY
    yy = y * y % p
    s = 4 * x * yy % p
    zz = z * z % p
    m = 3 * (x - zz) * (x + zz) if curve.a == p - 3 else 3 * x * x + curve.a * zz * zz
    m %= p
    x3 = (m * m - 2 * s) % p
    return x3, (m * (s - x3) - 8 * yy * yy) % p, 2 * y * z % p


def _add(curve: Curve, left: _Jacobian, right: _Jacobian) -> _Jacobian:
    x1, y1, z1 = left
    x2, y2, z2 = right
    if not z1:
        return right
    if not z2:
        return left
    p = curve.p
    zz1, zz2 = z1 * z1 % p, z2 * z2 % p
    u1, u2 = x1 * zz2 % p, x2 * zz1 % p
    s1, s2 = y1 * zz2 * z2 % p, y2 * zz1 * z1 % p
    if u1 == u2:
        return _double(curve, left) if s1 == s2 else _INFINITY
    h, r = u2 - u1, s2 - s1
    hh = h * h % p
    hhh = h * hh % p
    v = u1 * hh % p
    x3 = (r * r - hhh - 2 * v) % p
    return x3, (r * (v - x3) - s1 * hhh) % p, h * z1 * z2 % p


def _affine(curve: Curve, point: _Jacobian) -> Point:
    x, y, z = point
    if not z:
        raise _bad("the point at infinity")
    inverse = pow(z, -1, curve.p)
    square = inverse * inverse % curve.p
    return Point(x * square % curve.p, y * square * inverse % curve.p)


def _multiply(curve: Curve, scalar: int, point: Point) -> _Jacobian:
    scalar %= curve.n
    base: _Jacobian = (point.x, point.y, 1)
    table = [_INFINITY, base]
    for _ in range(2, 1 << _WINDOW):
        table.append(_add(curve, table[-1], base))
    result = _INFINITY
    top = (scalar.bit_length() + _WINDOW - 1) // _WINDOW * _WINDOW
    for shift in range(top - _WINDOW, -1, -_WINDOW):
        for _ in range(_WINDOW):
            result = _double(curve, result)
        digit = scalar >> shift & ((1 << _WINDOW) - 1)
        if digit:
            result = _add(curve, result, table[digit])
    return result


def multiply(curve: Curve, scalar: int, point: Point) -> Point:
    """`scalar` times `point`.

    Raises:
        DocumentError: `document.access` if the result is the point at infinity.
    """
    scalar %= curve.n
    if (point.x, point.y) == (curve.gx, curve.gy):
        found = native_curves.base_multiple(curve, scalar)
    else:
        found = native_curves.multiple(curve, scalar, point.x, point.y)
    return Point(*found) if found is not None else _affine(curve, _multiply(curve, scalar, point))


def multiply_add(curve: Curve, scalar: int, point: Point, addend: Point) -> Point:
    """`scalar` times `point`, plus `addend`.

    Raises:
        DocumentError: `document.access` if the result is the point at infinity.
    """
    product = multiply(curve, scalar, point)
    return _affine(curve, _add(curve, (product.x, product.y, 1), (addend.x, addend.y, 1)))


def random_scalar(order: int) -> int:
    """A secret from 1 to `order` - 1."""
    return 1 + secrets.randbelow(order - 1)


def verify_ecdsa(curve: Curve, public: Point, signature: tuple[int, int], digest: bytes) -> bool:
    """Whether (r, s) signs `digest`: for the curves that OpenSSL's Python binding does not name."""
    r, s = signature
    n = curve.n
    if not (0 < r < n and 0 < s < n):
        return False
    number = int.from_bytes(digest, "big") >> max(0, len(digest) * 8 - n.bit_length())
    inverse = pow(s, -1, n)
    base = _multiply(curve, number * inverse, generator(curve))
    total = _add(curve, base, _multiply(curve, r * inverse, public))
    return bool(total[2]) and _affine(curve, total).x % n == r


def sign_ecdsa(curve: Curve, private: int, message: bytes, algorithm: str) -> tuple[int, int]:
    """An ECDSA signature: for simulated chips on any curve."""
    n = curve.n
    digest = hashlib.new(algorithm, message).digest()
    number = int.from_bytes(digest, "big") >> max(0, len(digest) * 8 - n.bit_length())
    while True:
        k = random_scalar(n)
        r = multiply(curve, k, generator(curve)).x % n
        s = pow(k, -1, n) * (number + r * private) % n
        if r and s:
            return r, s
