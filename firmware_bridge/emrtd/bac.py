"""Basic access control, the terminal's side (ICAO Doc 9303-11, 4.3)."""

import secrets

from cryptography.hazmat.primitives.constant_time import bytes_eq

from firmware_bridge.apdu import status
from firmware_bridge.apdu.channel import Channel
from firmware_bridge.apdu.command import Command
from firmware_bridge.apdu.secure import SecureChannel, pad
from firmware_bridge.emrtd import keys
from firmware_bridge.errors import Code, DocumentError
from firmware_bridge.reader import MrzKey

_GET_CHALLENGE = Command(0x00, 0x84, 0x00, 0x00, le=8)


def establish(channel: Channel, key: MrzKey) -> SecureChannel:
    """Open the chip with the document's basic access keys.

    Raises:
        DocumentError: `document.key` if the chip refuses the key, `document.access` if it breaks the protocol.
    """
    challenge, sw = channel.transmit(_GET_CHALLENGE)
    if sw != status.OK or len(challenge) != 8:
        raise DocumentError(Code.DOCUMENT_ACCESS, f"the chip gives no challenge: {status.meaning(sw)}")
    own = secrets.token_bytes(8)
    own_key = secrets.token_bytes(16)
    suite = keys.basic_access_suite(key)
    cryptogram = suite.encrypt(0, own + challenge + own_key)
    answer, sw = channel.transmit(
        Command(0x00, 0x82, 0x00, 0x00, cryptogram + suite.retail_mac(pad(cryptogram, 8)), le=40)
    )
    if sw != status.OK:
        # Chips answer a wrong MAC with 6300, 6982 or 6985: none of them can tell more than that the key is wrong.
        wrong = status.refuses_key(sw) or sw in {status.SECURITY_STATUS, status.CONDITIONS, status.SM_OBJECTS_WRONG}
        code = Code.DOCUMENT_KEY if wrong else Code.DOCUMENT_ACCESS
        raise DocumentError(code, f"basic access control refused: {status.meaning(sw)}")
    if len(answer) != 40 or not bytes_eq(suite.retail_mac(pad(answer[:32], 8)), answer[32:]):
        raise DocumentError(Code.DOCUMENT_ACCESS, "the chip's answer to basic access control has a wrong checksum")
    plain = suite.decrypt(0, answer[:32])
    if plain[:8] != challenge or plain[8:16] != own:
        raise DocumentError(Code.DOCUMENT_ACCESS, "the chip's answer to basic access control is not fresh")
    seed = bytes(a ^ b for a, b in zip(own_key, plain[16:], strict=True))
    return SecureChannel(
        channel, keys.suite(seed, keys.CipherName.TRIPLE_DES), int.from_bytes(challenge[4:] + own[4:], "big")
    )
