"""The terminal's certificate under the enrolment authority (RFC 5280): who it is and which key is its own.

The chain is one step: a leaf that an enrolment authority signed, or a leaf and one intermediate. A leaf is taken
for evidence only with the extended key usage `EVIDENCE`, so that the same terminal's TLS certificate proves nothing.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.x509.oid import NameOID

from agent.wire import sm2
from agent.wire.errors import Fault, WireError
from agent.wire.keys import PublicKey, certified_key
from agent.wire.sm2 import Sm2PublicKey

#: Extended key usages, in the arc of a UUID (ITU-T X.667): evidence by a terminal; words and seal of an issuer.
EVIDENCE = x509.ObjectIdentifier("2.25.208417370614593012117190346286352917241.1")
ISSUER_SIGNING = x509.ObjectIdentifier("2.25.208417370614593012117190346286352917241.2")
ISSUER_SEALING = x509.ObjectIdentifier("2.25.208417370614593012117190346286352917241.3")

#: What `cryptography` raises over a certificate or a request that a stranger made.
UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.ExtensionNotFound,
    x509.UnsupportedGeneralNameType,
)

MAX_CHAIN = 2
TERMINAL_PATTERN = re.compile(r"\A[A-Za-z0-9_-]{1,64}\Z")


@dataclass(frozen=True, slots=True, repr=False)
class Attester:
    """A terminal as its certificate names it."""

    terminal: str
    ueid: bytes
    public_key: PublicKey
    serial: int
    certificate: x509.Certificate


def attester(chain: Sequence[bytes], anchors: Sequence[x509.Certificate], *, at: datetime) -> Attester:
    """The terminal whose certificate leads `chain` (DER, leaf first), valid at the aware time `at`.

    Raises:
        WireError: `chain`: another authority, expired, not yet valid, not for evidence, or not a certificate.
            `suite`: an SM2 authority, and the extra `gm` is not installed.
    """
    if not 1 <= len(chain) <= MAX_CHAIN:
        raise WireError(Fault.CHAIN, "no chain of the expected length")
    try:
        certificates = [x509.load_der_x509_certificate(der) for der in chain]
        verify_path(certificates, anchors, usage=EVIDENCE, at=at)
        return read_attester(certificates[0])
    except UNREADABLE as error:
        raise WireError(Fault.CHAIN, "not a certificate of a terminal") from error


def verify_path(
    certificates: Sequence[x509.Certificate],
    anchors: Sequence[x509.Certificate],
    *,
    usage: x509.ObjectIdentifier,
    at: datetime,
) -> None:
    """Verify that the leaf serves `usage` and that each certificate was issued by the next, the last by an anchor.

    Raises:
        WireError: `chain`.
    """
    for certificate, issuers in zip(certificates, [*([c] for c in certificates[1:]), anchors], strict=True):
        if not certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc:
            raise WireError(Fault.CHAIN, "a certificate is expired or not yet valid")
        if not any(_issued(certificate, issuer, at) for issuer in issuers):
            raise WireError(Fault.CHAIN, "issued by an authority that is not trusted here")
    usages = certificates[0].extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    if usage not in usages.value:
        raise WireError(Fault.CHAIN, "the certificate is not for this use")


def read_attester(certificate: x509.Certificate) -> Attester:
    """What a terminal's certificate says: common name (terminal id) and serial number attribute (UEID in hex).

    Raises:
        WireError: `chain`.
    """
    names = [str(name.value) for name in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    ueids = [str(name.value) for name in certificate.subject.get_attributes_for_oid(NameOID.SERIAL_NUMBER)]
    if len(names) != 1 or len(ueids) != 1 or not TERMINAL_PATTERN.match(names[0]):
        raise WireError(Fault.CHAIN, "the certificate names no terminal")
    key = certified_key(certificate)
    return Attester(names[0], _ueid(ueids[0]), key, certificate.serial_number, certificate)


def _ueid(text: str) -> bytes:
    try:
        ueid = bytes.fromhex(text)
    except ValueError:
        ueid = b""
    if len(ueid) not in {17, 25, 33} or ueid[0] != 1:
        raise WireError(Fault.CHAIN, "the certificate names no UEID")
    return ueid


def _issued(certificate: x509.Certificate, issuer: x509.Certificate, at: datetime) -> bool:
    try:
        authority = issuer.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        key = certified_key(issuer)
        if isinstance(key, Sm2PublicKey):
            _signed_by_sm2(certificate, issuer, key)
        else:
            certificate.verify_directly_issued_by(issuer)
    except WireError as error:
        if error.fault is Fault.SUITE:
            raise
        return False
    except (InvalidSignature, *UNREADABLE):
        return False
    return authority and issuer.not_valid_before_utc <= at <= issuer.not_valid_after_utc


def _signed_by_sm2(certificate: x509.Certificate, issuer: x509.Certificate, key: Sm2PublicKey) -> None:
    if certificate.issuer != issuer.subject:
        raise WireError(Fault.CHAIN, "issued by somebody else")
    content, algorithm = certificate.tbs_certificate_bytes, certificate.signature_algorithm_oid
    sm2.verify_signed(content, algorithm, certificate.signature, key)
