"""Enrolment at the issuer: one-time codes, certification requests in, certificates out."""

import base64
import hashlib
import secrets
import time

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from sqlalchemy.engine import Engine

from agent.wire import chain, cose, sm2
from agent.wire.chain import EVIDENCE, UNREADABLE
from agent.wire.enrolment import PIN_SIZE, RENEWAL_LIMIT, SECRET_SIZE, Renewal, renewal_context
from agent.wire.errors import WireError
from agent.wire.keys import SUITES, PublicKey, algorithm_of, thumbprint
from agent.wire.sm2 import SM2_SM3
from issuer import certificates, pki, policy, site, store
from issuer.certificates import Subject
from issuer.errors import IssuerError
from issuer.layout import Layout
from issuer.verifier import certificate_time

_GROUP = 4


def new_code(layout: Layout, engine: Engine, terminal: str, lifetime: int) -> str:
    """A one-time code for `terminal`, valid for `lifetime` seconds; only its digest is kept.

    Raises:
        IssuerError: the name cannot be used.
    """
    _check_name(engine, terminal)
    secret = secrets.token_bytes(SECRET_SIZE)
    store.add_code(engine, _digest(secret), terminal, int(time.time()) + lifetime)
    server = certificates.load_certificate(layout.key("provisioning")).public_bytes(Encoding.DER)
    letters = base64.b32encode(secret + hashlib.sha256(server).digest()[:PIN_SIZE]).decode()
    return "-".join(letters[start : start + _GROUP] for start in range(0, len(letters), _GROUP))


def enrol(layout: Layout, engine: Engine, secret: bytes, device: bytes, tls: bytes) -> dict[str, str]:
    """Certificates for the keys of the requests `device` and `tls` (PEM), and the anchors, by file name.

    The code is used up only by requests that hold. A terminal that enrols again gets a new key beside its old ones, or
    new certificates for the same one: its first answer may have been lost on the way.

    Raises:
        IssuerError: a request that does not hold, or a code that is unknown, expired or used.
    """
    device_key, tls_key = _device_key(layout, device), _tls_key(tls)
    beside = _beside(layout)
    terminal = store.use_code(engine, _digest(secret), int(time.time()))
    if terminal is None:
        raise IssuerError("the code is unknown, expired or used: ask for a new one")
    return _admit(layout, engine, terminal, device_key, tls_key) | beside


def sign(layout: Layout, engine: Engine, terminal: str, device: bytes, tls: bytes) -> dict[str, str]:
    """As `enrol`, for requests that a person has brought: the operator's word stands for the code.

    Raises:
        IssuerError: a request that does not hold, or a name that cannot be used.
    """
    _check_name(engine, terminal)
    return _admit(layout, engine, terminal, _device_key(layout, device), _tls_key(tls)) | _beside(layout)


def _admit(layout: Layout, engine: Engine, terminal: str, device_key: PublicKey, tls_key: PublicKey) -> dict[str, str]:
    ueid = store.ueid_of(engine, terminal)
    if ueid is None:
        ueid = pki.new_ueid()
        store.add_terminal(engine, terminal, ueid)
    store.add_key(engine, terminal, thumbprint(device_key).hex())
    return _issue(layout, terminal, ueid, device_key, tls_key)


def _beside(layout: Layout) -> dict[str, str]:
    """What an answer brings besides certificates: the anchors and the site's files."""
    anchors = {f"trust/{name}": content.decode("ascii") for name, content in pki.trust_files(layout).items()}
    return anchors | site.files(layout)


def _check_name(engine: Engine, terminal: str) -> None:
    pki.check_name(terminal)
    if store.is_revoked(engine, terminal):
        raise IssuerError(f"{terminal} is revoked, and stays so: choose another name")


def renew(layout: Layout, engine: Engine, issuer: str, signed: bytes) -> dict[str, str]:
    """New certificates for a terminal that asks with its device key, by file name.

    Raises:
        IssuerError: an unknown or revoked key, or a request that does not hold.
    """
    try:
        authority = certificates.load_certificate(layout.authority("evidence"))
        leads = cose.inspect(signed, limit=RENEWAL_LIMIT).chain
        who = chain.attester(leads, [authority], at=certificate_time(time.time()))
        context = renewal_context(issuer, who.terminal)
        renewal = Renewal.decode(cose.verify(signed, who.public_key, context, limit=RENEWAL_LIMIT), limit=RENEWAL_LIMIT)
    except WireError as error:
        raise IssuerError(f"the renewal does not hold: {error}") from error
    state = store.key_state(engine, thumbprint(who.public_key).hex())
    if state is None or state.revoked or state.terminal != who.terminal or renewal.terminal != who.terminal:
        raise IssuerError("the device key is not enrolled, or revoked")
    _check_suite(layout, who.public_key)
    return _issue(layout, who.terminal, who.ueid, who.public_key, _tls_key(renewal.tls_request))


def _issue(layout: Layout, terminal: str, ueid: bytes, device: PublicKey, tls: PublicKey) -> dict[str, str]:
    evidence = certificates.load_authority(layout.authority("evidence"))
    transport = certificates.load_authority(layout.authority("transport"))
    issued = {
        "device.pem": certificates.issue(evidence, Subject(terminal, ueid.hex()), device, EVIDENCE),
        "tls.pem": certificates.issue(transport, Subject(terminal), tls, ExtendedKeyUsageOID.CLIENT_AUTH),
    }
    return {name: certificate.public_bytes(Encoding.PEM).decode("ascii") for name, certificate in issued.items()}


def _device_key(layout: Layout, request: bytes) -> PublicKey:
    key = _key(request)
    _check_suite(layout, key)
    return key


def _tls_key(request: bytes) -> PublicKey:
    key = _key(request)
    if algorithm_of(key) == SM2_SM3:
        raise IssuerError("a transport key cannot be SM2: TLS takes P-256 or Ed25519")
    return key


def _check_suite(layout: Layout, key: PublicKey) -> None:
    if not policy.load(layout.policy).policy.takes(key):
        suite = next(name for name, number in SUITES.items() if number == algorithm_of(key))
        raise IssuerError(f"this issuer takes no {suite} device keys: its policy.suites does not name it")


def _key(request: bytes) -> PublicKey:
    """The public key of a request whose signature holds; whatever else it asks for is not looked at."""
    try:
        parsed = x509.load_pem_x509_csr(request)
    except UNREADABLE as error:
        raise IssuerError("not a certification request") from error
    try:
        holds = parsed.is_signature_valid
        key = parsed.public_key()
        algorithm_of(key)
    except UnsupportedAlgorithm:
        return _sm2_key(parsed)
    except (*UNREADABLE, WireError) as error:
        raise IssuerError("not a certification request for P-256, Ed25519 or SM2") from error
    if not holds:
        raise IssuerError("the certification request is not signed by its key")
    return key  # type: ignore[return-value]  # algorithm_of refused every other key


def _sm2_key(request: x509.CertificateSigningRequest) -> PublicKey:
    try:
        return sm2.requested_key(request)
    except WireError as error:
        raise IssuerError(f"the certification request cannot be taken: {error}") from error


def _digest(secret: bytes) -> str:
    return hashlib.sha256(secret).hexdigest()
