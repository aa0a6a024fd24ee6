"""An issuing state of one's own: CSCA, document signer and security objects (ICAO Doc 9303-12; Doc 9303-10, 4.6.2).

Keys live in memory and end with the process. Nothing here is fit to issue a real document.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from asn1crypto import algos, cms, core
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID

from firmware_bridge.apdu import tlv
from firmware_bridge.emrtd import security_object
from firmware_bridge.emrtd.security_object import LdsSecurityObject

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
_CSCA_YEARS, _SIGNER_YEARS = 15, 11
_DIGESTS: dict[str, hashes.HashAlgorithm] = {
    "sha1": hashes.SHA1(),  # noqa: S303 - old documents are signed with it
    "sha224": hashes.SHA224(),
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}


@dataclass(frozen=True, slots=True)
class Scheme:
    """How an issuing state signs: `curve` names an elliptic curve, or `rsa_bits` is set; `pss` is for RSA."""

    digest: str = "sha256"
    curve: type[ec.EllipticCurve] | None = ec.SECP256R1
    rsa_bits: int = 0
    pss: bool = False
    version: int = 0
    data_digest: str = "sha256"

    def private_key(self) -> PrivateKey:
        """A fresh key."""
        if self.curve is not None:
            return ec.generate_private_key(self.curve())
        return rsa.generate_private_key(65537, self.rsa_bits)


@dataclass(frozen=True, slots=True)
class Signer:
    """A certificate with its key."""

    certificate: x509.Certificate
    key: PrivateKey
    scheme: Scheme

    @property
    def der(self) -> bytes:
        """The certificate."""
        return self.certificate.public_bytes(serialization.Encoding.DER)


def _name(country: str, common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, country),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Simulated documents"),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def _padding(key: PrivateKey, scheme: Scheme) -> padding.PSS | None:
    if isinstance(key, rsa.RSAPrivateKey) and scheme.pss:
        digest = _DIGESTS[scheme.digest]
        return padding.PSS(padding.MGF1(digest), digest.digest_size)
    return None


@dataclass(frozen=True, slots=True)
class IssuingState:
    """A CSCA and the document signer under it."""

    csca: Signer
    signer: Signer

    @classmethod
    def create(
        cls,
        country: str = "UT",
        scheme: Scheme | None = None,
        *,
        begin: datetime | None = None,
        years: float = _CSCA_YEARS,
    ) -> IssuingState:
        """A new state.

        Args:
            country: two letters, as the MRZ's state (UT for the specimen's UTO).
            scheme: how it signs.
            begin: first day of both certificates; a month ago by default.
            years: how long the CSCA is valid (the document signer four years less, at least half of it).
        """
        scheme = scheme or Scheme()
        begin = begin or datetime.now(UTC) - timedelta(days=30)
        key = scheme.private_key()
        csca_name = _name(country, "Country Signing CA")
        csca = certify(csca_name, key, csca_name, key, scheme, begin=begin, years=years, authority=True)
        signer_key = scheme.private_key()
        signer_years = max(years - (_CSCA_YEARS - _SIGNER_YEARS), years / 2)
        signer = certify(
            _name(country, "Document Signer 1"), signer_key, csca_name, key, scheme, begin=begin, years=signer_years
        )
        return cls(Signer(csca, key, scheme), Signer(signer, signer_key, scheme))

    def write_trust(self, folder: Path) -> Path:
        """Write the CSCA certificate into `folder`, which a `TrustStore` can load; the file's path."""
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"csca-{self.csca.certificate.fingerprint(hashes.SHA256()).hex()[:16]}.der"
        file.write_bytes(self.csca.der)
        return file

    def security_object(self, groups: Mapping[int, bytes], *, signing_time: datetime | None = None) -> bytes:
        """EF.SOD over the data groups."""
        scheme = self.signer.scheme
        content = LdsSecurityObject(
            {
                "version": scheme.version,
                "hash_algorithm": algos.DigestAlgorithm({"algorithm": scheme.data_digest}),
                "hashes": [
                    {"number": number, "value": hashlib.new(scheme.data_digest, data).digest()}
                    for number, data in sorted(groups.items())
                ],
            }
        )
        if scheme.version == 1:
            content["version_info"] = {"lds_version": "0108", "unicode_version": "040000"}
        signed = sign(self.signer, security_object.LDS_SECURITY_OBJECT, content.dump(), signing_time)
        return tlv.encode(0x77, signed)


def certify(
    subject: x509.Name,
    key: PrivateKey,
    issuer: x509.Name,
    issuer_key: PrivateKey,
    scheme: Scheme,
    *,
    begin: datetime,
    years: float,
    authority: bool = False,
) -> x509.Certificate:
    """A certificate in the profile of Doc 9303-12, 7.1."""
    public = key.public_key()
    usage = dict.fromkeys(
        (
            "digital_signature",
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "key_cert_sign",
            "crl_sign",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    usage.update({"key_cert_sign": True, "crl_sign": True} if authority else {"digital_signature": True})
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=365.25 * years))
        .add_extension(x509.KeyUsage(**usage), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )
    if authority:
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    return builder.sign(issuer_key, _DIGESTS[scheme.digest], rsa_padding=_padding(issuer_key, scheme))  # type: ignore[arg-type]


def sign(signer: Signer, content_type: str, content: bytes, signing_time: datetime | None = None) -> bytes:
    """CMS SignedData with signed attributes and the signer's certificate inside."""
    scheme = signer.scheme
    certificate = asn1_x509.Certificate.load(signer.der)
    digest = algos.DigestAlgorithm({"algorithm": scheme.digest})
    attributes = [
        {"type": "content_type", "values": [content_type]},
        {"type": "message_digest", "values": [hashlib.new(scheme.digest, content).digest()]},
    ]
    if signing_time is not None:
        attributes.append({"type": "signing_time", "values": [cms.Time({"utc_time": signing_time})]})
    signed_attributes = cms.CMSAttributes([cms.CMSAttribute(attribute) for attribute in attributes])
    signature = _sign_bytes(signer, signed_attributes.dump())
    info = cms.SignerInfo(
        {
            "version": "v1",
            "sid": cms.SignerIdentifier(
                {
                    "issuer_and_serial_number": cms.IssuerAndSerialNumber(
                        {"issuer": certificate.issuer, "serial_number": certificate.serial_number}
                    )
                }
            ),
            "digest_algorithm": digest,
            "signed_attrs": signed_attributes,
            "signature_algorithm": _signature_algorithm(scheme),
            "signature": signature,
        }
    )
    signed = cms.SignedData(
        {
            "version": "v3",
            "digest_algorithms": [digest],
            "encap_content_info": {"content_type": content_type, "content": core.ParsableOctetString(content)},
            "certificates": [certificate],
            "signer_infos": [info],
        }
    )
    return bytes(cms.ContentInfo({"content_type": "signed_data", "content": signed}).dump())


def _signature_algorithm(scheme: Scheme) -> algos.SignedDigestAlgorithm:
    if scheme.curve is not None:
        return algos.SignedDigestAlgorithm({"algorithm": f"{scheme.digest}_ecdsa"})
    if not scheme.pss:
        return algos.SignedDigestAlgorithm({"algorithm": f"{scheme.digest}_rsa", "parameters": core.Null()})
    digest = {"algorithm": scheme.digest}
    return algos.SignedDigestAlgorithm(
        {
            "algorithm": "rsassa_pss",
            "parameters": algos.RSASSAPSSParams(
                {
                    "hash_algorithm": digest,
                    "mask_gen_algorithm": {"algorithm": "mgf1", "parameters": digest},
                    "salt_length": _DIGESTS[scheme.digest].digest_size,
                }
            ),
        }
    )


def _sign_bytes(signer: Signer, message: bytes) -> bytes:
    digest = _DIGESTS[signer.scheme.digest]
    if isinstance(signer.key, rsa.RSAPrivateKey):
        return signer.key.sign(message, _padding(signer.key, signer.scheme) or padding.PKCS1v15(), digest)
    return signer.key.sign(message, ec.ECDSA(digest))
