"""What the terminal attests: an Entity Attestation Token (RFC 9711) as a CWT claims set (RFC 8392).

Registered claims keep their keys; ours are private ones from -75000 downwards (RFC 8392, 4: below -65536). The holder's
data is *not* in the token: it travels beside it (`HolderData`) and the token holds its salted digest. So the signed
evidence can be kept and verified months later without keeping the person.
"""

import hashlib
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from agent.wire import bounded
from agent.wire.message import STRICT, TOKEN, Key, Message, Versioned

#: Bounds before decoding. A request holds a few kilobytes; the holder's part may bring a portrait.
REQUEST_LIMIT = 32 * 1024
PORTRAIT_LIMIT = 128 * 1024
HOLDER_LIMIT = PORTRAIT_LIMIT + 8 * 1024
SEALED_LIMIT = REQUEST_LIMIT + HOLDER_LIMIT + 8 * 1024

PROFILE: Literal["tag:renzheng.invalid,2026:evidence/1"] = "tag:renzheng.invalid,2026:evidence/1"

Token = Annotated[str, TOKEN]
Text = Annotated[str, StringConstraints(strict=True, max_length=256)]
Number = Annotated[float, Field(strict=True)]
Digest = Annotated[bytes, STRICT, Field(min_length=32, max_length=32)]
TerminalId = Annotated[str, StringConstraints(strict=True, pattern=r"\A[A-Za-z0-9_-]{1,64}\z")]
IsoDate = Annotated[str, StringConstraints(strict=True, pattern=r"\A\d{4}-\d{2}-\d{2}\z")]
Count = Annotated[int, STRICT, Field(ge=0, le=2**63 - 1)]
Identifier = Annotated[bytes, STRICT, Field(min_length=16, max_length=16)]


class CheckEvidence(Message):
    """One authenticity check of the document, e.g. passive_authentication: passed."""

    name: Annotated[Token, Key(1)]
    verdict: Annotated[Literal["passed", "failed", "not_present", "not_trusted"], Key(2)]
    reason: Annotated[Text, Key(3)] = ""


class DataGroup(Message):
    """SHA-256 of one data group as read: evidence that names the data without showing it."""

    name: Annotated[str, StringConstraints(strict=True, pattern=r"\A[A-Za-z0-9]{1,8}\z"), Key(1)]
    sha256: Annotated[Digest, Key(2)]


class DocumentEvidence(Message):
    """What the chip proved."""

    kind: Annotated[Token, Key(1)]
    issuing_state: Annotated[str, StringConstraints(strict=True, max_length=3), Key(2)]
    access: Annotated[Token, Key(3)]
    checks: Annotated[tuple[CheckEvidence, ...], Field(max_length=16), Key(4)]
    data_groups: Annotated[tuple[DataGroup, ...], Field(max_length=20), Key(5)] = ()


class LivenessPart(Message):
    """One piece of liveness evidence, its score and the threshold that it was held against."""

    name: Annotated[Token, Key(1)]
    verdict: Annotated[Literal["live", "attack", "indeterminate"], Key(2)]
    score: Annotated[Number, Key(3)]
    threshold: Annotated[Number, Key(4)]
    required: Annotated[bool, STRICT, Key(5)]


class Liveness(Message):
    """The fused verdict of one presentation (ISO/IEC 30107-3)."""

    verdict: Annotated[Literal["live", "attack", "indeterminate"], Key(1)]
    policy: Annotated[Text, Key(2)]
    parts: Annotated[tuple[LivenessPart, ...], Field(max_length=32), Key(3)] = ()
    challenge: Annotated[tuple[Token, ...], Field(max_length=16), Key(4)] = ()
    #: SHA-256 of the whole challenge as the terminal drew it: turns, times, colours of the screen.
    binding: Annotated[Digest | None, Key(5)] = None


class Quality(Message):
    """One quality measurement of the probe, by name."""

    name: Annotated[Token, Key(1)]
    value: Annotated[Number, Key(2)]


class FaceEvidence(Message):
    """What the camera proved. Without a similarity the issuer compares (an opaque portrait)."""

    liveness: Annotated[Liveness, Key(1)]
    similarity: Annotated[Number | None, Key(2)] = None
    threshold: Annotated[Number | None, Key(3)] = None
    target_fmr: Annotated[Annotated[float, Field(strict=True, gt=0, lt=1)] | None, Key(4)] = None
    quality: Annotated[tuple[Quality, ...], Field(max_length=32), Key(5)] = ()
    frames: Annotated[Count, Key(6)] = 0


class ModelDigest(Message):
    """Which model file played which role."""

    role: Annotated[Token, Key(1)]
    sha256: Annotated[Digest, Key(2)]


class ConfigurationId(Message):
    """The configuration in force."""

    version: Annotated[Count, Key(1)]
    sha256: Annotated[Digest, Key(2)]


class ClockEvidence(Message):
    """How far the terminal's clock can be trusted, and what it says minus what the newest epoch says (seconds)."""

    trust: Annotated[Literal["unsynchronised", "synchronised", "contradicted"], Key(1)]
    offset: Annotated[int, STRICT, Key(2)] = 0


class PortraitData(Message):
    """A picture for the issuer to compare: the chip's (opaque without a licensed decoder) or the probe."""

    media_type: Annotated[str, StringConstraints(strict=True, pattern=r"\A[a-z]+/[a-z0-9.+-]{1,40}\z"), Key(1)]
    data: Annotated[bytes, STRICT, Field(max_length=PORTRAIT_LIMIT), Key(2)]


class HolderData(Versioned):
    """Personal data of the holder: only what the issuer's policy names, sealed, never in the signed token."""

    salt: Annotated[Identifier, Key(1)]
    surname: Annotated[Text | None, Key(2)] = None
    given_names: Annotated[Text | None, Key(3)] = None
    document_number: Annotated[Text | None, Key(4)] = None
    birth_date: Annotated[IsoDate | None, Key(5)] = None
    valid_until: Annotated[IsoDate | None, Key(6)] = None
    sex: Annotated[Text | None, Key(7)] = None
    nationality: Annotated[Text | None, Key(8)] = None
    personal_number: Annotated[Text | None, Key(9)] = None
    native_name: Annotated[Text | None, Key(10)] = None
    portrait: Annotated[PortraitData | None, Key(11)] = None
    probe: Annotated[PortraitData | None, Key(12)] = None


class Evidence(Message):
    """What one verification found: the part of the token that the verification flow fills in."""

    document: Annotated[DocumentEvidence | None, Key(-75004)] = None
    face: Annotated[FaceEvidence | None, Key(-75006)] = None
    models: Annotated[tuple[ModelDigest, ...], Field(max_length=16), Key(-75007)] = ()
    configuration: Annotated[ConfigurationId, Key(-75008)]
    relying_party: Annotated[Text, Key(-75010)]
    purpose: Annotated[Text, Key(-75011)]
    software_version: Annotated[Text, Key(271)]
    software_name: Annotated[Text, Key(270)] = "renzheng"


class Request(Evidence, Versioned):
    """The whole token: the evidence, who attests it, and what makes it fresh and unique."""

    profile: Annotated[Literal["tag:renzheng.invalid,2026:evidence/1"], Key(265)] = PROFILE
    #: Universal entity identifier (RFC 9711, 4.2.1): type byte 0x01 and 16, 24 or 32 random bytes.
    ueid: Annotated[bytes, STRICT, Field(min_length=17, max_length=33), Key(256)]
    terminal: Annotated[TerminalId, Key(-75001)]
    audience: Annotated[Text, Key(3)]
    issued_at: Annotated[Count, Key(6)]
    request_id: Annotated[Identifier, Key(7)]
    #: The identifier of the newest epoch that the terminal holds (RFC 9334, 10.3; RFC 9711, 4.1).
    epoch: Annotated[Annotated[bytes, STRICT, Field(min_length=8, max_length=64)], Key(10)]
    counter: Annotated[Count, Key(-75002)]
    holder_digest: Annotated[Digest | None, Key(-75005)] = None
    clock: Annotated[ClockEvidence, Key(-75009)]


class Decision(Versioned):
    """The issuer's word on one request. It holds codes and digests, nothing personal: it is signed, not sealed."""

    issuer: Annotated[Text, Key(1)]
    terminal: Annotated[TerminalId, Key(-75001)]
    issued_at: Annotated[Count, Key(6)]
    decision_id: Annotated[Identifier, Key(7)]
    #: The newest epoch when the issuer decided.
    epoch: Annotated[Annotated[bytes, STRICT, Field(min_length=8, max_length=64)], Key(10)]
    request_id: Annotated[Identifier, Key(-75020)]
    #: SHA-256 of the signed token; absent when the request could not be opened (then it is always a refusal).
    request_digest: Annotated[Digest | None, Key(-75021)] = None
    outcome: Annotated[Literal["accepted", "refused"], Key(-75022)]
    #: Failure codes, the most important first; empty when accepted.
    reasons: Annotated[tuple[Token, ...], Field(max_length=16), Key(-75023)] = ()

    @property
    def accepted(self) -> bool:
        """Whether the holder passes."""
        return self.outcome == "accepted"


def holder_digest(encoded: bytes) -> bytes:
    """The digest of an encoded `HolderData` as the token names it."""
    return hashlib.sha256(encoded).digest()


def request_digest(signed: bytes) -> bytes:
    """The digest of a signed token as a decision names it."""
    return hashlib.sha256(signed).digest()


def pack(signed: bytes, holder: bytes | None) -> bytes:
    """What gets sealed: the signed token and, beside it, the holder's data."""
    return bounded.encode([signed, holder])
