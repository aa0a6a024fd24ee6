"""What a simulated chip holds: files, keys, and the profile that says what the chip can do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from firmware_bridge.apdu import tlv
from firmware_bridge.emrtd import portrait
from firmware_bridge.emrtd.agreement import AnyAgreement, CurveAgreement, agreement
from firmware_bridge.emrtd.curves import Point
from firmware_bridge.emrtd.domain_parameters import CURVES, GROUPS, Curve, Group
from firmware_bridge.emrtd.files import CARD_ACCESS, CARD_SECURITY, COM, DIR, SOD
from firmware_bridge.emrtd.files import GROUPS as FILES
from firmware_bridge.emrtd.keys import CipherName
from firmware_bridge.emrtd.security_infos import Mapping as PaceMapping
from firmware_bridge.emrtd.security_infos import PaceInfo, oid_bytes
from firmware_bridge.reader import MrzKey
from firmware_bridge.simulator.person import Person
from firmware_bridge.simulator.pki import IssuingState, sign

_BSI = "0.4.0.127.0.7.2.2."
_CIPHER_ARC = {CipherName.TRIPLE_DES: 1, CipherName.AES_128: 2, CipherName.AES_192: 3, CipherName.AES_256: 4}
_MAPPING_ARC = {
    (PaceMapping.GENERIC, False): 1,
    (PaceMapping.GENERIC, True): 2,
    (PaceMapping.INTEGRATED, False): 3,
    (PaceMapping.INTEGRATED, True): 4,
    (PaceMapping.CHIP_AUTHENTICATION, True): 6,
}
_PRIME_P256 = 12


def pace(
    mapping: PaceMapping = PaceMapping.GENERIC,
    cipher: CipherName = CipherName.AES_128,
    parameter_id: int = _PRIME_P256,
) -> PaceInfo:
    """One way of PACE that a chip offers; identifiers 8 to 18 are curves, 0 to 2 prime groups."""
    elliptic = parameter_id in CURVES
    oid = f"{_BSI}4.{_MAPPING_ARC[mapping, elliptic]}.{_CIPHER_ARC[cipher]}"
    return PaceInfo(oid, mapping, elliptic, cipher, parameter_id)


@dataclass(frozen=True, slots=True)
class Profile:
    """What a chip can do.

    `chip_authentication` is a cipher and standard domain parameters, `active_authentication` "rsa", "ecdsa" or empty.
    """

    pace: tuple[PaceInfo, ...] = (pace(),)
    bac: bool = True
    chip_authentication: tuple[CipherName, int] | None = (CipherName.AES_128, _PRIME_P256)
    active_authentication: str = "rsa"
    extended: bool = True
    max_response: int = 65536
    #: A READ BINARY that asks for more is answered "wrong length".
    largest_read: int = 65536
    can: str = "500540"


@dataclass(frozen=True, slots=True)
class StaticKey:
    """The chip's chip-authentication key."""

    cipher: CipherName
    oid: str
    group: AnyAgreement
    private: int
    public: Point | int


@dataclass(frozen=True, slots=True, repr=False)
class Personalisation:
    """A chip's memory: the files of the master file and of the application by identifier, and its secrets."""

    profile: Profile
    key: MrzKey
    master: Mapping[int, bytes]
    application: Mapping[int, bytes]
    static: StaticKey | None = None
    active: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | None = None
    mapping_static: StaticKey | None = field(default=None)

    def with_file(self, fid: int, content: bytes | None) -> Personalisation:
        """A copy whose application holds other content, or not that file at all."""
        files = {number: data for number, data in self.application.items() if number != fid}
        if content is not None:
            files[fid] = content
        return replace(self, application=files)


def personalise(
    person: Person,
    picture: bytes,
    state: IssuingState,
    profile: Profile | None = None,
    *,
    width: int = 240,
    height: int = 320,
    signing_time: datetime | None = None,
    extra: Mapping[int, bytes] | None = None,
) -> Personalisation:
    """Make a chip's memory.

    Args:
        person: whom the document names.
        picture: JPEG or JPEG 2000, as it is to stand in DG2.
        state: who signs.
        profile: what the chip can do.
        width: of the picture, in pixels.
        height: of the picture, in pixels.
        signing_time: written into the signature; none by default.
        extra: more data groups, whole, by number.
    """
    profile = profile or Profile()
    static = _static_key(profile)
    active = _active_key(profile)
    groups: dict[int, bytes] = {
        1: tlv.encode(0x61, tlv.encode(0x5F1F, person.zone().encode("ascii"))),
        2: portrait.encode(picture, width=width, height=height),
        **_texts(person),
        **(extra or {}),
    }
    infos = _security_infos(profile, static, active)
    if infos:
        groups[14] = tlv.encode(0x6E, tlv.encode(0x31, b"".join(infos)))
    if active is not None:
        groups[15] = tlv.encode(0x6F, _public_der(active))
    application = {FILES[number].fid: content for number, content in groups.items()}
    application[COM.fid] = _common(groups)
    application[SOD.fid] = state.security_object(groups, signing_time=signing_time)
    mapping_static = _mapping_key(profile)
    master = _master_files(profile, state, mapping_static)
    return Personalisation(profile, person.key, master, application, static, active, mapping_static)


def _common(groups: Mapping[int, bytes]) -> bytes:
    tags = bytes(FILES[number].tag or 0 for number in sorted(groups))
    versions = tlv.encode(0x5F01, b"0107") + tlv.encode(0x5F36, b"040000")
    return tlv.encode(0x60, versions + tlv.encode(0x5C, tags))


def _texts(person: Person) -> dict[int, bytes]:
    groups = {}
    personal = {0x5F0E: person.native_name, 0x5F42: person.address}
    if any(personal.values()):
        fields = {tag: value.encode() for tag, value in personal.items() if value}
        listed = tlv.encode(0x5C, b"".join(tag.to_bytes(2, "big") for tag in fields))
        groups[11] = tlv.encode(0x6B, listed + b"".join(tlv.encode(tag, value) for tag, value in fields.items()))
    if person.authority:
        listed = tlv.encode(0x5C, bytes.fromhex("5F19"))
        groups[12] = tlv.encode(0x6C, listed + tlv.encode(0x5F19, person.authority.encode()))
    return groups


def _sequence(oid: str, *rest: bytes) -> bytes:
    return tlv.encode(0x30, tlv.encode(0x06, oid_bytes(oid)) + b"".join(rest))


def _integer(value: int) -> bytes:
    return tlv.encode(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _pace_infos(profile: Profile) -> list[bytes]:
    return [_sequence(info.oid, _integer(2), _integer(info.parameter_id)) for info in profile.pace]


def _security_infos(
    profile: Profile, static: StaticKey | None, active: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | None
) -> list[bytes]:
    infos = _pace_infos(profile)
    if static is not None:
        infos += [_sequence(static.oid, _integer(1)), public_key_info(static)]
    if isinstance(active, ec.EllipticCurvePrivateKey):
        plain_sha256 = tlv.encode(0x06, oid_bytes("0.4.0.127.0.7.1.1.4.1.3"))
        infos.append(_sequence("2.23.136.1.1.5", _integer(1), plain_sha256))
    return infos


def public_key_info(static: StaticKey) -> bytes:
    """ChipAuthenticationPublicKeyInfo (Doc 9303-11, 9.2.6)."""
    encoded = static.group.encode(static.public)  # type: ignore[arg-type]  # element and group belong together
    if isinstance(static.group, CurveAgreement):
        curve = static.group.curve
        algorithm = _sequence("1.2.840.10045.2.1", tlv.encode(0x06, oid_bytes(curve.oid)))
        bits = tlv.encode(0x03, b"\x00" + encoded)
        return _sequence(_BSI + "1.2", tlv.encode(0x30, algorithm + bits))
    group = static.group.group
    algorithm = _sequence("1.2.840.10046.2.1", tlv.encode(0x30, b"".join(map(_integer, (group.p, group.g, group.q)))))
    bits = tlv.encode(0x03, b"\x00" + _integer(int.from_bytes(encoded, "big")))
    return _sequence(_BSI + "1.1", tlv.encode(0x30, algorithm + bits))


def _static_key(profile: Profile) -> StaticKey | None:
    if profile.chip_authentication is None:
        return None
    cipher, parameter_id = profile.chip_authentication
    domain: Curve | Group = CURVES[parameter_id] if parameter_id in CURVES else GROUPS[parameter_id]
    group = agreement(domain)
    private, public = group.generate()
    arc = 2 if isinstance(group, CurveAgreement) else 1
    return StaticKey(cipher, f"{_BSI}3.{arc}.{_CIPHER_ARC[cipher]}", group, private, public)


def _active_key(profile: Profile) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | None:
    if profile.active_authentication == "rsa":
        return rsa.generate_private_key(65537, 2048)
    if profile.active_authentication == "ecdsa":
        return ec.generate_private_key(ec.SECP256R1())
    return None


def _public_der(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _mapping_key(profile: Profile) -> StaticKey | None:
    offer = next((info for info in profile.pace if info.mapping is PaceMapping.CHIP_AUTHENTICATION), None)
    if offer is None:
        return None
    group = CurveAgreement(CURVES[offer.parameter_id])
    private, public = group.generate()
    return StaticKey(offer.cipher, _BSI + "1.2", group, private, public)


def _master_files(profile: Profile, state: IssuingState, mapping_static: StaticKey | None) -> dict[int, bytes]:
    # Tag 47 is the card capabilities, 7F66 the longest command and response (ISO/IEC 7816-4, 12.7).
    info = tlv.encode(0x47, b"\x00\x00" + bytes((0x40 if profile.extended else 0,)))
    if profile.extended:
        sizes = _integer(min(profile.max_response, 0xFFFF)) * 2
        info += tlv.encode(0x7F66, sizes)
    application = tlv.encode(0x61, tlv.encode(0x4F, bytes.fromhex("A0000002471001")))
    files = {0x2F01: info, DIR.fid: application}
    if profile.pace:
        content = tlv.encode(0x31, b"".join(_pace_infos(profile)))
        files[CARD_ACCESS.fid] = content
        if mapping_static is not None:
            signed = tlv.encode(0x31, b"".join(_pace_infos(profile)) + public_key_info(mapping_static))
            files[CARD_SECURITY.fid] = sign(state.signer, "0.4.0.127.0.7.3.2.1", signed)
    return files
