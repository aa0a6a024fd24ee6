"""Bringing trust material into a folder: one file for each certificate and list, written whole or not at all."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from asn1crypto import crl, x509

from firmware_bridge.emrtd.trust import TrustStore, country_of, crl_is_signed_by, is_anchor, is_authority
from firmware_bridge.emrtd.trust_files import parse_file
from firmware_bridge.errors import DocumentError


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of one file: how many things were new, were known, and why something was refused."""

    file: str
    kind: str
    new: int = 0
    known: int = 0
    refused: tuple[str, ...] = ()


def import_file(file: Path, folder: Path, store: TrustStore) -> Imported:
    """Take one file's certificates and lists into `folder` and `store`.

    A revocation list is refused unless a certificate of the store signed it: import its CSCA first.

    Raises:
        OSError: the folder cannot be written.
    """
    try:
        found = parse_file(file)
    except DocumentError as error:
        return Imported(file.name, "", refused=(str(error),))
    new = known = 0
    refused: list[str] = []
    for certificate in found.certificates:
        fresh = _write(folder, f"{role(certificate)}-{country_of(certificate).lower() or 'xx'}", certificate.dump())
        new, known = new + fresh, known + (not fresh)
        store.add(certificate)
    for revocations in found.revocation_lists:
        if not any(crl_is_signed_by(revocations, c) for c in store.certificates if c.subject == revocations.issuer):
            refused.append("a revocation list that no known CSCA signed: import that CSCA first")
            continue
        fresh = _write(folder, "crl", revocations.dump())
        new, known = new + fresh, known + (not fresh)
        store.revocation_lists.append(revocations)
    return Imported(file.name, found.kind, new, known, tuple(refused))


def _write(folder: Path, prefix: str, content: bytes) -> bool:
    """Whether the content was not there yet."""
    target = folder / f"{prefix}-{hashlib.sha256(content).hexdigest()[:20]}.der"
    if target.exists():
        return False
    folder.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".part")
    with partial.open("wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    partial.replace(target)
    return True


def role(certificate: x509.Certificate) -> str:
    """What a certificate is here: "csca" (an anchor), "link" or "signer"."""
    if is_anchor(certificate):
        return "csca"
    return "link" if is_authority(certificate) and certificate.basic_constraints_value is not None else "signer"


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing in a trust folder."""

    role: str
    country: str
    name: str
    until: datetime | None
    expired: bool
    sha256: str


def entries(store: TrustStore, now: datetime | None = None) -> Iterator[Entry]:
    """What a store holds, by country and name; revocation lists count as expired after their next update."""
    moment = now or datetime.now(UTC)
    for certificate in sorted(store.certificates, key=lambda c: (country_of(c), c.subject.human_friendly)):
        until = certificate.not_valid_after
        yield Entry(
            role(certificate),
            country_of(certificate),
            certificate.subject.human_friendly,
            until,
            moment > until,
            certificate.sha256.hex(),
        )
    for revocations in store.revocation_lists:
        yield _list_entry(revocations, moment)


def _list_entry(revocations: crl.CertificateList, moment: datetime) -> Entry:
    until = revocations["tbs_cert_list"]["next_update"].native
    revoked = len(revocations["tbs_cert_list"]["revoked_certificates"].native or ())
    return Entry(
        "crl",
        str(revocations.issuer.native.get("country_name", "")),
        f"{revocations.issuer.human_friendly}, {revoked} revoked",
        until,
        until is not None and moment > until,
        hashlib.sha256(revocations.dump()).hexdigest(),
    )
