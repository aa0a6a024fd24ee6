"""CMS SignedData of security objects, EF.CardSecurity and master lists (RFC 5652; ICAO Doc 9303-10, 4.6.2.2).

Parsing is liberal (BER with indefinite lengths, absent or reordered attributes), the verdict is not: content and
attributes must hash and verify.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from asn1crypto import cms, core, x509
from cryptography.hazmat.primitives.constant_time import bytes_eq

from firmware_bridge.emrtd import signatures
from firmware_bridge.emrtd.certificates import PARSE_ERRORS, force
from firmware_bridge.errors import Code, DocumentError

_MAX_SIGNERS = 8
_MAX_CERTIFICATES = 4096
#: Certificates that are tried for one signer: each costs verifications, and a hostile chip may send thousands that fit.
_MAX_CANDIDATES = 4


@dataclass(frozen=True, slots=True)
class SignedContent:
    """A parsed structure: content, embedded certificates, and the signers still to be verified."""

    content_type: str
    content: bytes
    certificates: Sequence[x509.Certificate]
    signers: Sequence[cms.SignerInfo]


@dataclass(frozen=True, slots=True)
class Signer:
    """A signature that holds: who made it, and when it says that it was made."""

    certificate: x509.Certificate
    signing_time: datetime | None
    digest: str


def malformed(text: str) -> DocumentError:
    """A structure that cannot be what it must be."""
    return DocumentError(Code.DOCUMENT_MALFORMED, text)


def parse(data: bytes) -> SignedContent:
    """Parse a ContentInfo with SignedData.

    Raises:
        DocumentError: `document.malformed`.
    """
    try:
        info = cms.ContentInfo.load(data)
        if info["content_type"].native != "signed_data":
            raise malformed("a CMS structure that is not signed data")
        signed = info["content"]
        encapsulated = signed["encap_content_info"]
        signers = list(signed["signer_infos"])
        certificates = [
            choice.chosen for choice in signed["certificates"] or () if isinstance(choice.chosen, x509.Certificate)
        ]
        raw = _raw(encapsulated["content"])
        content_type = encapsulated["content_type"].dotted
    except PARSE_ERRORS as error:
        raise malformed("a CMS structure that cannot be parsed") from error
    if not signers or len(signers) > _MAX_SIGNERS or len(certificates) > _MAX_CERTIFICATES:
        raise malformed(f"a CMS structure with {len(signers)} signers and {len(certificates)} certificates")
    return SignedContent(content_type, raw, certificates, signers)


def _raw(content: core.Asn1Value) -> bytes:
    """The bytes of the OCTET STRING inside.

    Structures that claim version 1 are parsed after PKCS#7, which allows anything here; issuers mean the same.
    """
    if isinstance(content, core.Void):
        return b""
    if isinstance(content, core.Any):
        content = content.parse(core.OctetString)
    return bytes(content)


def verify(signed: SignedContent, others: Iterable[x509.Certificate] = ()) -> Signer | None:
    """The first signer whose signature over the content holds, or None.

    Args:
        signed: what `parse` gave.
        others: certificates to look in when the structure carries none that fits.

    Raises:
        DocumentError: `document.malformed` for structures and algorithms that cannot be judged.
    """
    try:
        for signer in signed.signers:
            found = _verify_signer(signed, signer, [*signed.certificates, *others])
            if found is not None:
                force(found.certificate)
                return found
    except PARSE_ERRORS as error:
        raise malformed("a CMS signer that cannot be parsed") from error
    return None


def _verify_signer(
    signed: SignedContent, signer: cms.SignerInfo, candidates: Sequence[x509.Certificate]
) -> Signer | None:
    digest = signatures.hash_name(signer["digest_algorithm"])
    attributes = signer["signed_attrs"]
    messages = [signed.content]
    signing_time = None
    if attributes.native is not None and len(attributes):
        values = {attribute["type"].native: attribute["values"] for attribute in attributes}
        claimed = values["message_digest"][0].native if "message_digest" in values else b""
        actual = hashlib.new(digest, signed.content, usedforsecurity=False).digest()
        if not bytes_eq(actual, claimed):
            return None
        if "content_type" in values and values["content_type"][0].dotted != signed.content_type:
            return None
        if "signing_time" in values:
            signing_time = values["signing_time"][0].native
            signing_time = signing_time if signing_time.tzinfo else signing_time.replace(tzinfo=UTC)
        # Signed is the SET OF in DER; some issuers signed the order or the lengths that they sent instead.
        messages = [*dict.fromkeys((b"\x31" + attributes.dump()[1:], attributes.untag().dump(force=True)))]
    signature = signer["signature"].native
    for certificate in _signer_candidates(signer, candidates)[:_MAX_CANDIDATES]:
        for message in messages:
            if signatures.verify(certificate.public_key, signer["signature_algorithm"], signature, message, digest):
                return Signer(certificate, signing_time, digest)
    return None


def _signer_candidates(signer: cms.SignerInfo, candidates: Sequence[x509.Certificate]) -> Sequence[x509.Certificate]:
    identifier = signer["sid"]
    if identifier.name == "subject_key_identifier":
        return [c for c in candidates if c.key_identifier == identifier.chosen.native]
    serial, issuer = identifier.chosen["serial_number"].native, identifier.chosen["issuer"]
    numbered = [c for c in candidates if c.serial_number == serial]
    # String types of a name differ between certificate and signer in real documents: the serial number leads.
    return [c for c in numbered if c.issuer == issuer] or numbered
