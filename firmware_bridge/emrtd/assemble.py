"""From what a chip gave to a `Document`: only groups that passive authentication vouches for are looked into."""

from __future__ import annotations

import contextlib
import hashlib
from datetime import date, datetime

from firmware_bridge.document import Check, CheckName, Document, DocumentKind, Holder, Portrait, Verdict
from firmware_bridge.emrtd import data_groups, passive, portrait, security_object
from firmware_bridge.emrtd.chip import Chip
from firmware_bridge.emrtd.mrz import Mrz
from firmware_bridge.emrtd.security_infos import SecurityInfos
from firmware_bridge.errors import Code, DocumentError


def listed_groups(common: bytes | None, sod: bytes | None) -> frozenset[int]:
    """The groups that EF.COM or EF.SOD lists; a security object that cannot be parsed lists none."""
    listed: set[int] = set()
    if common is not None:
        listed.update(data_groups.parse_common(common).groups)
    if sod is not None:
        with contextlib.suppress(DocumentError):
            listed.update(security_object.parse(sod).hashes)
    return frozenset(listed)


def issuing_state(groups: dict[int, bytes], now: datetime) -> str:
    """The state that the MRZ names, empty if there is no MRZ that can be parsed."""
    with contextlib.suppress(DocumentError, KeyError):
        return data_groups.parse_mrz(groups[1], today=now.date()).issuing_state
    return ""


def downgrade(signed: SecurityInfos | None, announced: SecurityInfos) -> Check | None:
    """Whether EF.CardAccess, which nobody signed, announces other PACE than the signed DG14 does."""
    if signed is None or not signed.pace or set(signed.pace) == set(announced.pace):
        return None
    return passive.altered("EF.CardAccess does not offer the PACE that DG14 lists")


def expiry_check(until: date | None, today: date) -> Check:
    """Whether the document is still valid today."""
    if until is None:
        return Check(Verdict.NOT_PRESENT, "the document names no last day")
    if until < today:
        return Check(Verdict.FAILED, f"the document expired on {until}", Code.DOCUMENT_EXPIRED)
    return Check(Verdict.PASSED)


def document(chip: Chip) -> Document:
    """The document, with empty fields for every group that is not genuine.

    Raises:
        DocumentError: `document.malformed` for a signed group that cannot be parsed.
    """
    genuine = chip.passive.genuine if chip.passive is not None else frozenset()
    used = {number: content for number, content in chip.groups.items() if number in genuine}
    today = chip.now.date()
    zone = data_groups.parse_mrz(used[1], today=today) if 1 in used else None
    personal = data_groups.parse_personal(used[11]) if 11 in used else data_groups.PersonalDetails()
    details = data_groups.parse_document(used[12]) if 12 in used else data_groups.DocumentDetails()
    picture: Portrait | None = portrait.parse(used[2]) if 2 in used else None
    checks = dict(chip.checks)
    for number in (1, 2):
        if number not in chip.groups and checks[CheckName.PASSIVE].passed:
            checks[CheckName.PASSIVE] = passive.altered(f"the chip does not hold DG{number}")
    checks[CheckName.EXPIRY] = expiry_check(zone.expiry_date if zone else None, today)
    return Document(
        kind=_kind(zone),
        number=zone.number if zone else "",
        issuing_state=zone.issuing_state if zone else "",
        holder=_holder(zone, personal),
        portrait=picture,
        access=chip.access,
        checks=checks,
        valid_from=details.issued,
        valid_until=zone.expiry_date if zone else None,
        issuing_authority=details.authority,
        digests={f"DG{number}": hashlib.sha256(chip.groups[number]).digest() for number in sorted(chip.groups)},
        phases=dict(chip.phases),
    )


def _kind(zone: Mrz | None) -> DocumentKind:
    if zone is None or zone.document_code.startswith("P"):
        return DocumentKind.PASSPORT
    return DocumentKind.ID_CARD


def _holder(zone: Mrz | None, personal: data_groups.PersonalDetails) -> Holder:
    if zone is None:
        return Holder("", "")
    return Holder(
        surname=zone.surname,
        given_names=zone.given_names,
        sex=zone.sex,
        birth_date=personal.birth_date or zone.birth_date,
        nationality=zone.nationality,
        native_name=personal.native_name,
        personal_number=personal.personal_number or zone.optional,
        address=personal.address,
    )
