"""Checks of keys and trust: the device key signs, its certificate is valid, and there is somebody to believe."""

import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from agent import parts
from agent.configuration.schema import Settings
from agent.health.audit_check import by_key
from agent.health.check import Check, Finding, Status, failed, passed, skipped, warned
from agent.trust import identity as identity_files
from agent.trust.anchors import EVIDENCE_CA, read_certificates
from agent.trust.identity import DeviceIdentity
from agent.wire.chain import attester
from agent.wire.errors import WireError
from firmware_bridge.emrtd.trust import TrustStore, expired, is_anchor, last_days

#: Days before its end at which a certificate is worth a visit.
RENEWAL = timedelta(days=30)
PROVISION = "Run `renzheng provision`."
RENEW = "Run `renzheng provision --renew`; `journalctl -u renzheng-renew` says why no night has done it."
AGAIN = "Ask the issuer's operator for a code: `renzheng provision --issuer HOST --code CODE --again`."


def checks(settings: Settings) -> list[Check]:
    """The device's identity and the trust stores."""
    return [
        Check("key", "Device key signs", lambda: _key(settings)),
        Check("certificate", "Certificates are valid", lambda: _certificates(settings)),
        Check("issuer-trust", "Issuer's keys are pinned", lambda: _issuer(settings)),
        Check("csca", "Trust store for documents", lambda: _documents(settings)),
    ]


def _identity(settings: Settings) -> DeviceIdentity:
    return parts.device_identity(settings.identity)


def _key(settings: Settings) -> Finding:
    signer = _identity(settings).signer
    message = secrets.token_bytes(32)
    if not by_key(signer.public_key)(message, signer.sign(message)):
        return failed("a signature does not verify", "verifies", PROVISION, "trust.key")
    return passed(f"{settings.identity.key.type} key signs and verifies")


def _certificates(settings: Settings) -> Finding:
    device = _identity(settings)
    folder = settings.identity.folder
    chains = [
        (name, read_certificates(folder / name)) for name in (identity_files.DEVICE_CHAIN, identity_files.TLS_CHAIN)
    ]
    chains.append(("broker authority", read_certificates(device.issuer.broker_ca)))
    found = validity([(name, certificate) for name, chain in chains for certificate in chain])
    return (
        found if found.status is Status.FAIL else _chain(device, folder / identity_files.TRUST / EVIDENCE_CA) or found
    )


def _chain(device: DeviceIdentity, authority: Path) -> Finding | None:
    """What is wrong with the way from the device's certificate to the issuer's authority, where that is pinned."""
    if not authority.is_file():
        return None
    try:
        attester(device.chain, read_certificates(authority), at=datetime.now(UTC))
    except WireError as error:
        measured = f"{identity_files.DEVICE_CHAIN}: {error}"
        return failed(measured, "leads to the issuer's authority", AGAIN, "trust.certificate")
    return None


def _issuer(settings: Settings) -> Finding:
    issuer = _identity(settings).issuer
    return validity([(issuer.name, certificate) for certificate in (*issuer.signing, *issuer.sealing)])


def validity(certificates: list[tuple[str, x509.Certificate]]) -> Finding:
    """What to say of named certificates: the one that ends first decides."""
    now = datetime.now(UTC)
    name, first = min(certificates, key=lambda item: item[1].not_valid_after_utc)
    # The issuer renews what has not ended yet; anchors, and what has ended, come with a new enrolment alone.
    renewable = name in {identity_files.DEVICE_CHAIN, identity_files.TLS_CHAIN}
    late = [label for label, certificate in certificates if certificate.not_valid_before_utc > now]
    limit = f"more than {RENEWAL.days} days"
    if late:
        return failed(f"{late[0]} is not valid yet", limit, "Check the clock: `timedatectl`.", "trust.expired")
    left = first.not_valid_after_utc - now
    measured = f"{len(certificates)} certificates; {name} ends {first.not_valid_after_utc:%Y-%m-%d}"
    if left <= timedelta():
        return failed(measured, limit, AGAIN, "trust.expired")
    if left < RENEWAL:
        return warned(measured, limit, RENEW if renewable else AGAIN, "trust.expired")
    return passed(measured, limit)


def _documents(settings: Settings) -> Finding:
    if not any(reader.type == "pcsc" for reader in settings.readers):
        return skipped("no reader that needs one")
    store = TrustStore.load(settings.documents.trust)
    remedy = "Import certificates or a master list: `renzheng trust import FILE`."
    anchors = [certificate for certificate in store.certificates if is_anchor(certificate)]
    if not anchors:
        return failed(f"no anchor in {settings.documents.trust}", "at least 1", remedy, "document.untrusted")
    now = datetime.now(UTC)
    old = expired(anchors, now)
    # A state runs out when the last of its anchors does: documents that were signed before may go on being read.
    ends = last_days(anchors)
    state, end = min(ends.items(), key=lambda item: item[1])
    measured = f"{len(anchors)} anchors of {len(ends)} states, {len(store.revocation_lists)} revocation lists, "
    measured += f"{len(old)} expired; {state} ends first, {end:%Y-%m-%d}"
    limit = f"each state more than {RENEWAL.days} days"
    if store.rejected:
        return warned(f"{measured}; {store.rejected[0]}", "all files readable", remedy)
    if len(old) == len(anchors):
        return failed(measured, limit, remedy, "document.untrusted")
    late = sorted(country for country, last in ends.items() if last < now + RENEWAL)
    if late:
        return warned(f"{measured}; runs out: {', '.join(late[:8])}", limit, remedy)
    return passed(measured, limit)
