"""Epochs (RFC 9334, 10.3): the issuer says "now", signed and retained, and a request names the newest that it heard."""

from typing import Annotated

from pydantic import Field

from agent.wire import cose
from agent.wire.claims import Count, Text
from agent.wire.cose import Context
from agent.wire.keys import KeyRing, Signer
from agent.wire.message import STRICT, Key, Versioned

LIMIT = 4096


class Epoch(Versioned):
    """One epoch. `issued_at` is the issuer's clock (seconds since 1970), `interval` the seconds to the next."""

    issuer: Annotated[Text, Key(1)]
    issued_at: Annotated[Count, Key(6)]
    #: Random: nobody can name an epoch before it was published.
    epoch_id: Annotated[Annotated[bytes, STRICT, Field(min_length=8, max_length=64)], Key(10)]
    sequence: Annotated[Count, Key(-75030)]
    interval: Annotated[Annotated[int, STRICT, Field(ge=1, le=3600)], Key(-75031)]


def context(issuer: str) -> Context:
    """The context of epochs: by this issuer, for everybody."""
    return Context("epoch", "*", issuer)


def sign(epoch: Epoch, signer: Signer) -> bytes:
    """The epoch as it is published."""
    return cose.sign(epoch.encode(), signer, context(epoch.issuer))


def verify(data: bytes, ring: KeyRing, issuer: str) -> Epoch:
    """A published epoch of `issuer`.

    Raises:
        WireError: not by a trusted key, not this issuer's, not an epoch.
    """
    return Epoch.decode(cose.verify_by_ring(data, ring, context(issuer), limit=LIMIT), limit=LIMIT)
