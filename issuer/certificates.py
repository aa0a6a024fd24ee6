"""Making certificates (RFC 5280): authorities, servers, clients, and the keys of evidence."""

import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID

from agent.wire.keys import PublicKey
from agent.wire.sm2 import Sm2PublicKey

#: Clocks of terminals may be a little behind when a certificate is new.
_BACKDATE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, repr=False)
class Authority:
    """A certificate authority: it signs."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a certificate is for. `ueid` is hex; `hosts` are DNS names and addresses."""

    name: str
    ueid: str = ""
    hosts: tuple[str, ...] = ()

    def encode(self) -> x509.Name:
        """The distinguished name."""
        attributes = [x509.NameAttribute(NameOID.COMMON_NAME, self.name)]
        if self.ueid:
            attributes.append(x509.NameAttribute(NameOID.SERIAL_NUMBER, self.ueid))
        return x509.Name(attributes)


def new_key() -> ec.EllipticCurvePrivateKey:
    """A new P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def new_authority(name: str, days: int = 3650) -> Authority:
    """A new self-signed authority that issues leaves only."""
    key = new_key()
    subject = Subject(name).encode()
    builder = (
        _builder(subject, subject, key.public_key(), timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(authority=True), critical=True)
    )
    return Authority(builder.sign(key, hashes.SHA256()), key)


def issue(
    authority: Authority,
    subject: Subject,
    public_key: PublicKey,
    usage: x509.ObjectIdentifier,
    lifetime: timedelta = timedelta(days=825),
) -> x509.Certificate:
    """A leaf for `public_key` that serves `usage` and nothing else."""
    if isinstance(public_key, Sm2PublicKey):
        stand_in = issue(authority, subject, authority.key.public_key(), usage, lifetime)
        return _for_key(stand_in, public_key, authority)
    builder = (
        _builder(subject.encode(), authority.certificate.subject, public_key, lifetime)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False)
    )
    if subject.hosts:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([_host(host) for host in subject.hosts]), critical=False
        )
    return builder.sign(authority.key, hashes.SHA256())


def save(path: Path, key: ec.EllipticCurvePrivateKey | None, chain: Sequence[x509.Certificate]) -> None:
    """Write `path`.pem and, with mode 0600, `path`.key."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.with_suffix(".pem").write_bytes(b"".join(c.public_bytes(serialization.Encoding.PEM) for c in chain))
    if key is not None:
        encoded = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        descriptor = os.open(path.with_suffix(".key"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(encoded)


def load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """The P-256 private key in `path`.key."""
    key = serialization.load_pem_private_key(path.with_suffix(".key").read_bytes(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{path}.key is not an elliptic curve key")
    return key


def load_certificate(path: Path) -> x509.Certificate:
    """The first certificate in `path`.pem."""
    return x509.load_pem_x509_certificate(path.with_suffix(".pem").read_bytes())


def load_authority(path: Path) -> Authority:
    """The authority saved at `path`."""
    return Authority(load_certificate(path), load_key(path))


def _for_key(certificate: x509.Certificate, key: Sm2PublicKey, authority: Authority) -> x509.Certificate:
    """The same certificate for a key that `cryptography` cannot put into one, signed again."""
    from asn1crypto import core, keys
    from asn1crypto import x509 as asn1

    made = asn1.Certificate.load(certificate.public_bytes(serialization.Encoding.DER))
    wanted = made["tbs_certificate"]
    wanted["subject_public_key_info"] = keys.PublicKeyInfo.load(key.spki())
    for extension in wanted["extensions"]:
        if extension["extn_id"].native == "key_identifier":
            # RFC 5280, 4.2.1.2, method 1: over the point alone.
            extension["extn_value"] = core.OctetString(wanted["subject_public_key_info"].sha1)
    made["signature_value"] = authority.key.sign(wanted.dump(force=True), ec.ECDSA(hashes.SHA256()))
    return x509.load_der_x509_certificate(made.dump(force=True))


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey,
    lifetime: timedelta,
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATE)
        .not_valid_after(now + lifetime)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
