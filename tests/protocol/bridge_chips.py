"""Chips for tests that need no reader: the chip's code is called in place of a transport."""

from collections.abc import Callable
from datetime import date
from functools import cache

from asn1crypto import x509

from firmware_bridge.document import CheckName, Document
from firmware_bridge.emrtd.reading import read_chip
from firmware_bridge.emrtd.trust import TrustStore
from firmware_bridge.errors import Code
from firmware_bridge.reader import ReadRequest
from firmware_bridge.simulator import (
    IssuingState,
    PassportChip,
    Person,
    Personalisation,
    Profile,
    personalise,
    portraits,
)
from firmware_bridge.simulator.vpcd import CardSide

PERSON = Person(surname="MUSTERFRAU", given_names="LI NA", birth_date=date(1991, 2, 3))
ALL_PASSED = {CheckName.PASSIVE, CheckName.CHIP, CheckName.ACTIVE, CheckName.EXPIRY}
WITH_NONCE = ReadRequest(PERSON.key, nonce=b"8 bytes!")


class Direct:
    """A transport that is the chip itself; keeps what was exchanged."""

    def __init__(self, chip: CardSide) -> None:
        self.chip = chip
        self.exchanged: list[tuple[bytes, bytes]] = []

    def send_and_receive(self, apdu: bytes) -> tuple[bytes, int]:
        answer = self.chip.process(apdu)
        self.exchanged.append((apdu, answer))
        return answer[:-2], int.from_bytes(answer[-2:], "big")


@cache
def state() -> IssuingState:
    return IssuingState.create()


def store_of(*states: IssuingState) -> TrustStore:
    store = TrustStore()
    for one in states:
        store.add(x509.Certificate.load(one.csca.der))
    return store


@cache
def picture(size: int = 15_000) -> bytes:
    return portraits.jpeg2000(portraits.HOLDER_CHIP, size)


@cache
def memory(profile: Profile | None = None) -> Personalisation:
    return personalise(PERSON, picture(), state(), profile)


def read(
    held: Personalisation,
    request: ReadRequest | None = None,
    *,
    store: TrustStore | None = None,
    atr: bool = True,
    wrap: Callable[[PassportChip], CardSide] = lambda chip: chip,
) -> Document:
    chip = wrap(PassportChip(held))
    return read_chip(
        Direct(chip), request or ReadRequest(PERSON.key), store or store_of(state()), atr=chip.atr if atr else b""
    )


def passed(document: Document) -> set[CheckName]:
    return {name for name, check in document.checks.items() if check.passed}


def failure(document: Document) -> dict[CheckName, Code | None]:
    return {name: check.code for name, check in document.checks.items() if check.code is not None}
