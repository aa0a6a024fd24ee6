"""The code on the idle page: what a phone reads is what the terminal signed, and it is another one each time."""

import base64
import time

import cbor2
import numpy as np
import segno
import zxingcpp

from agent.kiosk.join import PREFIX, JoinCode, draw


def scan(text: str) -> str:
    """What a decoder that is not ours reads from the modules of the drawn code."""
    modules = np.array([list(row) for row in segno.make_qr(text, error="l").matrix_iter(scale=4, border=4)])
    [found] = zxingcpp.read_barcodes(((1 - modules) * 255).astype(np.uint8))
    return str(found.text)


async def test_the_claims_name_the_terminal_and_end_soon() -> None:
    signed: list[bytes] = []

    def sign(claims: bytes) -> bytes:
        signed.append(claims)
        return claims

    svg = await JoinCode("lobby-07", sign, lifetime=60.0).fresh()
    claims = cbor2.loads(signed[0])
    assert claims[1] == "lobby-07"
    assert claims[4] - claims[6] == 60
    assert abs(claims[6] - time.time()) < 5
    assert svg.startswith(b"<svg")
    assert b"<script" not in svg


async def test_no_two_codes_are_the_same() -> None:
    code = JoinCode("lobby-07", lambda claims: claims)
    assert await code.fresh() != await code.fresh()


def test_an_independent_decoder_reads_what_was_signed() -> None:
    signed = bytes(range(150))
    text = PREFIX + base64.b32encode(signed).decode().rstrip("=")
    assert scan(text) == text
    # Base32 stays in the alphanumeric mode: 150 bytes fit a code that a phone reads from a small screen.
    assert int(segno.make_qr(text, error="l").version) <= 8
    assert len(draw(text)) < 20_000
