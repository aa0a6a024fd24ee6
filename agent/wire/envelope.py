"""The envelopes of a verification: a signed token, sealed to the issuer; a signed decision back.

    request  = COSE_Encrypt0(HPKE to the issuer, [ COSE_Sign1(device key, token), holder's data / null ])
    decision = COSE_Sign1(issuer key, decision)

Both layers of a request authenticate the same context: kind, issuer, terminal. A broker, or another terminal, can
neither read it, nor change it, nor pass it on as something else.
"""

from collections.abc import Callable
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec

from agent.wire import bounded, claims, cose
from agent.wire.claims import Decision, HolderData, Request
from agent.wire.cose import Context
from agent.wire.errors import Fault, WireError
from agent.wire.keys import KeyRing, PublicKey, Signer

DECISION_LIMIT = 8 * 1024


@dataclass(frozen=True, slots=True, repr=False)
class Sealed:
    """A request ready to publish, and the digest by which its decision names it."""

    data: bytes
    digest: bytes


@dataclass(frozen=True, slots=True, repr=False)
class Opened:
    """A request that the issuer opened: the token's outside, not yet verified, and the holder's data."""

    signed: bytes
    holder: bytes | None

    @property
    def digest(self) -> bytes:
        """The digest by which the decision names this request."""
        return claims.request_digest(self.signed)


def request_context(issuer: str, terminal: str) -> Context:
    """From a terminal to an issuer."""
    return Context("request", issuer, terminal)


def decision_context(issuer: str, terminal: str) -> Context:
    """From an issuer to a terminal."""
    return Context("decision", terminal, issuer)


def seal(
    request: Request,
    holder: HolderData | None,
    *,
    signer: Signer,
    chain: tuple[bytes, ...],
    recipient: ec.EllipticCurvePublicKey,
) -> Sealed:
    """Sign `request` by the device key and seal it with the holder's data to the issuer's key.

    Raises:
        WireError: `limit`; the portrait is too large to send.
    """
    beside = None if holder is None else holder.encode()
    if beside is not None:
        request = request.model_copy(update={"holder_digest": claims.holder_digest(beside)})
    context = request_context(request.audience, request.terminal)
    signed = cose.sign(request.encode(), signer, context, chain=chain)
    data = cose.encrypt(claims.pack(signed, beside), recipient, context)
    if len(signed) > claims.REQUEST_LIMIT or len(data) > claims.SEALED_LIMIT:
        raise WireError(Fault.LIMIT, "the request is larger than the contract allows")
    return Sealed(data, claims.request_digest(signed))


def unseal(data: bytes, keys: dict[bytes, ec.EllipticCurvePrivateKey], *, issuer: str, terminal: str) -> Opened:
    """Open the seal of a request that came from `terminal`. What is inside is still unverified.

    Raises:
        WireError: `limit`, `malformed`, `algorithm`, `unknown_key`, `decryption`.
    """
    plaintext = cose.decrypt(data, keys, request_context(issuer, terminal), limit=claims.SEALED_LIMIT)
    parts = bounded.decode(plaintext, limit=claims.SEALED_LIMIT)
    match parts:
        case [bytes() as signed, (bytes() | None) as holder]:
            return Opened(signed, holder)
    raise WireError(Fault.MALFORMED, "not a sealed request")


def read_request(
    signed: bytes, key_of: Callable[[tuple[bytes, ...]], PublicKey], *, issuer: str, terminal: str
) -> Request:
    """The token inside `signed`, by the key that `key_of` finds for its certificate chain (DER, leaf first).

    Raises:
        WireError: whatever `key_of` raises; `signature`, `version`, `malformed`, `context`.
    """
    key = key_of(cose.inspect(signed, limit=claims.REQUEST_LIMIT).chain)
    payload = cose.verify(signed, key, request_context(issuer, terminal), limit=claims.REQUEST_LIMIT)
    request = Request.decode(payload, limit=claims.REQUEST_LIMIT)
    if (request.audience, request.terminal) != (issuer, terminal):
        raise WireError(Fault.CONTEXT, "the token names another issuer or terminal")
    return request


def read_holder(holder: bytes | None, request: Request) -> HolderData | None:
    """The holder's data that `request` vouches for.

    Raises:
        WireError: `context`; data without a digest, a digest without data, or data of another token (a splice).
    """
    found = None if holder is None else claims.holder_digest(holder)
    if found != request.holder_digest:
        raise WireError(Fault.CONTEXT, "the holder's data are not those that the token names")
    return None if holder is None else HolderData.decode(holder, limit=claims.HOLDER_LIMIT)


def sign_decision(decision: Decision, signer: Signer) -> bytes:
    """The decision as it is published."""
    return cose.sign(decision.encode(), signer, decision_context(decision.issuer, decision.terminal))


def read_decision(data: bytes, ring: KeyRing, *, issuer: str, terminal: str) -> Decision:
    """A decision of `issuer` for `terminal`; the caller checks which request it answers.

    Raises:
        WireError: not by a trusted key, not for this terminal, not a decision.
    """
    payload = cose.verify_by_ring(data, ring, decision_context(issuer, terminal), limit=DECISION_LIMIT)
    decision = Decision.decode(payload, limit=DECISION_LIMIT)
    if (decision.issuer, decision.terminal) != (issuer, terminal):
        raise WireError(Fault.CONTEXT, "the decision names another issuer or terminal")
    return decision
