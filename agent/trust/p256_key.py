"""What device keys in TPMs and tokens have in common: they are on P-256 and sign by ES256."""

from typing import cast

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from agent.wire.errors import WireError
from agent.wire.keys import ES256, algorithm_of


class P256Key:
    """The public half of a key that lives elsewhere: all of a `Signer` but `sign`."""

    def __init__(self, spki: bytes) -> None:
        """Read the SubjectPublicKeyInfo that the hardware gave.

        Raises:
            ValueError: not a key, or not on P-256.
        """
        try:
            key = load_der_public_key(spki)
            fits = algorithm_of(key) == ES256
        except (UnsupportedAlgorithm, WireError):
            fits = False
        if not fits:
            raise ValueError("the key is not P-256")
        self._public_key = cast("ec.EllipticCurvePublicKey", key)

    @property
    def algorithm(self) -> int:
        """COSE algorithm number."""
        return ES256

    @property
    def public_key(self) -> ec.EllipticCurvePublicKey:
        """The public half."""
        return self._public_key
