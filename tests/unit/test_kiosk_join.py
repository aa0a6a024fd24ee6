"""The code on the idle page: what a phone reads is what the terminal signed, and it is another one each time."""

import base64
import re
import time
from pathlib import Path

import cbor2
import numpy as np
import pytest
import zxingcpp

from agent.kiosk.join import PREFIX, JoinCode, device_join_code
from agent.trust import file_key
from agent.wire import cose
from agent.wire.errors import WireError


def side(svg: bytes) -> int:
    """Modules across, with the quiet zone."""
    found = re.search(rb'viewBox="0 0 (\d+) ', svg)
    assert found is not None
    return int(found[1])


def scan(svg: bytes) -> str:
    """What a decoder that is not ours reads from the drawing: its one path of runs `M x y h length` and `m dx dy`."""
    size = side(svg)
    modules = np.full((size, size), 255, np.uint8)
    [path] = re.findall(rb'stroke="#16202e" d="([^"]+)"', svg)
    x = y = 0.0
    for command, numbers in re.findall(rb"([Mmh])([-0-9. ]+)", path):
        values = [float(value) for value in numbers.split()]
        if command == b"h":
            modules[int(y), int(x) : int(x + values[0])] = 0
            x += values[0]
        else:
            x, y = (values[0], values[1]) if command == b"M" else (x + values[0], y + values[1])
    [found] = zxingcpp.read_barcodes(np.kron(modules, np.ones((6, 6), np.uint8)))
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


async def test_a_phone_reads_what_the_device_key_signed(tmp_path: Path) -> None:
    signer = file_key.create(tmp_path / "device.key")
    svg = await device_join_code("lobby-07", "demo-issuer", signer).fresh()
    text = scan(svg)
    assert text.startswith(PREFIX)
    encoded = text.removeprefix(PREFIX)
    signed = base64.b32decode(encoded + "=" * (-len(encoded) % 8))
    claims = cose.verify(signed, signer.public_key, cose.Context("join", "demo-issuer", "lobby-07"), limit=512)
    assert cbor2.loads(claims)[1] == "lobby-07"
    with pytest.raises(WireError):
        cose.verify(signed, signer.public_key, cose.Context("join", "another", "lobby-07"), limit=512)


async def test_the_code_is_coarse_enough_for_a_small_screen(tmp_path: Path) -> None:
    svg = await device_join_code("a" * 40, "demo-issuer", file_key.create(tmp_path / "device.key")).fresh()
    # 57 modules and the quiet zone on 150 pixels of a 170 dpi panel are a third of a millimetre each.
    assert side(svg) <= 57 + 8
    assert len(svg) < 20_000
