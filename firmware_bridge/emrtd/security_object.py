"""EF.SOD: the signed list of data group hashes, versions 0 and 1 (ICAO Doc 9303-10, 4.6.2)."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from asn1crypto import algos, core, parser
from cryptography.hazmat.primitives.constant_time import bytes_eq

from firmware_bridge.emrtd import signatures, signed_data
from firmware_bridge.emrtd.certificates import PARSE_ERRORS
from firmware_bridge.emrtd.signed_data import SignedContent, malformed

LDS_SECURITY_OBJECT = "2.23.136.1.1.1"
_TAG = 0x77


class _DataGroupHash(core.Sequence):  # type: ignore[misc]  # asn1crypto has no types
    _fields = [("number", core.Integer), ("value", core.OctetString)]  # noqa: RUF012


class _DataGroupHashes(core.SequenceOf):  # type: ignore[misc]
    _child_spec = _DataGroupHash


class _VersionInfo(core.Sequence):  # type: ignore[misc]
    _fields = [("lds_version", core.PrintableString), ("unicode_version", core.PrintableString)]  # noqa: RUF012


class LdsSecurityObject(core.Sequence):  # type: ignore[misc]
    """The content that the document signer signs."""

    _fields = [  # noqa: RUF012
        ("version", core.Integer),
        ("hash_algorithm", algos.DigestAlgorithm),
        ("hashes", _DataGroupHashes),
        ("version_info", _VersionInfo, {"optional": True}),
    ]


@dataclass(frozen=True, slots=True)
class SecurityObject:
    """A parsed EF.SOD; nothing in it is verified yet but its form."""

    version: int
    digest: str
    hashes: Mapping[int, bytes]
    lds_version: str
    signed: SignedContent

    def holds(self, number: int, content: bytes) -> bool:
        """Whether data group `number` with this content is the one that was signed for."""
        expected = self.hashes.get(number)
        return expected is not None and bytes_eq(
            hashlib.new(self.digest, content, usedforsecurity=False).digest(), expected
        )


def unwrap(data: bytes, tag: int) -> bytes:
    """The content of the outer object `tag`, which some issuers encode with indefinite length.

    Raises:
        DocumentError: `document.malformed`.
    """
    try:
        _class, _method, _tag, _header, content, _trailer = parser.parse(data)
    except (ValueError, TypeError, IndexError) as error:
        raise malformed("a security object that cannot be parsed") from error
    if data[0] != tag:
        raise malformed(f"a file that begins with {data[0]:02X} and not {tag:02X}")
    return bytes(content)


def parse(data: bytes) -> SecurityObject:
    """Parse EF.SOD.

    Raises:
        DocumentError: `document.malformed`.
    """
    signed = signed_data.parse(unwrap(data, _TAG) if data[:1] == b"\x77" else data)
    try:
        content = LdsSecurityObject.load(signed.content)
        hashes: dict[int, bytes] = {}
        for entry in content["hashes"]:
            number = entry["number"].native
            if not 1 <= number <= 16 or number in hashes:
                raise malformed(f"a security object that lists data group {number} twice or wrongly")
            hashes[number] = entry["value"].native
        version_info = content["version_info"]
        lds_version = str(version_info["lds_version"].native) if version_info.native else ""
        return SecurityObject(
            int(content["version"].native),
            signatures.hash_name(content["hash_algorithm"]),
            hashes,
            lds_version,
            signed,
        )
    except PARSE_ERRORS as error:
        raise malformed("a security object that cannot be parsed") from error
