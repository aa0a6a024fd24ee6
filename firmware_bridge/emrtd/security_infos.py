"""SecurityInfos of EF.CardAccess, EF.CardSecurity and DG14 (ICAO Doc 9303-11, 9.2)."""

from dataclasses import dataclass, field
from enum import StrEnum

from firmware_bridge.apdu import tlv
from firmware_bridge.emrtd.domain_parameters import CURVES, GROUPS, Curve, Group
from firmware_bridge.emrtd.keys import CipherName
from firmware_bridge.errors import Code, DocumentError

_BSI = "0.4.0.127.0.7.2.2."
_ID_PK, _ID_CA, _ID_PACE, _ID_AA = _BSI + "1.", _BSI + "3.", _BSI + "4.", "2.23.136.1.1.5"
_CIPHERS = {"1": CipherName.TRIPLE_DES, "2": CipherName.AES_128, "3": CipherName.AES_192, "4": CipherName.AES_256}
_SET, _SEQUENCE, _OID, _INTEGER = 0x31, 0x30, 0x06, 0x02


class Mapping(StrEnum):
    """How PACE makes its generator from the nonce (4.4.3.3)."""

    GENERIC = "GM"
    INTEGRATED = "IM"
    CHIP_AUTHENTICATION = "CAM"


_PACE = {
    "1": (Mapping.GENERIC, False),
    "2": (Mapping.GENERIC, True),
    "3": (Mapping.INTEGRATED, False),
    "4": (Mapping.INTEGRATED, True),
    "6": (Mapping.CHIP_AUTHENTICATION, True),
}


@dataclass(frozen=True, slots=True)
class PaceInfo:
    """One way to run PACE; `elliptic` tells ECDH from DH."""

    oid: str
    mapping: Mapping
    elliptic: bool
    cipher: CipherName
    parameter_id: int

    @property
    def domain(self) -> Curve | Group | None:
        """The standard domain parameters, None if the chip names some that it cannot mean."""
        return CURVES.get(self.parameter_id) if self.elliptic else GROUPS.get(self.parameter_id)

    @property
    def title(self) -> str:
        """As the specification writes it, without its prefix."""
        agreement = "ECDH" if self.elliptic else "DH"
        return f"{agreement}-{self.mapping} {self.cipher} parameters {self.parameter_id}"


@dataclass(frozen=True, slots=True)
class ChipAuthenticationInfo:
    """How chip authentication runs for the key `key_id`."""

    oid: str
    elliptic: bool
    cipher: CipherName
    key_id: int | None


@dataclass(frozen=True, slots=True)
class ChipAuthenticationKey:
    """A public key of the chip, as SubjectPublicKeyInfo (DER)."""

    elliptic: bool
    key: bytes
    key_id: int | None


@dataclass(frozen=True, slots=True)
class SecurityInfos:
    """What a chip can do; entries that nobody here uses are dropped."""

    pace: tuple[PaceInfo, ...] = ()
    chip_authentication: tuple[ChipAuthenticationInfo, ...] = ()
    chip_keys: tuple[ChipAuthenticationKey, ...] = ()
    #: Object identifier of the signature that active authentication makes with an ECDSA key.
    active_signature: str | None = None
    #: Object identifiers seen, in order.
    seen: tuple[str, ...] = field(default=())


def oid_text(value: bytes) -> str:
    """The dotted form of an encoded object identifier.

    Raises:
        DocumentError: `document.malformed`.
    """
    if not value or len(value) > 64 or value[-1] & 0x80:
        raise DocumentError(Code.DOCUMENT_MALFORMED, "an object identifier that is empty, cut off or too long")
    arcs: list[int] = []
    number = 0
    for byte in value:
        number = number << 7 | byte & 0x7F
        if not byte & 0x80:
            arcs.append(number)
            number = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(str(arc) for arc in (first, arcs[0] - 40 * first, *arcs[1:]))


def oid_bytes(text: str) -> bytes:
    """The encoded value of a dotted object identifier."""
    arcs = [int(arc) for arc in text.split(".")]
    out = bytearray()
    for arc in (arcs[0] * 40 + arcs[1], *arcs[2:]):
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(arc & 0x7F | 0x80)
        out += bytes(reversed(groups))
    return bytes(out)


def integer(value: bytes) -> int:
    """A small non-negative INTEGER.

    Raises:
        DocumentError: `document.malformed`.
    """
    if not 1 <= len(value) <= 20 or value[0] & 0x80:
        raise DocumentError(Code.DOCUMENT_MALFORMED, "an integer that is empty, negative or too long")
    return int.from_bytes(value, "big")


def parse(data: bytes) -> SecurityInfos:
    """Parse a SET OF SecurityInfo.

    Raises:
        DocumentError: `document.malformed`.
    """
    pace: list[PaceInfo] = []
    chip: list[ChipAuthenticationInfo] = []
    keys: list[ChipAuthenticationKey] = []
    active: str | None = None
    seen: list[str] = []
    for entry in tlv.parse(tlv.require(data, _SET)):
        if entry.tag != _SEQUENCE:
            raise DocumentError(Code.DOCUMENT_MALFORMED, "a SecurityInfo that is no sequence")
        fields = tlv.parse(entry.value)
        if len(fields) < 2 or fields[0].tag != _OID:
            raise DocumentError(Code.DOCUMENT_MALFORMED, "a SecurityInfo without its identifier")
        oid, rest = oid_text(fields[0].value), fields[1:]
        seen.append(oid)
        if oid.startswith(_ID_PACE):
            pace += _pace(oid, rest)
        elif oid.startswith(_ID_CA):
            chip += _chip(oid, rest)
        elif oid.startswith(_ID_PK):
            public_key = data_of(entry.value, rest[0])
            keys.append(ChipAuthenticationKey(oid == _ID_PK + "2", public_key, _integer_at(rest, 1)))
        elif oid == _ID_AA and len(rest) > 1 and rest[1].tag == _OID:
            active = oid_text(rest[1].value)
    return SecurityInfos(tuple(pace), tuple(chip), tuple(keys), active, tuple(seen))


def data_of(within: bytes, item: tlv.Tlv) -> bytes:
    """The whole encoding of `item`, header included."""
    return within[item.start : item.end]


def _integer_at(items: list[tlv.Tlv], index: int) -> int | None:
    return integer(items[index].value) if len(items) > index and items[index].tag == _INTEGER else None


def _pace(oid: str, rest: list[tlv.Tlv]) -> list[PaceInfo]:
    arcs = oid.removeprefix(_ID_PACE).split(".")
    parameter_id = _integer_at(rest, 1)
    if len(arcs) != 2 or arcs[0] not in _PACE or arcs[1] not in _CIPHERS or parameter_id is None:
        return []
    mapping, elliptic = _PACE[arcs[0]]
    return [PaceInfo(oid, mapping, elliptic, _CIPHERS[arcs[1]], parameter_id)]


def _chip(oid: str, rest: list[tlv.Tlv]) -> list[ChipAuthenticationInfo]:
    arcs = oid.removeprefix(_ID_CA).split(".")
    if len(arcs) != 2 or arcs[0] not in {"1", "2"} or arcs[1] not in _CIPHERS:
        return []
    return [ChipAuthenticationInfo(oid, arcs[0] == "2", _CIPHERS[arcs[1]], _integer_at(rest, 1))]
