"""How much time the reader adds to what the radio field and the chip take in any case.

python -m tests.bench.bench_emrtd [RUNS]     # an idle machine; root for the part through pcscd

The floor is a reader that knows every file's size, wastes no command and computes in no time: its exchanges are made
against the same chip and their times on the modelled link are added up. "link" is our reader's own exchanges on that
link, "computing" the processor time that it spends besides (a busy machine does not change it). "pcscd" is wall time
through pyscard and the real pcscd, the best of the runs: everything that a busy machine adds is noise.
"""

import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from asn1crypto import x509

from firmware_bridge.apdu import tlv
from firmware_bridge.apdu.channel import PlainChannel
from firmware_bridge.apdu.command import Command
from firmware_bridge.apdu.secure import OVERHEAD
from firmware_bridge.emrtd import bac, chip_authentication, files, pace, security_infos
from firmware_bridge.emrtd.reading import read_chip
from firmware_bridge.emrtd.trust import TrustStore
from firmware_bridge.pcsc import PcscReader
from firmware_bridge.reader import ReadRequest
from firmware_bridge.simulator import (
    CardStack,
    IssuingState,
    PassportChip,
    Person,
    Personalisation,
    Profile,
    personalise,
    portraits,
)
from firmware_bridge.simulator.link import Link, LinkedCard
from firmware_bridge.simulator.stack import missing, reader_names
from firmware_bridge.simulator.vpcd import CardSide

PERSON = Person()
FILES = (files.COM, files.SOD, *(files.GROUPS[number] for number in (1, 2, 14, 15)))


class Direct:
    """The chip in a transport's place."""

    def __init__(self, card: CardSide) -> None:
        self.card, self.seconds = card, 0.0

    def send_and_receive(self, apdu: bytes) -> tuple[bytes, int]:
        begin = time.thread_time()
        answer = self.card.process(apdu)
        self.seconds += time.thread_time() - begin
        return answer[:-2], int.from_bytes(answer[-2:], "big")


class Counted:
    """A chip whose exchanges are added up on a link, and not waited for."""

    def __init__(self, card: CardSide, link: Link) -> None:
        self.card, self.link, self.seconds = card, link, 0.0

    def send_and_receive(self, apdu: bytes) -> tuple[bytes, int]:
        answer = self.card.process(apdu)
        self.seconds += self.link.seconds(apdu, answer)
        return answer[:-2], int.from_bytes(answer[-2:], "big")


def floor(held: Personalisation, link: Link) -> float:
    """Seconds that the smallest possible number of exchanges takes."""
    transport = Counted(PassportChip(held), link)
    plain = PlainChannel(transport, extended=held.profile.extended)
    content = held.master.get(files.CARD_ACCESS.fid)
    if content is not None:
        plain.transmit(Command(0x00, 0xB0, 0x9C, 0, le=256))
        offer = pace.choose(security_infos.parse(content).pace)
        assert offer is not None
        channel = pace.establish(plain, offer, PERSON.key).channel
        files.select_application(channel)
    else:
        files.select_application(plain)
        channel = bac.establish(plain, PERSON.key)
    large = held.profile.max_response - OVERHEAD if held.profile.extended else channel.short_chunk
    for file in FILES:
        size = len(held.application[file.fid])
        for offset in range(0, size, large):
            place = (0x80 | file.sfi, 0) if offset == 0 else (offset >> 8, offset & 0xFF)
            if offset < 0x8000:
                channel.transmit(Command(0x00, 0xB0, *place, le=min(large, size - offset)))
            else:
                where = b"\x54\x02" + offset.to_bytes(2, "big")
                channel.transmit(Command(0x00, 0xB1, 0, 0, where, min(large, size - offset + 4)))
    infos = security_infos.parse(tlv.require(held.application[files.GROUPS[14].fid], 0x6E))
    choice = chip_authentication.choose(infos)
    assert choice is not None
    chip_authentication.establish(channel, plain, *choice).transmit(Command(0x00, 0xB0, 0x9E, 0, le=8))
    return transport.seconds


@dataclass(frozen=True)
class Row:
    """One line of the table, in seconds."""

    access: str
    portrait: int
    extended: bool
    rate: int
    floor: float
    link: float
    computing: float
    pcscd: float | None


def timed(held: Personalisation, link: Link, store: TrustStore) -> tuple[float, float]:
    """The read's time on the link, and the processor time of everything but the chip."""
    transport = Counted(PassportChip(held), link)
    direct = Direct(PassportChip(held))
    read_chip(transport, ReadRequest(PERSON.key), store, atr=direct.card.atr)
    begin = time.thread_time()
    document = read_chip(direct, ReadRequest(PERSON.key), store, atr=direct.card.atr)
    took = time.thread_time() - begin - direct.seconds
    assert document.portrait is not None
    assert not [name for name, check in document.checks.items() if check.code]
    return transport.seconds, took


def through_pcscd(stack: CardStack, reader: PcscReader, held: Personalisation, link: Link, runs: int) -> float:
    card = LinkedCard(PassportChip(held), link)
    times = []
    with stack.card(card):
        while reader.wait(5) is None:
            pass
        for _ in range(runs):
            card.excess = 0.0
            begin = time.perf_counter()
            reader.read(ReadRequest(PERSON.key))
            times.append(time.perf_counter() - begin - card.excess)
    reader.wait(5)
    return min(times)


@contextmanager
def readers(store: TrustStore) -> Iterator[tuple[CardStack, PcscReader] | None]:
    if missing():
        yield None
        return
    with CardStack() as stack:
        reader = PcscReader(store, match=reader_names()[0])
        yield stack, reader
        reader.close()


def cases() -> Iterator[tuple[str, int, bool, int]]:
    for access in ("BAC", "PACE"):
        for portrait in (15_000, 40_000):
            for extended in (True, False):
                yield access, portrait, extended, 424
    for rate in (106, 212, 848):
        yield "PACE", 15_000, True, rate


def run(runs: int) -> Iterator[Row]:
    """Measure every case."""
    state = IssuingState.create()
    store = TrustStore()
    store.add(x509.Certificate.load(state.csca.der))
    pictures = {size: portraits.jpeg2000(portraits.HOLDER_CHIP, size) for size in (15_000, 40_000)}
    with readers(store) as pcsc:
        for access, portrait, extended, rate in cases():
            profile = Profile(extended=extended)
            held = personalise(
                PERSON, pictures[portrait], state, replace(profile, pace=()) if access == "BAC" else profile
            )
            link = Link(bit_rate=rate * 1000)
            measured = [timed(held, link, store) for _ in range(runs)]
            yield Row(
                access=access,
                portrait=portrait,
                extended=extended,
                rate=rate,
                floor=floor(held, link),
                link=statistics.median(seconds for seconds, _took in measured),
                computing=statistics.median(took for _seconds, took in measured),
                pcscd=through_pcscd(*pcsc, held, link, runs) if pcsc else None,
            )


def main() -> None:
    """Print the table in Markdown."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    write = sys.stdout.write
    write("| access | portrait | length | kbit/s | floor ms | link ms | computing ms | ratio | pcscd ms | ratio |\n")
    write("|---" * 10 + "|\n")
    for row in run(runs):
        through = f"{row.pcscd * 1e3:.0f} | {row.pcscd / row.floor:.3f}" if row.pcscd else "- | -"
        length = "extended" if row.extended else "short"
        write(
            f"| {row.access} | {row.portrait // 1000} kB | {length} | {row.rate} | {row.floor * 1e3:.0f} | "
            f"{row.link * 1e3:.0f} | {row.computing * 1e3:.0f} | {(row.link + row.computing) / row.floor:.3f} | "
            f"{through} |\n"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    main()
