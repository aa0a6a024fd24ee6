"""Whom the terminal believes: the issuer's signing and sealing keys and the broker's authority, pinned at provisioning.

A trust folder holds PEM files: `broker-ca.pem`, `issuer-signing.pem`, `issuer-sealing.pem`; and `evidence-ca.pem`
for whoever reads recorded evidence. The issuer's certificates are pinned themselves (several in one file while a key
is being changed); their common name is the issuer's name.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from agent.trust.errors import TrustError
from agent.wire.chain import ISSUER_SEALING, ISSUER_SIGNING, UNREADABLE
from agent.wire.errors import WireError
from agent.wire.evidence import Trust as EvidenceTrust
from agent.wire.keys import KeyRing, certified_key

BROKER_CA = "broker-ca.pem"
ISSUER_SIGNING_FILE = "issuer-signing.pem"
ISSUER_SEALING_FILE = "issuer-sealing.pem"
EVIDENCE_CA = "evidence-ca.pem"


@dataclass(frozen=True, slots=True, repr=False)
class IssuerTrust:
    """The issuer as this terminal knows it."""

    name: str
    signing: tuple[x509.Certificate, ...]
    sealing: tuple[x509.Certificate, ...]
    broker_ca: Path

    @property
    def pinned_keys(self) -> KeyRing:
        """Every pinned signing key, valid now or not: enough to learn the time from, not to believe a decision."""
        return KeyRing(certified_key(certificate) for certificate in self.signing)

    def signing_keys(self, at: datetime) -> KeyRing:
        """The keys whose word counts at the aware time `at`."""
        return KeyRing(certified_key(certificate) for certificate in self.signing if _valid(certificate, at))

    def sealing_key(self, at: datetime) -> ec.EllipticCurvePublicKey:
        """The key to seal to at `at`: the first valid one of the file.

        Raises:
            TrustError: `trust.expired`.
        """
        for certificate in self.sealing:
            key = certified_key(certificate)
            if _valid(certificate, at) and isinstance(key, ec.EllipticCurvePublicKey):
                return key
        raise TrustError("trust.expired", "no sealing certificate of the issuer is valid now")


def load(folder: Path) -> IssuerTrust:
    """The anchors in `folder`.

    Raises:
        TrustError: `trust.anchor`; a file is missing, holds no certificate, or one for another use.
    """
    signing = _certificates(folder / ISSUER_SIGNING_FILE, ISSUER_SIGNING)
    sealing = _certificates(folder / ISSUER_SEALING_FILE, ISSUER_SEALING)
    broker_ca = folder / BROKER_CA
    if not broker_ca.is_file():
        raise TrustError("trust.anchor", f"{broker_ca} is missing")
    names = {_name(certificate) for certificate in (*signing, *sealing)}
    if len(names) != 1:
        raise TrustError("trust.anchor", f"the certificates in {folder} are of {len(names)} issuers, not of one")
    return IssuerTrust(names.pop(), signing, sealing, broker_ca)


def load_evidence_trust(folder: Path) -> EvidenceTrust:
    """Whom to believe about recorded evidence: the issuer's signing keys and the authority of the terminals.

    Raises:
        TrustError: `trust.anchor`.
    """
    signing = _certificates(folder / ISSUER_SIGNING_FILE, ISSUER_SIGNING)
    authorities = read_certificates(folder / EVIDENCE_CA)
    return EvidenceTrust(_name(signing[0]), KeyRing(certified_key(certificate) for certificate in signing), authorities)


def read_certificates(path: Path) -> tuple[x509.Certificate, ...]:
    """All certificates of a PEM file.

    Raises:
        TrustError: `trust.anchor`.
    """
    try:
        return tuple(x509.load_pem_x509_certificates(path.read_bytes()))
    except OSError as error:
        raise TrustError("trust.anchor", f"{path}: {error.strerror}") from error
    except UNREADABLE as error:
        raise TrustError("trust.anchor", f"{path} holds no certificate") from error


def _certificates(path: Path, usage: x509.ObjectIdentifier) -> tuple[x509.Certificate, ...]:
    certificates = read_certificates(path)
    for certificate in certificates:
        try:
            usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
            fits = usage in usages
            KeyRing([certified_key(certificate)])
        except (*UNREADABLE, WireError):
            fits = False
        if not fits:
            raise TrustError("trust.anchor", f"{path} holds a certificate that is not for this use")
    return certificates


def _name(certificate: x509.Certificate) -> str:
    return ",".join(str(name.value) for name in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME))


def _valid(certificate: x509.Certificate, at: datetime) -> bool:
    return certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc
