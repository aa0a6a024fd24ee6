"""Chip authentication: does the chip hold the private key that its issuer vouches for (ICAO Doc 9303-11, 6.2)?

A copied chip has the public key and not the private one: after the agreement it cannot speak under the new keys.
"""

from typing import Any

from asn1crypto import keys as asn1_keys

from firmware_bridge.apdu import status, tlv
from firmware_bridge.apdu.channel import Channel
from firmware_bridge.apdu.command import Command
from firmware_bridge.apdu.secure import SecureChannel
from firmware_bridge.emrtd import curves, keys, signatures
from firmware_bridge.emrtd.agreement import CurveAgreement, agreement
from firmware_bridge.emrtd.domain_parameters import CURVES, GROUPS, Curve, Group
from firmware_bridge.emrtd.keys import CipherName
from firmware_bridge.emrtd.security_infos import (
    ChipAuthenticationInfo,
    ChipAuthenticationKey,
    SecurityInfos,
    integer,
    oid_bytes,
    oid_text,
)
from firmware_bridge.errors import Code, DocumentError

#: standardizedDomainParameters (9.5.1): an algorithm identifier whose parameter is the domain's number.
_STANDARDIZED = "0.4.0.127.0.7.1.2"
_STRENGTH = (CipherName.TRIPLE_DES, CipherName.AES_128, CipherName.AES_192, CipherName.AES_256)


def choose(infos: SecurityInfos) -> tuple[ChipAuthenticationInfo, ChipAuthenticationKey] | None:
    """The strongest protocol with its key; a key without protocol means 3DES (Doc 9303-11, 9.2.5).

    Numbers tell several keys apart; of an only key they say nothing, and an issuer may have left one of the two out.
    """
    found: list[tuple[ChipAuthenticationInfo, ChipAuthenticationKey]] = []
    for key in infos.chip_keys:
        alone = sum(other.elliptic == key.elliptic for other in infos.chip_keys) == 1
        protocols = [
            protocol
            for protocol in infos.chip_authentication
            if protocol.elliptic == key.elliptic and (alone or protocol.key_id == key.key_id)
        ]
        if not protocols and not infos.chip_authentication:
            oid = f"0.4.0.127.0.7.2.2.3.{2 if key.elliptic else 1}.1"
            protocols = [ChipAuthenticationInfo(oid, key.elliptic, CipherName.TRIPLE_DES, key.key_id)]
        found += [(protocol, key) for protocol in protocols]
    return max(found, key=lambda pair: _STRENGTH.index(pair[0].cipher), default=None)


def public_key(key: ChipAuthenticationKey) -> tuple[Any, Any]:
    """The agreement and the chip's static element; the domain is spelled out or given by its number (9.5.1).

    Raises:
        DocumentError: for a key outside the standard domains, or off its curve.
    """
    try:
        algorithm, bits = tlv.parse(tlv.require(key.key, 0x30))
        identifier, parameters = tlv.parse(algorithm.value)
        if oid_text(identifier.value) == _STANDARDIZED:
            domain: Curve | Group = (CURVES if key.elliptic else GROUPS)[integer(parameters.value)]
        elif key.elliptic:
            domain = signatures.known_curve(asn1_keys.PublicKeyInfo.load(key.key))
        else:
            domain = _known_group(*(item.value for item in tlv.parse(parameters.value)[:2]))
        element = bits.value[1:] if key.elliptic else tlv.require(bits.value[1:], 0x02).lstrip(b"\x00")
        group = agreement(domain)
        return group, group.decode(element)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise signatures.unsupported("a chip authentication key that cannot be parsed") from error


def _known_group(prime: bytes, generator: bytes) -> Group:
    numbers = (int.from_bytes(prime, "big"), int.from_bytes(generator, "big"))
    group = next((group for group in GROUPS.values() if (group.p, group.g) == numbers), None)
    if group is None:
        raise signatures.unsupported("chip authentication in a group that is not standard")
    return group


def establish(
    channel: Channel, plain: Channel, info: ChipAuthenticationInfo, key: ChipAuthenticationKey
) -> SecureChannel:
    """Agree on new session keys with the chip's static key; the caller proves them by one more command.

    Raises:
        DocumentError: `document.cloned` if the chip refuses what its own data announces.
    """
    group, static = public_key(key)
    private, public = group.generate()
    encoded = group.encode(public)
    secret = group.secret(private, static)
    identifier = b"" if info.key_id is None else tlv.encode(0x84, _key_id(info.key_id))
    if info.cipher is CipherName.TRIPLE_DES:
        _demand(channel, Command(0x00, 0x22, 0x41, 0xA6, tlv.encode(0x91, encoded) + identifier))
    else:
        _demand(channel, Command(0x00, 0x22, 0x41, 0xA4, tlv.encode(0x80, oid_bytes(info.oid)) + identifier))
        _demand(
            channel,
            Command(0x00, 0x86, 0x00, 0x00, tlv.encode(0x7C, tlv.encode(0x80, encoded)), 256),
        )
    return SecureChannel(plain, keys.suite(secret, info.cipher))


def _key_id(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8 or 1, "big")


def _demand(channel: Channel, command: Command) -> None:
    sw = channel.transmit(command).sw
    if sw != status.OK:
        raise DocumentError(Code.DOCUMENT_CLONED, f"the chip refuses chip authentication: {status.meaning(sw)}")


def verify_mapping(
    chip_data: bytes, mapping_key: bytes, key: ChipAuthenticationKey, domain: Curve | Group | None
) -> bool:
    """PACE with chip authentication mapping over `domain`: whether the mapping key was made with the static key `key`.

    A key of another domain, or one that nobody here can judge, did not make it (4.4.3.5.2): a chip may hold several.
    """
    try:
        group, static = public_key(key)
    except DocumentError:
        return False
    if not isinstance(group, CurveAgreement) or group.curve != domain:
        return False
    curve = group.curve
    return curves.multiply(curve, int.from_bytes(chip_data, "big"), static) == curves.decode(curve, mapping_key)
