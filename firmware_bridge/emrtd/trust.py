"""Whom to believe: CSCA certificates, link certificates and revocation lists (ICAO Doc 9303-12).

A `TrustStore` is a plain folder: certificates and CRLs in DER or PEM, and master lists, in files of any name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from asn1crypto import crl, x509

from firmware_bridge.emrtd import signatures
from firmware_bridge.emrtd.trust_files import Found, parse_file
from firmware_bridge.errors import DocumentError

_MAX_PATH = 6
_MAX_FILES = 20_000


@dataclass(frozen=True, slots=True)
class TrustPath:
    """A chain from a document signer to an anchor, or why there is none."""

    anchor: x509.Certificate | None
    reason: str = ""
    links: int = 0


@dataclass(slots=True)
class TrustStore:
    """Certificates by subject, and revocation lists by issuer."""

    certificates: list[x509.Certificate] = field(default_factory=list)
    revocation_lists: list[crl.CertificateList] = field(default_factory=list)
    #: What could not be used, with the reason: told by the self-test.
    rejected: list[str] = field(default_factory=list)
    _by_subject: dict[str, list[x509.Certificate]] = field(default_factory=dict)
    _known: set[bytes] = field(default_factory=set)
    _revoked: dict[int, frozenset[int]] = field(default_factory=dict)

    @classmethod
    def load(cls, *paths: Path) -> TrustStore:
        """Read files and whole folders; a file that is no certificate, list or CRL is noted in `rejected`."""
        store = cls()
        for path in paths:
            files = sorted(p for p in path.rglob("*") if p.is_file())[:_MAX_FILES] if path.is_dir() else [path]
            for file in files:
                store.add_file(file)
        return store

    def add_file(self, file: Path) -> Found | None:
        """Read one file; None if nothing in it could be used (the reason is in `rejected`)."""
        try:
            found = parse_file(file)
        except (DocumentError, OSError) as error:
            self.rejected.append(f"{file.name}: {error if isinstance(error, DocumentError) else error.strerror}")
            return None
        for certificate in found.certificates:
            self.add(certificate)
        self.revocation_lists += found.revocation_lists
        return found

    def add(self, certificate: x509.Certificate) -> None:
        """Add a certificate; only a self-signed one becomes an anchor."""
        if certificate.sha256 in self._known:
            return
        self._known.add(certificate.sha256)
        self.certificates.append(certificate)
        self._by_subject.setdefault(certificate.subject.hashable, []).append(certificate)

    def find_path(self, signer: x509.Certificate, at: datetime) -> TrustPath:
        """The chain from `signer` to an anchor, every certificate valid at `at` and none revoked."""
        return self._climb(signer, at, 0)

    def _climb(self, certificate: x509.Certificate, at: datetime, depth: int) -> TrustPath:
        role = "document signer" if depth == 0 else "CSCA link certificate"
        problem = _validity(certificate, at, role)
        if problem:
            return TrustPath(None, problem)
        if depth >= _MAX_PATH:
            return TrustPath(None, "the chain of link certificates is too long")
        reason = f"no trusted CSCA issued the {role}"
        for issuer in self._issuers(certificate):
            if not signatures.certificate_is_signed_by(certificate, issuer.public_key):
                reason = f"the {role} bears a CSCA's name but not its signature"
                continue
            if self._is_revoked(certificate):
                return TrustPath(None, f"the {role} is revoked")
            if is_anchor(issuer):
                problem = _validity(issuer, at, "CSCA")
                if not problem:
                    return TrustPath(issuer, links=depth)
                reason = problem
            else:
                path = self._climb(issuer, at, depth + 1)
                if path.anchor is not None:
                    return path
                reason = path.reason
        return TrustPath(None, reason)

    def _issuers(self, certificate: x509.Certificate) -> Sequence[x509.Certificate]:
        named = self._by_subject.get(certificate.issuer.hashable, [])
        identifier = certificate.authority_key_identifier
        usable = [c for c in named if c.sha256 != certificate.sha256 and is_authority(c)]
        # The key identifier orders the candidates, the signature decides.
        return sorted(usable, key=lambda c: (c.key_identifier != identifier, not is_anchor(c)))

    def _is_revoked(self, certificate: x509.Certificate) -> bool:
        """Whether a list says so; a state has one list for all keys that it ever had, signed with the newest."""
        serial, named = certificate.serial_number, self._by_subject.get(certificate.issuer.hashable, [])
        for revocations in self.revocation_lists:
            if revocations.issuer != certificate.issuer or serial not in self._serials(revocations):
                continue
            if any(crl_is_signed_by(revocations, issuer) for issuer in named):
                return True
        return False

    def _serials(self, revocations: crl.CertificateList) -> frozenset[int]:
        """The serial numbers of a list, parsed once: some states revoke thousands."""
        key = id(revocations)
        if key not in self._revoked:
            entries = revocations["tbs_cert_list"]["revoked_certificates"]
            self._revoked[key] = frozenset(entry["user_certificate"].native for entry in entries or ())
        return self._revoked[key]


def crl_is_signed_by(revocations: crl.CertificateList, issuer: x509.Certificate) -> bool:
    """Whether `issuer` signed the list."""
    try:
        return signatures.verify(
            issuer.public_key,
            revocations["signature_algorithm"],
            revocations["signature"].native,
            revocations["tbs_cert_list"].dump(),
        )
    except DocumentError:
        return False


def is_anchor(certificate: x509.Certificate) -> bool:
    """Whether the certificate is self-signed (name and signature)."""
    return certificate.subject == certificate.issuer and signatures.certificate_is_signed_by(
        certificate, certificate.public_key
    )


def is_authority(certificate: x509.Certificate) -> bool:
    """Whether the certificate may issue others."""
    constraints = certificate.basic_constraints_value
    usage = certificate.key_usage_value
    if usage is not None and "key_cert_sign" not in usage.native:
        return False
    return constraints is None or bool(constraints["ca"].native)


def country_of(certificate: x509.Certificate, *, issuer: bool = False) -> str:
    """The country of the subject (or issuer) in capitals, empty if it names none."""
    name = (certificate.issuer if issuer else certificate.subject).native
    country = name.get("country_name", "")
    return country.upper() if isinstance(country, str) else ""


def _validity(certificate: x509.Certificate, at: datetime, role: str) -> str:
    if at < certificate.not_valid_before:
        return f"the {role} is not valid yet at {at:%Y-%m-%d}"
    if at > certificate.not_valid_after:
        return f"the {role} expired on {certificate.not_valid_after:%Y-%m-%d}"
    return ""


def last_days(anchors: Iterable[x509.Certificate]) -> dict[str, datetime]:
    """For each state, the last moment at which one of its anchors is valid."""
    ends: dict[str, datetime] = {}
    for anchor in anchors:
        state = country_of(anchor).upper() or "?"
        ends[state] = max(anchor.not_valid_after, ends.get(state, anchor.not_valid_after))
    return ends


def expired(certificates: Iterable[x509.Certificate], at: datetime) -> list[x509.Certificate]:
    """The certificates that are not valid any more at `at`."""
    return [certificate for certificate in certificates if at > certificate.not_valid_after]
