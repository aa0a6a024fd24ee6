"""PACE, the terminal's side (ICAO Doc 9303-11, 4.4)."""

from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.constant_time import bytes_eq

from firmware_bridge.apdu import status, tlv
from firmware_bridge.apdu.channel import Channel
from firmware_bridge.apdu.command import CHAINED, EXTENDED_RESPONSE, Command
from firmware_bridge.apdu.secure import SecureChannel, Suite, TripleDesSuite
from firmware_bridge.emrtd import keys
from firmware_bridge.emrtd.agreement import Agreement, agreement
from firmware_bridge.emrtd.integrated_mapping import map_integrated, second_nonce
from firmware_bridge.emrtd.keys import CipherName
from firmware_bridge.emrtd.security_infos import Mapping, PaceInfo, oid_bytes
from firmware_bridge.errors import Code, DocumentError
from firmware_bridge.reader import AccessKey, MrzKey

_TEMPLATE, _PUBLIC_KEY = 0x7C, 0x7F49
_NONCE, _MAP, _MAP_CHIP, _EPHEMERAL, _EPHEMERAL_CHIP, _TOKEN, _TOKEN_CHIP, _CHIP_DATA = (
    0x80,
    0x81,
    0x82,
    0x83,
    0x84,
    0x85,
    0x86,
    0x8A,
)
_BY_MRZ, _BY_CAN = 1, 2
_STRENGTH = (CipherName.TRIPLE_DES, CipherName.AES_128, CipherName.AES_192, CipherName.AES_256)
_PREFERENCE = (Mapping.INTEGRATED, Mapping.GENERIC, Mapping.CHIP_AUTHENTICATION)


@dataclass(frozen=True, slots=True)
class PaceResult:
    """An open channel and, for chip authentication mapping, what proves the chip's static key."""

    channel: SecureChannel
    info: PaceInfo
    mapping_key: bytes
    chip_data: bytes | None


def choose(offers: tuple[PaceInfo, ...]) -> PaceInfo | None:
    """The best offer whose domain parameters are standard: by mapping, then by cipher."""
    known = [offer for offer in offers if offer.domain is not None]
    return max(known, key=lambda o: (_PREFERENCE.index(o.mapping), _STRENGTH.index(o.cipher)), default=None)


def decrypt_nonce(key: AccessKey, cipher: CipherName, encrypted: bytes) -> bytes:
    """The chip's nonce under the password's key (CBC, zero initial vector)."""
    password = keys.password_key(key, cipher)
    if cipher is CipherName.TRIPLE_DES:
        return TripleDesSuite(password, password).decrypt(0, encrypted)
    return Cipher(algorithms.AES(password), modes.CBC(bytes(16))).decryptor().update(encrypted)


def token(suite: Suite, info: PaceInfo, group: Agreement[Any], public: Any) -> bytes:
    """The authentication token over the other side's ephemeral public key (4.4.3.4)."""
    value = tlv.encode(0x06, oid_bytes(info.oid)) + tlv.encode(group.public_tag, group.encode(public))
    return suite.token(tlv.encode(_PUBLIC_KEY, value))


def establish(channel: Channel, info: PaceInfo, key: AccessKey) -> PaceResult:
    """Open the chip.

    Raises:
        DocumentError: `document.key` if the password is wrong, `document.access` if the chip breaks the protocol.
    """
    domain = info.domain
    if domain is None:
        raise DocumentError(Code.DOCUMENT_ACCESS, "PACE with domain parameters that are not standard")
    group: Agreement[Any] = agreement(domain)
    _select(channel, info, key)
    encrypted = _step(channel, b"", _NONCE)
    if len(encrypted) not in {16, 32}:
        raise DocumentError(Code.DOCUMENT_ACCESS, f"PACE with a nonce of {len(encrypted)} bytes")
    nonce = decrypt_nonce(key, info.cipher, encrypted)
    if info.mapping is Mapping.INTEGRATED:
        extra = second_nonce(info.cipher)
        _step(channel, tlv.encode(_MAP, extra), None)
        mapping_key = b""
        generator = map_integrated(domain, info.cipher, nonce, extra)
    else:
        private, public = group.generate()
        mapping_key = _step(channel, tlv.encode(_MAP, group.encode(public)), _MAP_CHIP)
        generator = group.map_generic(nonce, group.power(private, group.decode(mapping_key)))
    private, public = group.generate(generator)
    chip_public = group.decode(_step(channel, tlv.encode(_EPHEMERAL, group.encode(public)), _EPHEMERAL_CHIP))
    if chip_public == public:
        raise DocumentError(Code.DOCUMENT_ACCESS, "the chip sent the terminal's own public key back")
    suite = keys.suite(group.secret(private, chip_public), info.cipher)
    own_token = tlv.encode(_TOKEN, token(suite, info, group, chip_public))
    answer = _exchange(channel, Command(0x00, 0x86, 0x00, 0x00, _wrap(own_token), 256))
    if not bytes_eq(tlv.require(answer, _TOKEN_CHIP), token(suite, info, group, public)):
        raise DocumentError(Code.DOCUMENT_ACCESS, "the chip's authentication token is wrong")
    return PaceResult(SecureChannel(channel, suite), info, mapping_key, _chip_data(suite, info, answer))


def _chip_data(suite: Suite, info: PaceInfo, answer: bytes) -> bytes | None:
    if info.mapping is not Mapping.CHIP_AUTHENTICATION:
        return None
    encrypted = tlv.find(answer, _CHIP_DATA)
    if encrypted is None or not encrypted or len(encrypted) % suite.block:
        raise DocumentError(Code.DOCUMENT_ACCESS, "chip authentication mapping without the chip's data")
    # The initial vector is the encryption of -1 (4.4.3.3.3).
    return suite.decrypt((1 << 128) - 1, encrypted)


def _select(channel: Channel, info: PaceInfo, key: AccessKey) -> None:
    reference = _BY_MRZ if isinstance(key, MrzKey) else _BY_CAN
    data = (
        tlv.encode(0x80, oid_bytes(info.oid))
        + tlv.encode(0x83, bytes((reference,)))
        + tlv.encode(0x84, bytes((info.parameter_id,)))
    )
    _data, sw = channel.transmit(Command(0x00, 0x22, 0xC1, 0xA4, data))
    # 63Cx warns of the tries that a password has left and is no refusal.
    if sw != status.OK and sw & 0xFFF0 != 0x63C0:
        raise DocumentError(Code.DOCUMENT_ACCESS, f"the chip refuses to start PACE: {status.meaning(sw)}")


def _wrap(value: bytes) -> bytes:
    return tlv.encode(_TEMPLATE, value)


def _step(channel: Channel, value: bytes, expected: int | None) -> bytes:
    # The answer to a long public key is as long; without extended length the chip hands it out by GET RESPONSE.
    le = 256 if len(value) < 200 else EXTENDED_RESPONSE
    answer = _exchange(channel, Command(CHAINED, 0x86, 0x00, 0x00, _wrap(value), le))
    return answer if expected is None else tlv.require(answer, expected)


def _exchange(channel: Channel, command: Command) -> bytes:
    data, sw = channel.transmit(command)
    if status.refuses_key(sw) or sw in {status.SECURITY_STATUS, status.AUTHENTICATION_BLOCKED}:
        raise DocumentError(Code.DOCUMENT_KEY, f"PACE refused: {status.meaning(sw)}")
    if sw != status.OK:
        raise DocumentError(Code.DOCUMENT_ACCESS, f"PACE broken off: {status.meaning(sw)}")
    return tlv.require(data, _TEMPLATE) if data else b""
