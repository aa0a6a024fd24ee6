"""What is fuzzed: a function for each parser, with inputs to start from."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from firmware_bridge.apdu import tlv
from firmware_bridge.apdu.command import Command, Response, decode
from firmware_bridge.apdu.secure import AesSuite, SecureChannel, TripleDesSuite
from firmware_bridge.emrtd import capabilities, data_groups, passive, portrait, security_infos
from firmware_bridge.emrtd.files import CARD_ACCESS, COM, SOD
from firmware_bridge.emrtd.files import GROUPS as FILES
from firmware_bridge.emrtd.reading import read_chip
from firmware_bridge.emrtd.trust import TrustStore, crl_is_signed_by
from firmware_bridge.emrtd.trust_files import parse_bytes
from firmware_bridge.emrtd.trust_import import entries
from firmware_bridge.errors import BridgeError
from firmware_bridge.reader import CanKey, MrzKey, ReadRequest
from firmware_bridge.samv import inspection
from firmware_bridge.samv.frames import FrameParser, encode
from firmware_bridge.scanner.codes import access_key
from firmware_bridge.scanner.lines import LineAssembler
from firmware_bridge.simulator import PassportChip, samv
from tests.hostile.fuzz_bridge.names import FOUND
from tests.protocol.bridge_chips import PERSON, memory, state, store_of

NOW = datetime(2026, 6, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Target:
    """A function that must end in time and raise nothing but a `BridgeError`."""

    run: Callable[[bytes], object]
    seeds: Callable[[], list[bytes]]

    def try_one(self, data: bytes) -> None:
        """Run it on one input; expected errors are swallowed."""
        try:
            self.run(data)
        except BridgeError:
            return


def application(*files: int) -> list[bytes]:
    return [memory().application[fid] for fid in files]


def nested(data: bytes, depth: int = 0) -> None:
    for item in tlv.parse(data):
        if item.tag & 0x20 and depth < 40:
            nested(item.value, depth + 1)


def lds(data: bytes) -> None:
    kind, content = data[:1], data[1:]
    today = NOW.date()
    match kind:
        case b"\x00":
            data_groups.parse_common(content)
        case b"\x01":
            data_groups.parse_mrz(content, today=today)
        case b"\x0b":
            data_groups.parse_personal(content)
        case b"\x0c":
            data_groups.parse_document(content)
        case b"\x0e":
            security_infos.parse(content)
        case _:
            capabilities.from_atr(content)
            capabilities.from_info(content)


def lds_seeds() -> list[bytes]:
    content = memory().application
    master = memory().master
    return [
        b"\x00" + content[COM.fid],
        b"\x01" + content[FILES[1].fid],
        b"\x0e" + master[CARD_ACCESS.fid],
        b"\x0e" + tlv.require(content[FILES[14].fid], 0x6E),
        b"\x0b" + bytes.fromhex("6b0c5c025f0e5f0e054c493c4e41"),
        b"\x0c" + bytes.fromhex("6c0f5c025f265f2608") + b"20260101",
        b"\xff" + bytes.fromhex("3B8A80018031F873F741E082900075"),
    ]


@cache
def anchors() -> TrustStore:
    return store_of(state())


def sod(data: bytes) -> None:
    content = memory().application
    groups = {number: content[FILES[number].fid] for number in (1, 2)}
    result = passive.authenticate(data, groups, anchors(), now=NOW)
    genuine = result.check.passed and data[:40] != content[SOD.fid][:40]
    assert not genuine, "a changed security object passed"


def trust(data: bytes) -> None:
    """What is found in a file is used as the terminal and the operator's commands use it."""
    found_there = parse_bytes(data)
    store = TrustStore(revocation_lists=list(found_there.revocation_lists))
    for certificate in (*anchors().certificates, *found_there.certificates):
        store.add(certificate)
    for certificate in store.certificates:
        store.find_path(certificate, NOW)
    for revocations in store.revocation_lists:
        crl_is_signed_by(revocations, anchors().certificates[0])
    list(entries(store, NOW))


def revocation_list() -> bytes:
    csca = state().csca
    revoked = x509.RevokedCertificateBuilder().serial_number(7).revocation_date(NOW).build()
    builder = x509.CertificateRevocationListBuilder(csca.certificate.subject, NOW, NOW + timedelta(days=30))
    return builder.add_revoked_certificate(revoked).sign(csca.key, SHA256()).public_bytes(Encoding.DER)


class _Fixed:
    """A channel that answers with the same bytes always."""

    extended = True

    def __init__(self, data: bytes) -> None:
        self.data = data

    def transmit(self, _command: Command) -> Response:
        return Response(self.data[2:], int.from_bytes(self.data[:2], "big"))


def secure_messaging(data: bytes) -> None:
    for suite in (TripleDesSuite(bytes(range(16)), bytes(range(16))), AesSuite(bytes(16), bytes(16))):
        try:
            SecureChannel(_Fixed(data), suite).transmit(Command(0, 0xB0, 0, 0, le=0))
        except BridgeError:
            continue
        raise AssertionError("an answer under unknown keys was accepted")


def secure_seeds() -> list[bytes]:
    return [
        bytes.fromhex("9000990290008E08FA855A5D4C50A8ED"),
        bytes.fromhex("90008709019FF0EC34F9922651990290008E08AD55CC17140B2DED"),
        bytes.fromhex("6988"),
    ]


class _Hostile:
    """A chip whose answers come from the fuzzer: changed copies of what the genuine chip says."""

    def __init__(self, data: bytes) -> None:
        self._chip = PassportChip(memory())
        self._script = data
        self._turn = 0

    def send_and_receive(self, apdu: bytes) -> tuple[bytes, int]:
        answer = self._chip.process(apdu)
        piece = self._script[self._turn * 4 : self._turn * 4 + 4]
        self._turn += 1
        if len(piece) == 4 and piece[0] & 0x80:
            changed = bytearray(answer)
            changed[piece[1] % len(changed)] ^= piece[2] | 1
            answer = bytes(changed) if piece[3] & 1 else bytes(changed[: max(2, piece[3])])
        return answer[:-2], int.from_bytes(answer[-2:], "big")


def chip(data: bytes) -> None:
    key: MrzKey | CanKey = PERSON.key if data[:1] < b"\x80" else CanKey("500540")
    decode_quietly(data)
    document = read_chip(_Hostile(data[1:]), ReadRequest(key), anchors(), now=NOW)
    assert document.holder.surname in {"", PERSON.surname}


def decode_quietly(data: bytes) -> None:
    try:
        decode(data)
    except BridgeError:
        return


def samv_frames(data: bytes) -> None:
    parser = FrameParser()
    for start in range(0, len(data), 61):
        parser.feed(data[start : start + 61])
    inspection.inspect(data)


def samv_seeds() -> list[bytes]:
    seeds = []
    for card in (samv.resident(), samv.permit(), samv.foreigner_2017(), samv.foreigner_2023()):
        parts = (card.text, card.photo)
        body = b"\x00\x00\x90" + b"".join(len(part).to_bytes(2, "big") for part in parts) + b"".join(parts)
        seeds.append(encode(body))
    return [*seeds, encode(b"\x00\x00\x9f" + bytes(4)), encode(b"\x00\x00\x90" + bytes(16))]


def scanned(data: bytes) -> None:
    for text in LineAssembler().feed(data):
        access_key(text, today=date(2026, 6, 1))


TARGETS: Mapping[str, Target] = {
    "tlv": Target(nested, lambda: [memory().application[COM.fid], memory().application[FILES[14].fid]]),
    "lds": Target(lds, lds_seeds),
    "sod": Target(sod, lambda: application(SOD.fid)),
    "dg2": Target(portrait.parse, lambda: [memory().application[FILES[2].fid][:2000], bytes.fromhex("75037F6100")]),
    "secure-messaging": Target(secure_messaging, secure_seeds),
    "chip": Target(chip, lambda: [bytes(100), b"\x00" + b"\x80\x05\x10\x01" * 25]),
    "trust": Target(trust, lambda: [state().csca.der, revocation_list(), memory().application[SOD.fid][4:]]),
    "samv": Target(samv_frames, samv_seeds),
    "scanner": Target(scanned, lambda: [PERSON.zone().encode() + b"\r", b"CAN:500540\r"]),
}


def found(name: str) -> Iterator[Path]:
    """Inputs that once broke a target."""
    folder = FOUND / name
    yield from sorted(folder.iterdir()) if folder.exists() else ()
