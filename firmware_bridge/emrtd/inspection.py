"""What a dump says, and what can be proven of it without the chip: plain data for people and for programs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, date, datetime
from typing import Any

from asn1crypto import x509

from firmware_bridge.apdu import tlv
from firmware_bridge.document import Check, CheckName, Verdict
from firmware_bridge.emrtd import (
    active_authentication,
    assemble,
    capabilities,
    data_groups,
    mrz,
    passive,
    portrait,
    security_infos,
    signatures,
)
from firmware_bridge.emrtd.dump import Dump
from firmware_bridge.emrtd.trust import TrustStore
from firmware_bridge.errors import DocumentError

_NEEDS_CHIP = "needs the chip itself: a dump can be copied"


def inspect(dump: Dump, store: TrustStore, *, at: datetime | None = None) -> dict[str, Any]:
    """Parse every file and judge what can be judged.

    Args:
        dump: the files.
        store: the anchors to believe.
        at: judge validity at this time; by default at the signing time, else now.

    Returns:
        Plain data: `authentication` holds a verdict for each check, `files` what is parsed of each file (or the
        error), `notes` what was strange.
    """
    now = at or datetime.now(UTC)
    groups = dict(dump.groups)
    state = assemble.issuing_state(groups, now)
    result = passive.authenticate(dump.contents.get("EF.SOD"), groups, store, at=at, now=now, issuing_state=state)
    check = _downgrade(dump, result) or result.check
    if check.passed and not groups:
        check = Check(Verdict.NOT_PRESENT, "the security object is genuine, but there is no data group to judge")
    parsed = {name: _parse(name, content, now) for name, content in dump.contents.items()}
    listed = result.security_object.hashes if result.security_object else {}
    for number, content in groups.items():
        entry = parsed[f"DG{number}"]
        entry["sha256"] = hashlib.sha256(content).hexdigest()
        entry["in_security_object"] = number in listed
        entry["genuine"] = number in result.genuine
    expiry = assemble.expiry_check(_expiry(groups, now), now.date())
    return {
        "kind": "emrtd",
        "judged_at": (at or result.signing_time or now).isoformat(),
        "authentication": {
            CheckName.PASSIVE.value: _check(check),
            CheckName.CHIP.value: _check(_offline(groups, 14)),
            CheckName.ACTIVE.value: _check(_offline(groups, 15)),
            CheckName.EXPIRY.value: _check(expiry),
        },
        "security_object": _security_object(result),
        "missing": [f"DG{number}" for number in sorted(listed) if number not in groups],
        "files": parsed,
        "notes": [*dump.notes, *_unlisted(dump, listed), *(f"trust: {text}" for text in store.rejected)],
    }


def _downgrade(dump: Dump, result: passive.PassiveResult) -> Check | None:
    """A dumped EF.CardAccess that hides what the signed DG14 offers; nothing is said of one that was not dumped."""
    access = dump.contents.get("EF.CardAccess")
    if access is None or 14 not in result.genuine:
        return None
    try:
        signed = security_infos.parse(tlv.require(dump.contents["DG14"], 0x6E))
        return assemble.downgrade(signed, security_infos.parse(access))
    except DocumentError:
        return None


def _unlisted(dump: Dump, listed: Mapping[int, bytes]) -> list[str]:
    """Groups that EF.COM names and the security object does not."""
    try:
        named = data_groups.parse_common(dump.contents["EF.COM"]).groups
    except (DocumentError, KeyError):
        return []
    return [f"EF.COM lists DG{n}, the security object does not" for n in named if n not in listed]


def _check(check: Check) -> dict[str, Any]:
    return {
        "verdict": check.verdict.value,
        "reason": check.reason,
        "code": check.code.value if check.code is not None else None,
    }


def _offline(groups: dict[int, bytes], number: int) -> Check:
    return Check(Verdict.NOT_PRESENT, _NEEDS_CHIP if number in groups else f"there is no DG{number}")


def _expiry(groups: dict[int, bytes], now: datetime) -> date | None:
    try:
        return data_groups.parse_mrz(groups[1], today=now.date()).expiry_date
    except (DocumentError, KeyError):
        return None


def _parse(name: str, content: bytes, now: datetime) -> dict[str, Any]:
    entry: dict[str, Any] = {"bytes": len(content)}
    parser = _PARSERS.get(name)
    try:
        entry.update(parser(content, now) if parser else {"tag": f"{tlv.header(content).tag:X}"})
    except DocumentError as error:
        entry["error"] = {"code": error.code.value, "text": str(error)}
    return entry


def _iso(value: date | None) -> str | None:
    return value.isoformat() if value is not None else None


def _com(content: bytes, _now: datetime) -> dict[str, Any]:
    common = data_groups.parse_common(content)
    return {
        "lds_version": common.lds_version,
        "unicode_version": common.unicode_version,
        "data_groups": [f"DG{number}" for number in common.groups],
    }


def _dg1(content: bytes, now: datetime) -> dict[str, Any]:
    text = data_groups.text(tlv.require(content, 0x61, 0x5F1F))
    zone: mrz.Mrz = data_groups.parse_mrz(content, today=now.date())
    return {
        "mrz": text,
        "size": {90: "TD1", 72: "TD2", 88: "TD3"}[len(mrz.compact(text))],
        "document_code": zone.document_code,
        "issuing_state": zone.issuing_state,
        "surname": zone.surname,
        "given_names": zone.given_names,
        "number": zone.number,
        "nationality": zone.nationality,
        "birth_date": _iso(zone.birth_date),
        "sex": zone.sex,
        "expiry_date": _iso(zone.expiry_date),
        "optional": zone.optional,
    }


def _dg2(content: bytes, _now: datetime) -> dict[str, Any]:
    picture = portrait.parse(content)
    size = portrait.dimensions(picture.data)
    return {
        "format": picture.format.value,
        "image_bytes": len(picture.data),
        "width": size[0],
        "height": size[1],
        "encoding": portrait.encoding(content),
    }


def _dg7(content: bytes, _now: datetime) -> dict[str, Any]:
    images = portrait.displayed_images(content)
    return {"images": [{"format": image.format.value, "image_bytes": len(image.data)} for image in images]}


def _dg11(content: bytes, _now: datetime) -> dict[str, Any]:
    details = asdict(data_groups.parse_personal(content))
    return {**details, "birth_date": _iso(details["birth_date"])}


def _dg12(content: bytes, _now: datetime) -> dict[str, Any]:
    details = asdict(data_groups.parse_document(content))
    return {**details, "issued": _iso(details["issued"])}


def _infos(infos: security_infos.SecurityInfos) -> dict[str, Any]:
    return {
        "pace": [info.title for info in infos.pace],
        "chip_authentication": [
            f"{'ECDH' if info.elliptic else 'DH'} {info.cipher}" for info in infos.chip_authentication
        ],
        "chip_keys": len(infos.chip_keys),
        "object_identifiers": list(infos.seen),
    }


def _dg14(content: bytes, _now: datetime) -> dict[str, Any]:
    return _infos(security_infos.parse(tlv.require(content, 0x6E)))


def _card_access(content: bytes, _now: datetime) -> dict[str, Any]:
    return _infos(security_infos.parse(content))


def _dir(content: bytes, _now: datetime) -> dict[str, Any]:
    templates = [item.value for item in tlv.parse(content) if item.tag == 0x61]
    return {"applications": [aid.hex().upper() for value in templates if (aid := tlv.find(value, 0x4F)) is not None]}


def _atr_info(content: bytes, _now: datetime) -> dict[str, Any]:
    found = capabilities.from_info(content)
    return asdict(found) if found is not None else {}


def _card_security(content: bytes, _now: datetime) -> dict[str, Any]:
    from firmware_bridge.emrtd import signed_data

    signed = signed_data.parse(content)
    return {**_infos(security_infos.parse(signed.content)), "signature_holds": signed_data.verify(signed) is not None}


def _dg15(content: bytes, _now: datetime) -> dict[str, Any]:
    info = active_authentication.public_key(content)
    if info["algorithm"]["algorithm"].native == "ec":
        return {"key": signatures.known_curve(info).name}
    return {"key": f"RSA {signatures.rsa_key(info).key_size}"}


def _security_object(result: passive.PassiveResult) -> dict[str, Any] | None:
    parsed = result.security_object
    if parsed is None:
        return None
    return {
        "version": parsed.version,
        "lds_version": parsed.lds_version,
        "digest": parsed.digest,
        "data_groups": [f"DG{number}" for number in sorted(parsed.hashes)],
        "signing_time": result.signing_time.isoformat() if result.signing_time else None,
        "document_signer": _certificate(result.signer),
        "csca": _certificate(result.anchor),
    }


def _certificate(certificate: x509.Certificate | None) -> dict[str, Any] | None:
    if certificate is None:
        return None
    return {
        "subject": certificate.subject.human_friendly,
        "issuer": certificate.issuer.human_friendly,
        "serial": f"{certificate.serial_number:x}",
        "not_before": certificate.not_valid_before.isoformat(),
        "not_after": certificate.not_valid_after.isoformat(),
        "sha256": certificate.sha256.hex(),
    }


_PARSERS: dict[str, Callable[[bytes, datetime], dict[str, Any]]] = {
    "EF.COM": _com,
    "DG1": _dg1,
    "DG2": _dg2,
    "DG7": _dg7,
    "DG11": _dg11,
    "DG12": _dg12,
    "DG14": _dg14,
    "DG15": _dg15,
    "EF.CardAccess": _card_access,
    "EF.DIR": _dir,
    "EF.ATR/INFO": _atr_info,
    "EF.CardSecurity": _card_security,
}
