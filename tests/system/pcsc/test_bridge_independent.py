"""Readers that are not ours read our chips: mrtdreader (BAC, through libnfc) and AusweisApp (PACE, through pcscd)."""

import asyncio
import contextlib
import io
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from PIL import Image

from firmware_bridge.apdu import tlv
from firmware_bridge.apdu.command import Command, Response
from firmware_bridge.emrtd import mrz
from firmware_bridge.emrtd.files import CARD_ACCESS, DIR
from firmware_bridge.emrtd.security_infos import oid_bytes
from firmware_bridge.simulator import (
    CardStack,
    IssuingState,
    PassportChip,
    Person,
    Profile,
    personalise,
    portraits,
)
from firmware_bridge.simulator.personalise import pace
from firmware_bridge.simulator.protocols import Protocols
from firmware_bridge.simulator.stack import missing
from tests.system.pcsc.pn532 import Pn532

PERSON = Person()
#: Debian 12 and Debian 13 call it differently.
AUSWEISAPP = shutil.which("AusweisApp2") or shutil.which("AusweisApp")
EID_APPLICATION = bytes.fromhex("E80704007F00070302")
pytestmark = [pytest.mark.system, pytest.mark.timeout(90)]


def small_jpeg() -> bytes:
    out = io.BytesIO()
    Image.open(io.BytesIO(portraits.jpeg(portraits.HOLDER_CHIP))).save(out, "JPEG", quality=40)
    return out.getvalue()


@pytest.mark.skipif(shutil.which("mrtdreader") is None, reason="needs the program mrtdreader")
def test_mrtdreader_reads_the_zone_and_the_portrait_by_basic_access_control(tmp_path: Path) -> None:
    picture = small_jpeg()
    held = personalise(PERSON, picture, IssuingState.create(), Profile(pace=(), extended=False))
    with Pn532(PassportChip(held)) as reader:
        done = subprocess.run(
            ["mrtdreader", mrz.information(PERSON.key)],
            env={**os.environ, "LIBNFC_DEVICE": f"pn532_uart:{reader.path}"},
            cwd=tmp_path,
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert reader.apdus > 100
    assert done.returncode == 0, done.stderr.decode()
    assert b"Challenge successful!" in done.stdout
    assert PERSON.zone().encode() in done.stdout
    assert (tmp_path / "image.jpg").read_bytes() == picture


class _IdentityProtocols(Protocols):
    """An identity card's PIN that wants the CAN first: what makes AusweisApp open the card by its CAN."""

    tokens_accepted = 0

    def run(self, command: Command, *, secured: bool) -> Response:
        if command.ins == 0x22 and command.p1 == 0xC1 and b"\x83\x01\x03" in command.data:
            data = command.data.replace(b"\x83\x01\x03", b"\x83\x01\x02")
            answer = super().run(replace(command, data=data), secured=secured)
            return Response(b"", 0x63C1) if answer.sw == 0x9000 and not secured else answer
        answer = super().run(command, secured=secured)
        if answer.sw == 0x9000 and b"\x86\x08" in answer.data[:6]:
            type(self).tokens_accepted += 1
        return answer


def identity_card() -> PassportChip:
    """A chip that shows the files of an identity card with an eID function, and opens as ours do."""
    offer = pace(parameter_id=13)
    held = personalise(PERSON, small_jpeg(), IssuingState.create(), Profile(pace=(offer,)))

    def info(oid: str, *rest: bytes) -> bytes:
        return tlv.encode(0x30, tlv.encode(0x06, oid_bytes(oid)) + b"".join(rest))

    two, key = tlv.encode(0x02, b"\x02"), tlv.encode(0x02, b"\x41")
    curve = info("0.4.0.127.0.7.1.2", tlv.encode(0x02, b"\x0d"))
    bsi = "0.4.0.127.0.7.2.2"
    infos = (
        info(f"{bsi}.2", two)
        + info(f"{bsi}.3.2.2", two, key)
        + info(offer.oid, two, tlv.encode(0x02, b"\x0d"))
        + info(f"{bsi}.3.2", curve, key)
    )
    applications = ("A0000002471001", "E80704007F00070302", "A000000167455349474E")
    directory = b"".join(
        tlv.encode(0x61, tlv.encode(0x4F, bytes.fromhex(aid)) + tlv.encode(0x50, b"x")) for aid in applications
    )
    master = {**held.master, CARD_ACCESS.fid: tlv.encode(0x31, infos), DIR.fid: directory}
    chip = PassportChip(replace(held, master=master))
    chip.protocols = _IdentityProtocols(chip.memory)
    return chip


class IdentityCard:
    """The chip with the answer to reset of an identity card."""

    atr = bytes.fromhex("3B8A80018031F873F741E082900075")

    def __init__(self) -> None:
        self._chip = identity_card()

    def reset(self) -> None:
        self._chip.reset()

    def process(self, apdu: bytes) -> bytes:
        # AusweisApp 2 tells an identity card from a passport by its eID application.
        if apdu[1:3] == b"\xa4\x04" and EID_APPLICATION in apdu:
            return b"\x90\x00"
        return self._chip.process(apdu)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def ausweisapp(home: Path) -> Iterator[int]:
    port = free_port()
    runtime = home / "run"
    runtime.mkdir(mode=0o700)
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "XDG_RUNTIME_DIR": str(runtime), "HOME": str(home)}
    command = [str(AUSWEISAPP), "--no-proxy", "--ui", "websocket", "--address", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        yield port
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


async def open_by_can(port: int, can: str, seconds: float) -> list[dict[str, Any]]:
    """Ask AusweisApp to change the PIN; give the CAN when it asks; what it said, until it asks for the PIN."""
    told: list[dict[str, Any]] = []
    deadline = time.monotonic() + seconds
    async with aiohttp.ClientSession() as session:
        while True:
            try:
                socket_ = await session.ws_connect(f"ws://127.0.0.1:{port}/eID-Kernel")
                break
            except aiohttp.ClientError:
                assert time.monotonic() < deadline, "AusweisApp does not listen"
                await asyncio.sleep(0.2)
        async with socket_:
            asked = False
            while time.monotonic() < deadline:
                try:
                    message = json.loads((await socket_.receive(timeout=2)).data)
                except TimeoutError:
                    if not asked:
                        await socket_.send_json({"cmd": "RUN_CHANGE_PIN"})
                        asked = True
                    continue
                told.append(message)
                if message["msg"] == "READER" and message.get("card") and not asked:
                    await socket_.send_json({"cmd": "RUN_CHANGE_PIN"})
                    asked = True
                if message["msg"] == "ENTER_CAN":
                    await socket_.send_json({"cmd": "SET_CAN", "value": can})
                if message["msg"] == "ENTER_PIN" and _IdentityProtocols.tokens_accepted:
                    break
                if message["msg"] == "ENTER_PIN":
                    await socket_.send_json({"cmd": "SET_PIN", "value": "123456"})
                if _IdentityProtocols.tokens_accepted:
                    break
    return told


@pytest.mark.skipif(AUSWEISAPP is None, reason="needs the program AusweisApp")
@pytest.mark.skipif(bool(missing()), reason=missing())
async def test_ausweisapp_opens_the_chip_by_pace(tmp_path: Path) -> None:
    _IdentityProtocols.tokens_accepted = 0
    with CardStack() as stack, ausweisapp(tmp_path) as port, stack.card(IdentityCard()):
        told = await open_by_can(port, Profile().can, 40)
    assert "ENTER_CAN" in [message["msg"] for message in told], told
    assert _IdentityProtocols.tokens_accepted, told
