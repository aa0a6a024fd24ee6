"""Key agreement for PACE and chip authentication, over curves and over prime groups, for both sides of a chip.

An element is a `Point` or an `int`; `generator` is None for the standard one (ICAO Doc 9303-11, 9.4 to 9.6).
"""

from typing import Generic, Protocol, TypeVar

from firmware_bridge.emrtd import curves, native_curves
from firmware_bridge.emrtd.curves import Point
from firmware_bridge.emrtd.domain_parameters import Curve, Group
from firmware_bridge.errors import Code, DocumentError

Element = TypeVar("Element")


class Agreement(Protocol, Generic[Element]):
    """The operations that PACE and chip authentication need of a group."""

    #: Tag of a public key in an authentication token's template.
    public_tag: int

    def generate(self, generator: Element | None = None) -> tuple[int, Element]:
        """A fresh ephemeral private key and its public element."""

    def power(self, private: int, element: Element) -> Element:
        """The group operation, `private` times. Raises `document.access` for a neutral result."""

    def map_generic(self, nonce: bytes, shared: Element) -> Element:
        """PACE's generic mapping (B.1 of ISO/IEC 11770-4's terms): the nonce times the generator, plus `shared`."""

    def encode(self, element: Element) -> bytes:
        """A public key as it stands in a data object."""

    def decode(self, data: bytes) -> Element:
        """The inverse, validated. Raises `document.access`."""

    def secret(self, private: int, element: Element) -> bytes:
        """The shared secret that keys derive from. Raises `document.access` for a neutral result."""


class CurveAgreement:
    """ECDH on a standard curve."""

    public_tag = 0x86

    def __init__(self, curve: Curve) -> None:
        self.curve = curve

    def generate(self, generator: Point | None = None) -> tuple[int, Point]:
        """See `Agreement.generate`."""
        private = curves.random_scalar(self.curve.n)
        return private, self.power(private, generator or curves.generator(self.curve))

    def power(self, private: int, element: Point) -> Point:
        """See `Agreement.power`."""
        return curves.multiply(self.curve, private, element)

    def map_generic(self, nonce: bytes, shared: Point) -> Point:
        """See `Agreement.map_generic`."""
        scalar = int.from_bytes(nonce, "big")
        return curves.multiply_add(self.curve, scalar, curves.generator(self.curve), shared)

    def encode(self, element: Point) -> bytes:
        """See `Agreement.encode`."""
        return curves.encode(self.curve, element)

    def decode(self, data: bytes) -> Point:
        """See `Agreement.decode`."""
        return curves.decode(self.curve, data)

    def secret(self, private: int, element: Point) -> bytes:
        """See `Agreement.secret`."""
        x = native_curves.shared_x(self.curve, private % self.curve.n, element.x, element.y)
        if x is None:
            x = self.power(private, element).x
        return x.to_bytes(self.curve.size, "big")


class GroupAgreement:
    """Diffie-Hellman in a standard prime-order subgroup."""

    public_tag = 0x84

    def __init__(self, group: Group) -> None:
        self.group = group

    def generate(self, generator: int | None = None) -> tuple[int, int]:
        """See `Agreement.generate`."""
        private = curves.random_scalar(self.group.q)
        return private, self.power(private, generator or self.group.g)

    def power(self, private: int, element: int) -> int:
        """See `Agreement.power`."""
        result = pow(element, private, self.group.p)
        if result <= 1:
            raise DocumentError(Code.DOCUMENT_ACCESS, "a key agreement with a neutral result")
        return result

    def map_generic(self, nonce: bytes, shared: int) -> int:
        """See `Agreement.map_generic`."""
        group = self.group
        return pow(group.g, int.from_bytes(nonce, "big"), group.p) * shared % group.p

    def encode(self, element: int) -> bytes:
        """See `Agreement.encode`."""
        return element.to_bytes(self.group.size, "big")

    def decode(self, data: bytes) -> int:
        """See `Agreement.decode`; membership of the subgroup is part of it."""
        group = self.group
        element = int.from_bytes(data, "big")
        if len(data) > group.size + 1 or not 1 < element < group.p - 1 or pow(element, group.q, group.p) != 1:
            raise DocumentError(Code.DOCUMENT_ACCESS, "a public key outside the group")
        return element

    def secret(self, private: int, element: int) -> bytes:
        """See `Agreement.secret`."""
        return self.encode(self.power(private, element))


AnyAgreement = CurveAgreement | GroupAgreement


def agreement(domain: Curve | Group) -> AnyAgreement:
    """The agreement over `domain`."""
    return CurveAgreement(domain) if isinstance(domain, Curve) else GroupAgreement(domain)
