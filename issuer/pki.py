"""The PKI of one deployment: two authorities, the issuer's keys, and a device folder for each terminal.

`transport` signs TLS certificates (broker, issuer's client, terminals); `evidence` signs the terminals' evidence keys
and the issuer's own. Neither's certificates pass for the other's: apart by authority and by extended key usage.
"""

import secrets
from pathlib import Path

from cryptography.x509.oid import ExtendedKeyUsageOID

from agent.wire.chain import EVIDENCE, ISSUER_SEALING, ISSUER_SIGNING, TERMINAL_PATTERN
from agent.wire.keys import thumbprint
from issuer import certificates, policy, site, store
from issuer.certificates import Subject
from issuer.errors import IssuerError
from issuer.layout import Layout

#: The first worker's name at the broker. Names that begin so are never a terminal's.
ISSUER_CLIENT = "issuer"
#: Of a broker with TLS (IANA: secure-mqtt).
DEFAULT_PORT = 8883
_UEID_RANDOM = 1


def create(root: Path, name: str, hosts: tuple[str, ...] = ("localhost", "127.0.0.1"), *, broker: str = "") -> Layout:
    """Make authorities, keys, the default policy and the site's settings of the issuer `name` below `root`.

    `hosts` name the broker; `broker` is its URL, as terminals are told, the first host's default port when empty.

    Raises:
        IssuerError: there is an issuer already.
    """
    layout = Layout(root)
    if layout.policy.exists():
        raise IssuerError(f"{root} holds an issuer already: choose another folder")
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    for authority in ("transport", "evidence"):
        made = certificates.new_authority(f"{name} {authority} authority")
        certificates.save(layout.authority(authority), made.key, [made.certificate])
    transport = certificates.load_authority(layout.authority("transport"))
    evidence = certificates.load_authority(layout.authority("evidence"))
    for key_name, usage in (("signing", ISSUER_SIGNING), ("sealing", ISSUER_SEALING)):
        key = certificates.new_key()
        leaf = certificates.issue(evidence, Subject(name), key.public_key(), usage)
        certificates.save(layout.key(key_name), key, [leaf])
    add_worker(layout, ISSUER_CLIENT)
    for path in (layout.broker / "server", layout.key("provisioning")):
        key = certificates.new_key()
        subject = Subject(hosts[0], hosts=hosts)
        server = certificates.issue(transport, subject, key.public_key(), ExtendedKeyUsageOID.SERVER_AUTH)
        certificates.save(path, key, [server])
    certificates.save(layout.broker / "client-ca", None, [transport.certificate])
    policy.write_default(layout.policy, name)
    site.write_default(layout, name, broker or f"mqtts://{hosts[0]}:{DEFAULT_PORT}")
    return layout


def add_worker(layout: Layout, name: str) -> None:
    """Make the broker identity of one more worker: two connections cannot share one.

    Raises:
        IssuerError: the name is taken, or does not begin with `issuer`.
    """
    if not TERMINAL_PATTERN.match(name) or not name.startswith(ISSUER_CLIENT):
        raise IssuerError(f"{name!r} cannot be a worker: its name begins with {ISSUER_CLIENT!r}, like issuer-2")
    if name in layout.workers:
        raise IssuerError(f"there is a worker {name} already")
    transport = certificates.load_authority(layout.authority("transport"))
    key = certificates.new_key()
    leaf = certificates.issue(transport, Subject(name), key.public_key(), ExtendedKeyUsageOID.CLIENT_AUTH)
    certificates.save(layout.worker(name), key, [leaf])


def enroll(layout: Layout, terminal: str, *, database: str = "") -> Path:
    """Make the keys, certificates and trust folder of `terminal`, and enter it in the database; its device folder.

    For development and tests: the keys are made here. In the field the terminal makes them (`renzheng provision`).

    Raises:
        IssuerError: the name cannot be used, or is taken.
    """
    check_name(terminal)
    folder = layout.terminal(terminal)
    if folder.exists():
        raise IssuerError(f"{terminal} is enrolled already: see {folder}")
    ueid = new_ueid()
    evidence = certificates.load_authority(layout.authority("evidence"))
    transport = certificates.load_authority(layout.authority("transport"))
    device_key, tls_key = certificates.new_key(), certificates.new_key()
    device = certificates.issue(evidence, Subject(terminal, ueid.hex()), device_key.public_key(), EVIDENCE)
    tls = certificates.issue(transport, Subject(terminal), tls_key.public_key(), ExtendedKeyUsageOID.CLIENT_AUTH)
    certificates.save(folder / "device", device_key, [device])
    certificates.save(folder / "tls", tls_key, [tls])
    for name, content in trust_files(layout).items():
        path = folder / "trust" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    with store.opened(database or store.sqlite_url(layout.database)) as opened:
        store.add_terminal(opened, terminal, ueid)
        store.add_key(opened, terminal, thumbprint(device.public_key()).hex())
    return folder


def trust_files(layout: Layout) -> dict[str, bytes]:
    """What a terminal pins, by file name."""
    return {
        "broker-ca.pem": layout.authority("transport").with_suffix(".pem").read_bytes(),
        "issuer-signing.pem": layout.key("signing").with_suffix(".pem").read_bytes(),
        "evidence-ca.pem": layout.authority("evidence").with_suffix(".pem").read_bytes(),
        "provisioning.pem": layout.key("provisioning").with_suffix(".pem").read_bytes(),
        "issuer-sealing.pem": layout.key("sealing").with_suffix(".pem").read_bytes(),
    }


def check_name(terminal: str) -> None:
    """Refuse names that are no topic level or belong to somebody else.

    Raises:
        IssuerError: the name cannot be used.
    """
    if not TERMINAL_PATTERN.match(terminal) or terminal.startswith(ISSUER_CLIENT):
        raise IssuerError(f"{terminal!r} cannot be a terminal's id: 1 to 64 of A-Z a-z 0-9 _ -, not issuer…")


def new_ueid() -> bytes:
    """A random universal entity identifier (RFC 9711, 4.2.1, type RAND)."""
    return bytes([_UEID_RANDOM]) + secrets.token_bytes(16)
