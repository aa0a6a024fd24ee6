"""Passive authentication: is the data what the issuing state signed (ICAO Doc 9303-11, 5.1)?

Validity is judged at the signing time that the signature names, else now; a caller's `at` overrides both.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from asn1crypto import x509

from firmware_bridge.document import Check, Verdict
from firmware_bridge.emrtd import security_object, signed_data, trust
from firmware_bridge.emrtd.countries import same_country
from firmware_bridge.emrtd.security_object import SecurityObject
from firmware_bridge.emrtd.trust import TrustStore
from firmware_bridge.errors import Code, DocumentError

#: Extended key usages: id-icao-mrtd-security, and TLS servers and clients.
_ICAO_ROLES = "2.23.136.1.1."
_CONNECTIONS = {"1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"}


@dataclass(frozen=True, slots=True)
class PassiveResult:
    """The verdict, and the data groups that the signature covers as they were read."""

    check: Check
    #: Numbers of the groups whose content is what was signed; only these may be used.
    genuine: frozenset[int] = frozenset()
    security_object: SecurityObject | None = None
    signer: x509.Certificate | None = None
    anchor: x509.Certificate | None = None
    signing_time: datetime | None = None


def altered(reason: str) -> Check:
    """A failed check for data that is not what was signed."""
    return Check(Verdict.FAILED, reason, Code.DOCUMENT_ALTERED)


def untrusted(reason: str) -> Check:
    """A check for data that is intact but signed by nobody that is believed."""
    return Check(Verdict.NOT_TRUSTED, reason, Code.DOCUMENT_UNTRUSTED)


def authenticate(
    sod: bytes | None,
    groups: Mapping[int, bytes],
    store: TrustStore,
    *,
    at: datetime | None = None,
    now: datetime | None = None,
    issuing_state: str = "",
) -> PassiveResult:
    """Judge data groups by their security object.

    Args:
        sod: EF.SOD as read, None if the chip has none.
        groups: content of each data group that was read, by number.
        store: the anchors.
        at: judge validity at this time, whatever the signature says.
        now: the present, for signatures without a signing time.
        issuing_state: of the MRZ, to be the signer's country; empty skips that.
    """
    if sod is None:
        return PassiveResult(Check(Verdict.NOT_PRESENT, "there is no security object", Code.DOCUMENT_UNTRUSTED))
    try:
        parsed = security_object.parse(sod)
        signer = signed_data.verify(parsed.signed, store.certificates)
    except DocumentError as error:
        return PassiveResult(altered(str(error)))
    genuine = frozenset(number for number, content in groups.items() if parsed.holds(number, content))
    if parsed.signed.content_type != security_object.LDS_SECURITY_OBJECT:
        return PassiveResult(altered("the security object signs something else"), security_object=parsed)
    if signer is None and not parsed.signed.certificates:
        missing = untrusted("the document signer's certificate is neither inside nor among the trusted ones")
        return PassiveResult(_differences(parsed, groups, genuine) or missing, security_object=parsed)
    if signer is None:
        return PassiveResult(altered("the security object's signature is wrong"), security_object=parsed)
    moment = at or signer.signing_time or now or datetime.now(UTC)
    certificate = signer.certificate
    path = store.find_path(certificate, moment)
    check = _differences(parsed, groups, genuine) or trust_check(signer, path, issuing_state)
    return PassiveResult(check, genuine, parsed, certificate, path.anchor, signer.signing_time)


def _differences(parsed: SecurityObject, groups: Mapping[int, bytes], genuine: frozenset[int]) -> Check | None:
    for number in sorted(groups):
        if number not in parsed.hashes:
            return altered(f"DG{number} is not in the security object")
        if number not in genuine:
            return altered(f"DG{number} differs from what was signed")
    return None


def trust_check(signer: signed_data.Signer, path: trust.TrustPath, issuing_state: str = "") -> Check:
    """Whether `signer`, whose way to an anchor is `path`, may sign for a document (of `issuing_state`, if given)."""
    certificate = signer.certificate
    if path.anchor is None:
        return untrusted(path.reason)
    signed_at = signer.signing_time
    if signed_at and not certificate.not_valid_before <= signed_at <= certificate.not_valid_after:
        return untrusted("the document signer was not valid when it signed")
    misused = _misused(certificate)
    if misused:
        return untrusted(misused)
    country = trust.country_of(certificate, issuer=True)
    if country != trust.country_of(path.anchor):
        return untrusted("the document signer and its CSCA name different countries")
    if issuing_state and not same_country(issuing_state, country):
        return untrusted(f"issued by {issuing_state}, signed by {country}")
    return Check(Verdict.PASSED)


def _misused(certificate: x509.Certificate) -> str:
    """What a certificate says against its use as a document signer's.

    Doc 9303-12, 7.1 gives an extended key usage to the signers of master lists, of deviation lists and of visible seals
    and to servers, whom a CSCA certifies too, and none to document signers.
    """
    usage = certificate.key_usage_value
    if usage is not None and "digital_signature" not in usage.native:
        return "the document signer's certificate does not allow it to sign"
    purposes = {purpose.dotted for purpose in certificate.extended_key_usage_value or ()}
    roles = {purpose for purpose in purposes if purpose.startswith(_ICAO_ROLES)}
    if purposes & _CONNECTIONS or roles - {security_object.LDS_SECURITY_OBJECT}:
        return "the signer's certificate is made for another role than to sign documents"
    return ""
