"""An issuing state made by `openssl`: certificates and security objects that our own code had no hand in."""

import hashlib
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from firmware_bridge.apdu import tlv
from firmware_bridge.emrtd.security_infos import oid_bytes

_DIGEST_OIDS = {
    "sha1": "1.3.14.3.2.26",
    "sha224": "2.16.840.1.101.3.4.2.4",
    "sha256": "2.16.840.1.101.3.4.2.1",
    "sha384": "2.16.840.1.101.3.4.2.2",
    "sha512": "2.16.840.1.101.3.4.2.3",
}


def openssl(*arguments: object) -> bytes:
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def lds_object(groups: Mapping[int, bytes], digest: str = "sha256", version: int = 0) -> bytes:
    """LDSSecurityObject, encoded by hand."""
    algorithm = tlv.encode(0x30, tlv.encode(0x06, oid_bytes(_DIGEST_OIDS[digest])))
    hashes = b"".join(
        tlv.encode(
            0x30,
            tlv.encode(0x02, bytes((number,))) + tlv.encode(0x04, hashlib.new(digest, content).digest()),
        )
        for number, content in sorted(groups.items())
    )
    info = tlv.encode(0x30, tlv.encode(0x13, b"0108") + tlv.encode(0x13, b"040000")) if version else b""
    return tlv.encode(0x30, tlv.encode(0x02, bytes((version,))) + algorithm + tlv.encode(0x30, hashes) + info)


@dataclass
class OpensslState:
    """CSCA and document signer in files of `folder`; `key` are the arguments of `openssl genpkey`."""

    folder: Path
    key: Sequence[str]
    digest: str = "sha256"
    country: str = "UT"
    pss: bool = False
    days: tuple[str, str] = ("20250101000000Z", "20400101000000Z")
    signer_days: tuple[str, str] = ("20250101000000Z", "20350101000000Z")
    extra: Sequence[str] = field(default=())
    signer_extensions: str = ""

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.configuration = self.folder / "openssl.cnf"
        self.configuration.write_text(
            "[req]\ndistinguished_name=dn\nprompt=no\n[dn]\n[ca]\nbasicConstraints=critical,CA:TRUE,pathlen:0\n"
            "keyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n[signer]\n"
            "keyUsage=critical,digitalSignature\nauthorityKeyIdentifier=keyid\nsubjectKeyIdentifier=hash\n"
            f"{self.signer_extensions}\n"
        )
        self.make_key("csca")
        self.csca = self.certify("csca", "Country Signing CA", "ca", None, self.days)
        self.make_key("signer")
        self.signer = self.certify("signer", "Document Signer", "signer", "csca", self.signer_days)

    def make_key(self, name: str) -> Path:
        path = self.folder / f"{name}.key"
        openssl("genpkey", *self.key, "-out", path)
        return path

    def certify(
        self, name: str, common: str, extensions: str, issuer: str | None, days: tuple[str, str], number: str = "7"
    ) -> Path:
        request, certificate = self.folder / f"{name}.csr", self.folder / f"{name}.pem"
        subject = f"/C={self.country}/O=Openssl State/CN={common}"
        key = self.folder / f"{name}.key"
        openssl("req", "-new", "-config", self.configuration, "-key", key, "-subj", subject, "-out", request)
        by = (
            ["-key", key]
            if issuer is None
            else ["-CA", self.folder / f"{issuer}.pem", "-CAkey", self.folder / f"{issuer}.key"]
        )
        padding = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"] if self.pss else []
        # `x509 -req` takes days only; the certificates of `ca` and `req -x509` would need a database.
        begin, end = days
        openssl(
            *("x509", "-req", "-in", request, *by, "-extfile", self.configuration, "-extensions", extensions),
            *(f"-{self.digest}", *padding, "-set_serial", number, "-days", "1", "-out", certificate),
        )
        self.redate(certificate, key if issuer is None else self.folder / f"{issuer}.key", begin, end)
        return certificate

    def redate(self, certificate: Path, key: Path, begin: str, end: str) -> None:
        """Give a certificate other days and sign it again (openssl 3.0 cannot set them)."""
        der = openssl("x509", "-in", certificate, "-outform", "DER")
        outer = tlv.parse(tlv.require(der, 0x30))
        body = outer[0].value
        parts = tlv.parse(body)
        dates = tlv.encode(0x30, b"".join(tlv.encode(0x18, value.encode()) for value in (begin, end)))
        fields = [body[part.start : part.end] for part in parts]
        fields[4] = dates
        tbs = tlv.encode(0x30, b"".join(fields))
        source = certificate.with_suffix(".tbs")
        source.write_bytes(tbs)
        padding = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"] if self.pss else []
        signature = openssl("dgst", f"-{self.digest}", "-sign", key, *padding, source)
        inner = tlv.require(der, 0x30)
        algorithm = inner[outer[1].start : outer[1].end]
        whole = tlv.encode(0x30, tbs + algorithm + tlv.encode(0x03, b"\x00" + signature))
        certificate.with_suffix(".der").write_bytes(whole)
        openssl("x509", "-inform", "DER", "-in", certificate.with_suffix(".der"), "-out", certificate)

    def security_object(
        self,
        groups: Mapping[int, bytes],
        *options: str,
        digest: str = "sha256",
        version: int = 0,
        signer: str = "signer",
    ) -> bytes:
        content, signed = self.folder / "lds.der", self.folder / "sod.der"
        content.write_bytes(lds_object(groups, digest, version))
        padding = ["-keyopt", "rsa_padding_mode:pss", "-keyopt", "rsa_pss_saltlen:digest"] if self.pss else []
        openssl(
            *("cms", "-sign", "-binary", "-nodetach", "-in", content, "-econtent_type", "2.23.136.1.1.1"),
            *("-signer", self.folder / f"{signer}.pem", "-inkey", self.folder / f"{signer}.key", "-md", self.digest),
            *(*padding, *self.extra, *options, "-outform", "DER", "-out", signed),
        )
        return tlv.encode(0x77, signed.read_bytes())
