"""Becoming known to an issuer, and staying so: a one-time code in, certificates and anchors out.

The code holds a secret, which the issuer takes once, and the head of the digest of the issuer's TLS certificate, which
lets a terminal that trusts nobody yet know that it speaks to the right one. Renewed certificates stay beside the old
ones as `*.new` until the broker has let them in.
"""

import base64
import binascii
import hashlib
import http.client
import json
import os
import ssl
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from agent import durable
from agent.trust import anchors, file_key, identity, site
from agent.trust.errors import TrustError
from agent.trust.identity import DEVICE_CHAIN, TLS_CHAIN, TLS_KEY, TRUST
from agent.trust.request import certification_request
from agent.wire import cose, enrolment
from agent.wire.chain import UNREADABLE
from agent.wire.errors import WireError
from agent.wire.keys import Signer, certified_key, thumbprint
from agent.wire.urls import host_and_port

_TIMEOUT = 20.0
_FILES = {DEVICE_CHAIN, TLS_CHAIN}
NEW = identity.NEW


@dataclass(frozen=True, slots=True, repr=False)
class Code:
    """A one-time code, taken apart."""

    secret: bytes
    pin: bytes


def read_code(text: str) -> Code:
    """The code as the issuer printed it, in groups of four; small letters and spaces are forgiven.

    Raises:
        TrustError: `provision.code`.
    """
    letters = "".join(text.split()).replace("-", "").upper()
    try:
        raw = base64.b32decode(letters)
    except (binascii.Error, ValueError) as error:
        raise TrustError("provision.code", "the code is not complete or has a wrong letter") from error
    if len(raw) != enrolment.SECRET_SIZE + enrolment.PIN_SIZE:
        raise TrustError("provision.code", "the code is not complete")
    return Code(raw[: enrolment.SECRET_SIZE], raw[enrolment.SECRET_SIZE :])


def enrol(url: str, code: Code, folder: Path, signer: Signer) -> str:
    """Enrol `signer`'s key at `url` (https) and fill `folder`; the terminal's id, which the issuer gave to the code.

    Raises:
        TrustError: `provision.unreachable`, `provision.pin` (another server), `provision.refused`, `trust.key`.
    """
    requests = _requests(folder, signer)
    answer = _ask(url, enrolment.ENROL_PATH, {"secret": code.secret.hex(), **requests}, code.pin)
    site.keep(folder, answer)
    _write(folder, answer, suffix="")
    return identity.load(folder, signer).terminal


def request_by_hand(folder: Path, signer: Signer) -> bytes:
    """What a person carries to `renzheng-issuer sign`: the two certification requests, as JSON."""
    return json.dumps(_requests(folder, signer)).encode("ascii")


def accept(answer: bytes, folder: Path, signer: Signer) -> str:
    """Take the answer that a person brought back, and fill `folder`; the terminal's id.

    Whoever hands over this file decides whom the terminal will believe.

    Raises:
        TrustError: `provision.refused` (not an answer), `trust.certificate` (for another key).
    """
    try:
        files = _answer(http.client.OK, answer)
        certificate = x509.load_pem_x509_certificate(files[DEVICE_CHAIN].encode("ascii"))
        mine = thumbprint(certified_key(certificate)) == thumbprint(signer.public_key)
    except (TrustError, WireError, KeyError, *UNREADABLE) as error:
        raise TrustError("provision.refused", "the file is not an answer of `renzheng-issuer sign`") from error
    if not mine:
        raise TrustError("trust.certificate", "the answer is for another terminal's key; nothing was changed")
    site.keep(folder, files)
    _write(folder, files, suffix="")
    return identity.load(folder, signer).terminal


def _requests(folder: Path, signer: Signer) -> dict[str, str]:
    tls = _tls_signer(folder / TLS_KEY)
    keys = {"device": signer, "tls": tls}
    return {name: certification_request(key, "terminal").decode("ascii") for name, key in keys.items()}


def renew(url: str, folder: Path, signer: Signer) -> None:
    """Fetch new certificates for the same evidence key and a new transport key, as `*.new` in `folder`.

    The server is the one that enrolled this terminal: its certificate was pinned then.

    Raises:
        TrustError: as `enrol`.
    """
    who = identity.load(folder, signer)
    fresh = folder / (TLS_KEY + NEW)
    fresh.unlink(missing_ok=True)
    request = enrolment.Renewal(
        terminal=who.terminal, tls_request=certification_request(_tls_signer(fresh), who.terminal)
    )
    context = enrolment.renewal_context(who.issuer.name, who.terminal)
    signed = cose.sign(request.encode(), signer, context, chain=who.chain)
    pinned = anchors.read_certificates(folder / TRUST / enrolment.SERVER_CERTIFICATE)[0]
    answer = _ask(url, enrolment.RENEW_PATH, {"signed": signed.hex()}, pinned.fingerprint(hashes.SHA256()))
    _write(folder, answer, suffix=NEW)


def lifetime_left(folder: Path, now: datetime) -> timedelta:
    """How long both certificates in `folder` stay valid from the aware time `now`; negative when one is expired.

    Raises:
        TrustError: `trust.anchor`; a file is missing or holds no certificate.
    """
    leaves = (anchors.read_certificates(folder / name)[0] for name in (DEVICE_CHAIN, TLS_CHAIN))
    return min(leaf.not_valid_after_utc for leaf in leaves) - now


def promote(folder: Path) -> None:
    """Put the `*.new` files in the place of the old ones: the broker has let them in.

    A cut in between leaves a pair that `agent.trust.identity.load` makes whole, since the key is moved last.

    Raises:
        TrustError: `trust.certificate`; there is nothing to promote.
    """
    if not (folder / (TLS_KEY + NEW)).is_file():
        raise TrustError("trust.certificate", f"{folder} holds no renewed certificate")
    for name in (DEVICE_CHAIN, TLS_CHAIN, TLS_KEY):
        renewed = folder / (name + NEW)
        if renewed.is_file():
            renewed.replace(folder / name)
    durable.sync_folder(folder)


def _tls_signer(path: Path) -> Signer:
    """The transport key: made when absent, kept when an earlier attempt made it."""
    return file_key.load(path) if path.exists() else file_key.create(path)


def _ask(url: str, path: str, body: dict[str, str], pin: bytes) -> dict[str, str]:
    host, port = _address(url)
    # The certificate's digest is compared below, before a byte is sent: it is pinned by the code, not by an authority.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    connection = http.client.HTTPSConnection(host, port, timeout=_TIMEOUT, context=context)
    try:
        connection.connect()
        _check_pin(connection.sock, pin)
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        return _answer(response.status, response.read(enrolment.ANSWER_LIMIT + 1))
    except (OSError, http.client.HTTPException) as error:
        raise TrustError("provision.unreachable", f"{url} does not answer: {error}") from error
    finally:
        connection.close()


def _address(url: str) -> tuple[str, int]:
    try:
        return host_and_port(url, scheme="https", port=443)
    except ValueError:
        raise TrustError("provision.unreachable", f"{url!r} is not an https URL") from None


def _check_pin(sock: Any, pin: bytes) -> None:
    certificate = sock.getpeercert(binary_form=True) or b""
    if hashlib.sha256(certificate).digest()[: len(pin)] != pin:
        raise TrustError("provision.pin", "the server is not the one that the code was made for")


def _answer(status: int, body: bytes) -> dict[str, str]:
    try:
        answer = json.loads(body) if len(body) <= enrolment.ANSWER_LIMIT else None
    except ValueError:
        answer = None
    if not isinstance(answer, dict) or not all(isinstance(value, str) for value in answer.values()):
        raise TrustError("provision.unreachable", f"the server answered nothing that can be used (HTTP {status})")
    if status != http.client.OK:
        raise TrustError("provision.refused", f"the issuer refused: {answer.get('error', 'no reason given')[:200]}")
    return answer


def _write(folder: Path, answer: dict[str, str], *, suffix: str) -> None:
    """Certificates and anchors of an answer; names that are not expected are not written."""
    (folder / TRUST).mkdir(exist_ok=True, mode=0o700)
    for name, text in answer.items():
        place, _, anchor = name.rpartition("/")
        if name in _FILES:
            path = folder / (name + suffix)
        elif place == TRUST and anchor in enrolment.ANCHORS and not suffix:
            path = folder / TRUST / anchor
        else:
            continue
        with path.open("w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    durable.sync_folder(folder)
