"""A short, seeded run of the fuzz targets, every input that was ever found, and the hostile cases that have names."""

import random
import subprocess
import sys
import time
from importlib.util import find_spec

import pytest
from asn1crypto import cms, keys, x509

from firmware_bridge.apdu import tlv
from firmware_bridge.apdu.channel import MAX_CHAIN, PlainChannel
from firmware_bridge.apdu.command import Command
from firmware_bridge.emrtd import curves, files, portrait
from firmware_bridge.emrtd.capabilities import historical_bytes
from firmware_bridge.emrtd.domain_parameters import CURVES
from firmware_bridge.emrtd.passive import authenticate
from firmware_bridge.errors import Code, DocumentError
from tests.hostile.fuzz_bridge.names import NAMES
from tests.hostile.fuzz_bridge.targets import TARGETS, found
from tests.protocol.bridge_chips import memory, state, store_of

ROUNDS = 500
SECONDS_AN_INPUT = 1.0
_TOKENS = (
    b"\x30\x80",
    b"\x84\xff\xff\xff\xff",
    b"\x00" * 9,
    b"\xff" * 9,
    b"\x7f\x61",
    b"\x1f",
    b"\xaa\xaa\xaa\x96\x69",
)


def mutated(chance: random.Random, seed: bytes) -> bytes:
    data = bytearray(seed)
    for _ in range(chance.randint(1, 6)):
        place = chance.randrange(len(data) + 1)
        match chance.randrange(5):
            case 0 if data:
                data[place % len(data)] ^= 1 << chance.randrange(8)
            case 1:
                del data[place : place + chance.randint(1, 40)]
            case 2:
                data[place:place] = chance.choice(_TOKENS)
            case 3:
                data[place:place] = data[: chance.randint(0, 60)]
            case _:
                data[place : place + 2] = chance.randbytes(2)
    return bytes(data)


def in_time(name: str, data: bytes) -> None:
    begin = time.thread_time()
    TARGETS[name].try_one(data)
    assert time.thread_time() - begin < SECONDS_AN_INPUT, f"{name} took too long on {data[:40].hex()}…"


@pytest.mark.parametrize("name", TARGETS)
def test_changed_inputs_end_in_an_error_of_ours_or_in_nothing(name: str) -> None:
    chance = random.Random(f"renzheng {name}")  # noqa: S311 - it must be the same in every run
    seeds = TARGETS[name].seeds()
    rounds = ROUNDS // 5 if name == "chip" else ROUNDS
    for _ in range(rounds):
        in_time(name, mutated(chance, chance.choice(seeds)))


@pytest.mark.parametrize("name", TARGETS)
def test_what_was_found_once_is_mended(name: str) -> None:
    for file in found(name):
        in_time(name, file.read_bytes())


@pytest.mark.skipif(find_spec("atheris") is None, reason="needs the package atheris (no wheel on this platform)")
@pytest.mark.parametrize("name", ["tlv", "samv", "dg2"])
def test_the_coverage_guided_fuzzer_runs(name: str) -> None:
    command = [sys.executable, "-m", "tests.hostile.fuzz_bridge", name, "--runs", "1500"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert f"{name}: 0 found" in done.stdout, done.stderr[-2000:]


def code_of(data: bytes) -> Code:
    with pytest.raises(DocumentError) as caught:
        tlv.read(data)
    return caught.value.code


def test_an_object_that_claims_four_gigabytes_is_over_the_limit() -> None:
    assert code_of(bytes.fromhex("7584FFFFFFFF00")) is Code.DOCUMENT_LIMIT


def test_lengths_and_tags_that_cannot_be_are_malformed() -> None:
    for text in ("7580", "7585FFFFFFFFFF", "75", "1F", "1FFFFFFFFF7F01", "7502AA", ""):
        assert code_of(bytes.fromhex(text)) is Code.DOCUMENT_MALFORMED


def test_a_template_of_too_many_objects_is_over_the_limit() -> None:
    with pytest.raises(DocumentError) as caught:
        tlv.parse(b"\x04\x00" * (tlv.MAX_OBJECTS + 1))
    assert caught.value.code is Code.DOCUMENT_LIMIT


def test_the_fuzzer_knows_every_target() -> None:
    assert set(NAMES) == set(TARGETS)


class Endless:
    """A chip that always has more to say."""

    def __init__(self) -> None:
        self.asked = 0

    def send_and_receive(self, _apdu: bytes) -> tuple[bytes, int]:
        self.asked += 1
        return bytes(255), 0x61FF


def test_endless_chaining_ends() -> None:
    transport = Endless()
    with pytest.raises(DocumentError) as caught:
        PlainChannel(transport).transmit(Command(0, 0xB0, 0, 0, le=256))
    assert caught.value.code is Code.DOCUMENT_LIMIT
    assert transport.asked <= MAX_CHAIN + 1


def dg2_of(image: bytes) -> bytes:
    return portrait.encode(image, width=1, height=1)


def test_an_image_bomb_is_over_the_limit_and_never_decoded() -> None:
    bomb = b"\xff\xd8\xff\xc0\x00\x11\x08\xff\xff\xff\xff\x03" + bytes(20)
    with pytest.raises(DocumentError) as caught:
        portrait.parse(dg2_of(bomb))
    assert caught.value.code is Code.DOCUMENT_LIMIT
    jpeg2000 = bytes.fromhex("FF4FFF5100290000 FFFFFFFF FFFFFFFF 00000000 00000000") + bytes(40)
    with pytest.raises(DocumentError) as caught:
        portrait.parse(dg2_of(jpeg2000))
    assert caught.value.code is Code.DOCUMENT_LIMIT


def test_a_portrait_that_is_nested_without_end_is_over_the_limit() -> None:
    block = b""
    for _ in range(100):
        block = tlv.encode(0x30, block)
    group = tlv.encode(0x7F61, b"\x02\x01\x01" + tlv.encode(0x7F60, tlv.encode(0x7F2E, block)))
    with pytest.raises(DocumentError) as caught:
        portrait.parse(tlv.encode(0x75, group))
    assert caught.value.code is Code.DOCUMENT_LIMIT


def test_an_answer_to_reset_that_lies_about_its_length_gives_what_is_there() -> None:
    for atr in (b"", b"\x3b", b"\x3b\xff", b"\x3b\xff\xff\xff", b"\x3b\x0f\x00"):
        assert len(historical_bytes(atr)) <= len(atr)


def crowded(sod: bytes, certificates: int, signers: int) -> bytes:
    """A security object with so many certificates that fit its signers, their key on a curve of slow arithmetic."""
    curve = next(curve for curve in CURVES.values() if curve.name == "brainpoolP320r1")
    info = cms.ContentInfo.load(tlv.require(sod, 0x77))
    signed = info["content"]
    body = signed["certificates"][0].chosen["tbs_certificate"].copy()
    body["subject_public_key_info"] = {
        "algorithm": {"algorithm": "ec", "parameters": keys.ECDomainParameters("named", curve.oid)},
        "public_key": curves.encode(curve, curves.generator(curve)),
    }
    forged = x509.Certificate(
        {"tbs_certificate": body, "signature_algorithm": body["signature"], "signature_value": bytes(8)}
    )
    signed["certificates"] = [forged] * certificates
    signed["signer_infos"] = [signed["signer_infos"][0]] * signers
    return tlv.encode(0x77, info.dump(force=True))


def test_a_security_object_full_of_certificates_that_fit_is_judged_in_time() -> None:
    held = memory()
    sod = crowded(held.application[files.SOD.fid], 100, 8)
    begin = time.thread_time()
    result = authenticate(sod, {1: held.application[files.GROUPS[1].fid]}, store_of(state()))
    assert time.thread_time() - begin < 5 * SECONDS_AN_INPUT
    assert result.check.reason == "the security object's signature is wrong"
