"""The two checks against copied chips, as verdicts (ICAO Doc 9303-11, 6)."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from firmware_bridge.apdu import tlv
from firmware_bridge.apdu.command import Command
from firmware_bridge.apdu.secure import unpad
from firmware_bridge.document import Access, Check, CheckName, Verdict
from firmware_bridge.emrtd import active_authentication as active
from firmware_bridge.emrtd import chip_authentication, files, passive, security_infos, signed_data
from firmware_bridge.emrtd.chip import Chip
from firmware_bridge.emrtd.pace import PaceResult
from firmware_bridge.emrtd.security_infos import ChipAuthenticationInfo, ChipAuthenticationKey, SecurityInfos
from firmware_bridge.emrtd.trust import country_of
from firmware_bridge.errors import Code, DocumentError

_DG14, _DG15 = 14, 15
_SECURITY_OBJECT = "0.4.0.127.0.7.3.2.1"
_ABSENT = Check(Verdict.NOT_PRESENT)
#: Errors that are the chip's failure to prove itself, not a cable's or a deadline's.
_CHIP_FAILED = {
    Code.DOCUMENT_CLONED,
    Code.DOCUMENT_SECURE_MESSAGING,
    Code.DOCUMENT_MALFORMED,
    Code.DOCUMENT_ACCESS,
    Code.DOCUMENT_LIMIT,
}


def cloned(reason: str) -> Check:
    """A failed check for a chip that holds data without the key that belongs to it."""
    return Check(Verdict.FAILED, reason, Code.DOCUMENT_CLONED)


def _genuine(chip: Chip, number: int) -> bytes | None:
    """A data group's content if passive authentication vouches for it."""
    if chip.passive is not None and number in chip.passive.genuine:
        return chip.groups.get(number)
    return None


def _hidden(chip: Chip, number: int) -> Check | None:
    """A group that was signed for and is not on the chip: a copy that left out what it cannot prove."""
    if number in chip.groups:
        return cloned(f"DG{number} is not what was signed, the chip cannot be judged by it")
    parsed = chip.passive.security_object if chip.passive is not None else None
    if parsed is not None and number in parsed.hashes:
        return cloned(f"DG{number} was signed for and is not on the chip")
    return None


def verified_infos(chip: Chip) -> SecurityInfos | None:
    """The chip's own SecurityInfos as signed: DG14's."""
    content = _genuine(chip, _DG14)
    return None if content is None else security_infos.parse(tlv.require(content, 0x6E))


def chip_check(chip: Chip) -> Check:
    """Chip authentication: by PACE-CAM if that ran and the document is signed to have it, else with DG14's key."""
    try:
        infos = verified_infos(chip)
        mapped = _mapping_check(chip, chip.pace, infos) if chip.pace is not None and chip.pace.chip_data else None
        if mapped is not None and (mapped.passed or mapped.verdict is Verdict.FAILED):
            return mapped
        # EF.CardAccess, which offers the mapping, is signed by nobody: what DG14 asks for is asked for all the same.
        if infos is None:
            return _hidden(chip, _DG14) or mapped or _ABSENT
        choice = chip_authentication.choose(infos)
        return mapped or _ABSENT if choice is None else _agreement_check(chip, *choice)
    except DocumentError as error:
        if error.code not in _CHIP_FAILED:
            raise
        return cloned(f"chip authentication failed: {error}")


def _agreement_check(chip: Chip, info: ChipAuthenticationInfo, key: ChipAuthenticationKey) -> Check:
    problem = _unusable(lambda: chip_authentication.public_key(key))
    if problem is not None:
        return problem
    chip.channel = chip_authentication.establish(chip.open_channel, chip.plain, info, key)
    # Only a chip that holds the private key can answer the next command.
    chip.channel.transmit(Command(0x00, 0xB0, 0x80 | files.COM.sfi, 0x00, le=8))
    return Check(Verdict.PASSED)


def _unusable(parse: Callable[[], object]) -> Check | None:
    """A signed key that nobody here can judge: no sign of a copy, and no proof against one either."""
    try:
        parse()
    except DocumentError as error:
        return Check(Verdict.FAILED, str(error), Code.DOCUMENT_MALFORMED)
    return None


def _mapping_check(chip: Chip, pace: PaceResult, infos: SecurityInfos | None) -> Check:
    keys = _card_security_keys(chip)
    if isinstance(keys, Check):
        return keys
    plain = unpad(pace.chip_data or b"")
    domain = pace.info.domain
    if not any(chip_authentication.verify_mapping(plain, pace.mapping_key, key, domain) for key in keys.chip_keys):
        return cloned("PACE's mapping key was not made with the chip's own key")
    if infos is None or pace.info not in infos.pace:
        return passive.untrusted("the chip has proven a key, and no DG14 ties this document to a chip with such a key")
    chip.access = Access.PACE_CAM
    return Check(Verdict.PASSED, "by PACE with chip authentication mapping")


def _card_security_keys(chip: Chip) -> SecurityInfos | Check:
    """The keys of EF.CardSecurity, which has a signature of its own, by a signer of the document's own state."""
    chip.open_channel.transmit(Command(0x00, 0xA4, 0x00, 0x0C, b"\x3f\x00"))
    content = chip.files().read(files.CARD_SECURITY)
    files.select_application(chip.open_channel)
    if content is None:
        return cloned("the chip offers chip authentication mapping and has no EF.CardSecurity")
    signed = signed_data.parse(content)
    signer = signed_data.verify(signed, chip.store.certificates)
    if signed.content_type != _SECURITY_OBJECT or signer is None:
        return Check(Verdict.FAILED, "EF.CardSecurity's signature is wrong", Code.DOCUMENT_ALTERED)
    path = chip.store.find_path(signer.certificate, signer.signing_time or chip.now)
    trusted = passive.trust_check(signer, path)
    if not trusted.passed:
        return passive.untrusted(f"EF.CardSecurity: {trusted.reason}")
    of_document = chip.passive.signer if chip.passive is not None else None
    if of_document is None or country_of(of_document, issuer=True) != country_of(signer.certificate, issuer=True):
        return passive.untrusted("EF.CardSecurity is not signed by the state that signed the document")
    return security_infos.parse(signed.content)


def active_check(chip: Chip) -> Check:
    """Active authentication with the caller's nonce, or a fresh one."""
    chip_passed = chip.checks.get(CheckName.CHIP, _ABSENT)
    content = _genuine(chip, _DG15)
    if content is None:
        return _hidden(chip, _DG15) or _ABSENT
    if chip_passed.passed and not chip.request.nonce:
        return Check(Verdict.NOT_PRESENT, "not run: the chip has proven itself by chip authentication")
    if chip_passed.verdict is Verdict.FAILED:
        return cloned("not run: the chip failed chip authentication")
    return _unusable(lambda: active.public_key(content)) or _signature_check(chip, content)


def _signature_check(chip: Chip, content: bytes) -> Check:
    nonce = chip.request.nonce or secrets.token_bytes(active.NONCE_SIZE)
    infos = verified_infos(chip)
    try:
        signature = active.challenge(chip.open_channel, nonce)
        key = active.public_key(content)
        if active.verify(key, signature, nonce, infos.active_signature if infos else None):
            return Check(Verdict.PASSED)
    except DocumentError as error:
        if error.code not in _CHIP_FAILED:
            raise
        return cloned(f"active authentication failed: {error}")
    return cloned("the chip's signature over the nonce is wrong")
