"""What each fault of a reader or a document looks like, and how long it takes to be told and to be over.

python -m tests.bench.bench_reader_faults     # root; prints the table of docs/readers.md

"told" is from the fault to the error; "over" from the end of the fault (a good card is laid on, the cable is back,
pcscd runs) to the end of a good read or, for readers, to the event that says so.
"""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from asn1crypto import x509

from agent.failures import lookup
from firmware_bridge.document import Document
from firmware_bridge.emrtd.trust import TrustStore
from firmware_bridge.errors import BridgeError
from firmware_bridge.pcsc import PcscReader
from firmware_bridge.reader import CanKey, DocumentReader, EventKind, ReadRequest
from firmware_bridge.samv import SamvReader
from firmware_bridge.scanner import ScannerReader
from firmware_bridge.simulator import (
    CardStack,
    IssuingState,
    PassportChip,
    Person,
    personalise,
    portraits,
    samv,
    variants,
)
from firmware_bridge.simulator.faults import At, Fault, FaultyCard
from firmware_bridge.simulator.samv import LineFault, SimulatedSamv
from firmware_bridge.simulator.scanner import SimulatedScanner
from firmware_bridge.simulator.stack import reader_names
from firmware_bridge.simulator.vpcd import CardSide

PERSON = Person()
REQUEST = ReadRequest(PERSON.key)
NAMES = {
    Fault.PULLED: "document pulled during the read",
    Fault.SILENT: "chip falls silent",
    Fault.GARBAGE: "chip sends garbage",
    Fault.WRONG_MAC: "wrong checksum under secure messaging",
    Fault.LYING_LENGTH: "an object that claims 4 GB",
}


@dataclass(frozen=True)
class Row:
    """One line of the table; seconds, None where there is nothing to wait for."""

    fault: str
    code: str
    told: float
    over: float | None


def until(reader: DocumentReader, kind: EventKind, seconds: float = 15.0) -> float:
    """Seconds until an event of a kind."""
    begin = time.monotonic()
    while time.monotonic() - begin < seconds:
        event = reader.wait(1.0)
        if event is not None and event.kind is kind:
            return time.monotonic() - begin
    raise AssertionError(f"no {kind} in {seconds} s")


def verdict(read: Callable[[], Document]) -> tuple[str, float]:
    """The code of a read that must not succeed, and the seconds it took."""
    begin = time.monotonic()
    try:
        document = read()
    except BridgeError as error:
        return error.code.value, time.monotonic() - begin
    codes = [check.code.value for check in document.checks.values() if check.code]
    assert codes, "a false document passed"
    return codes[0], time.monotonic() - begin


def passports(stack: CardStack) -> Iterator[Row]:
    """Everything that a chip can do."""
    state = IssuingState.create()
    store = TrustStore()
    store.add(x509.Certificate.load(state.csca.der))
    memory = personalise(PERSON, portraits.jpeg2000(portraits.HOLDER_CHIP), state)
    expired = IssuingState.create(begin=datetime.now(UTC) - timedelta(days=7300))
    store.add(x509.Certificate.load(expired.csca.der))
    old = personalise(PERSON, portraits.jpeg2000(portraits.HOLDER_CHIP), expired)
    stranger = personalise(PERSON, portraits.jpeg2000(portraits.HOLDER_CHIP), IssuingState.create())
    reader = PcscReader(store, match=reader_names()[0])

    def one(fault: str, card: CardSide, request: ReadRequest = REQUEST) -> Row:
        with stack.card(card):
            until(reader, EventKind.PRESENTED)
            code, told = verdict(lambda: reader.read(request))
            if isinstance(card, FaultyCard):
                card.release()
        with contextlib.suppress(AssertionError):
            until(reader, EventKind.REMOVED, 2.0)
        begin = time.monotonic()
        with stack.card(PassportChip(memory)):
            until(reader, EventKind.PRESENTED)
            assert not [check for check in reader.read(REQUEST).checks.values() if check.code]
            over = time.monotonic() - begin
        until(reader, EventKind.REMOVED)
        return Row(fault, code, told, over)

    with contextlib.closing(reader):
        for fault, name in NAMES.items():
            yield one(name, FaultyCard(PassportChip(memory), At(fault, 13)))
        yield one("wrong number typed", PassportChip(memory), ReadRequest(CanKey("000000")))
        yield one("copied chip", PassportChip(variants.cloned(memory)))
        yield one("copied chip without its keys' groups", PassportChip(variants.hidden(memory)))
        other = portraits.jpeg2000(portraits.OTHER)
        yield one("another portrait under the signature", PassportChip(variants.altered(memory, other)))
        yield one("issuing state that is not known", PassportChip(stranger))
        yield one("certificates that have expired", PassportChip(old))
        begin = time.monotonic()
        stack.stop_service()
        told = until(reader, EventKind.GONE)
        told = min(told, time.monotonic() - begin)
        stack.start_service()
        yield Row("pcscd restarted", "reader.service", told, until(reader, EventKind.BACK))


def modules() -> Iterator[Row]:
    """Everything that a serial line can do to a SAM-V module."""
    for fault, name in (
        (LineFault.FLIPPED_BIT, "one damaged answer"),
        (LineFault.HALF_FRAME, "half an answer"),
        (LineFault.ENDLESS_NOISE, "endless noise"),
    ):
        with SimulatedSamv() as module, contextlib.closing(SamvReader("id", str(module.path))) as reader:
            module.insert(samv.resident())
            until(reader, EventKind.PRESENTED)
            module.disturb(fault, 10 if fault is LineFault.ENDLESS_NOISE else 1)
            begin = time.monotonic()
            try:
                reader.read(ReadRequest())
                yield Row(f"SAM-V: {name}", "(survived)", time.monotonic() - begin, None)
            except BridgeError as error:
                told = time.monotonic() - begin
                module.disturb(LineFault.NONE, 0)
                module.insert(samv.resident())
                begin = time.monotonic()
                until(reader, EventKind.PRESENTED)
                reader.read(ReadRequest())
                yield Row(f"SAM-V: {name}", error.code.value, told, time.monotonic() - begin)
    with SimulatedSamv() as module, contextlib.closing(SamvReader("id", str(module.path))) as reader:
        reader.wait(0.1)
        module.unplug()
        told = until(reader, EventKind.GONE)
        module.plug_in()
        yield Row("SAM-V: cable pulled", "reader.gone", told, until(reader, EventKind.BACK))
    with SimulatedScanner() as device, contextlib.closing(ScannerReader("s", str(device.path))) as scanner:
        scanner.wait(0.1)
        device.unplug()
        told = until(scanner, EventKind.GONE)
        device.plug_in()
        yield Row("scanner: cable pulled", "reader.gone", told, until(scanner, EventKind.BACK))


def main() -> None:
    """Print the table in Markdown."""
    write = sys.stdout.write
    write("| fault | told as | the person reads | the operator does | told s | over s |\n|---|---|---|---|---|---|\n")
    with CardStack() as stack:
        for row in (*passports(stack), *modules()):
            person = operator = ""
            if not row.code.startswith("("):
                failure = lookup(row.code)
                person, operator = failure.person["en"], failure.remedy
            over = f"{row.over:.2f}" if row.over is not None else "-"
            write(f"| {row.fault} | `{row.code}` | {person} | {operator} | {row.told:.2f} | {over} |\n")


if __name__ == "__main__":
    main()
