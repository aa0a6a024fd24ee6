"""Trust material as files: certificates and CRLs in PEM or DER, ICAO master lists (ICAO Doc 9303-12, 9).

An export of the ICAO public key directory (LDIF, RFC 2849) holds any of these, in base64.
"""

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from asn1crypto import core, crl, pem, x509

from firmware_bridge.emrtd import signed_data
from firmware_bridge.emrtd.certificates import PARSE_ERRORS, force, force_list
from firmware_bridge.emrtd.signed_data import malformed
from firmware_bridge.errors import DocumentError

_LDIF = re.compile(rb"^(version: 1|dn:+ )", re.MULTILINE)
_LDIF_HEAD = 4096
_LDIF_VALUE = re.compile(
    rb"^(?:pkdMasterListContent|CscaMasterListData|userCertificate|cACertificate|certificateRevocationList)"
    rb"(?:;binary)?:: ([A-Za-z0-9+/=]+)$",
    re.MULTILINE,
)
MASTER_LIST = "2.23.136.1.1.2"
_MAX_FILE = 32 << 20


@dataclass(frozen=True, slots=True)
class Found:
    """What one file holds."""

    kind: str
    certificates: Sequence[x509.Certificate] = ()
    revocation_lists: Sequence[crl.CertificateList] = ()


class _CertificateSet(core.SetOf):  # type: ignore[misc]  # asn1crypto has no types
    _child_spec = x509.Certificate


class _MasterList(core.Sequence):  # type: ignore[misc]
    _fields = [("version", core.Integer), ("certificates", _CertificateSet)]  # noqa: RUF012


def parse_file(file: Path) -> Found:
    """Parse a file of trust material.

    Raises:
        DocumentError: `document.malformed` if it is nothing of the kind, or a master list whose signature is wrong.
        OSError: the file cannot be read.
    """
    if file.stat().st_size > _MAX_FILE:
        raise malformed("a file that is too large for trust material")
    return parse_bytes(file.read_bytes())


def parse_bytes(data: bytes) -> Found:
    """As `parse_file`, for bytes."""
    if pem.detect(data):
        return _parse_pem(data)
    if _LDIF.search(data[:_LDIF_HEAD]):
        return _parse_ldif(data)
    for parse in (_certificate, _crl, _master_list):
        found = parse(data)
        if found is not None:
            return found
    raise malformed("no certificate, revocation list or master list")


def _parse_ldif(data: bytes) -> Found:
    certificates: list[x509.Certificate] = []
    lists: list[crl.CertificateList] = []
    refused: DocumentError | None = None
    for match in _LDIF_VALUE.finditer(data.replace(b"\r\n", b"\n").replace(b"\n ", b"")):
        try:
            found = parse_bytes(base64.b64decode(match[1], validate=True))
        except binascii.Error:
            continue
        except DocumentError as error:
            refused = error
            continue
        certificates += found.certificates
        lists += found.revocation_lists
    if not certificates and not lists:
        raise refused or malformed("a directory export without certificates or lists")
    return Found("directory export", certificates, lists)


def _parse_pem(data: bytes) -> Found:
    certificates: list[x509.Certificate] = []
    lists: list[crl.CertificateList] = []
    try:
        for _name, _headers, der in pem.unarmor(data, multiple=True):
            found = parse_bytes(der)
            certificates += found.certificates
            lists += found.revocation_lists
    except ValueError as error:
        raise malformed("a PEM file that cannot be parsed") from error
    return Found("PEM", certificates, lists)


def _certificate(data: bytes) -> Found | None:
    try:
        certificate = x509.Certificate.load(data)
        force(certificate)
    except PARSE_ERRORS:
        return None
    return Found("certificate", [certificate])


def _crl(data: bytes) -> Found | None:
    try:
        revocations = crl.CertificateList.load(data)
        force_list(revocations)
    except PARSE_ERRORS:
        return None
    return Found("revocation list", (), [revocations])


def _master_list(data: bytes) -> Found | None:
    try:
        signed = signed_data.parse(data)
    except DocumentError:
        return None
    if signed.content_type != MASTER_LIST:
        raise malformed(f"signed data of type {signed.content_type}, not a master list")
    if signed_data.verify(signed) is None:
        raise malformed("a master list whose signature is wrong")
    certificates = []
    try:
        for certificate in _MasterList.load(signed.content)["certificates"]:
            try:
                force(certificate)
            except PARSE_ERRORS:
                continue
            certificates.append(certificate)
    except PARSE_ERRORS as error:
        raise malformed("a master list that cannot be parsed") from error
    return Found("master list", certificates)
