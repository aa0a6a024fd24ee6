"""Through the real pcscd: a whole read, false documents, cards that leave or fall silent, a service that restarts."""

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from smartcard import scard

from firmware_bridge.document import Access, CheckName
from firmware_bridge.emrtd.trust import TrustStore
from firmware_bridge.errors import BridgeError, Code
from firmware_bridge.pcsc import CardThere, PcscReader, list_readers, look
from firmware_bridge.pcsc.context import Card, Context, failure
from firmware_bridge.pcsc.facts import version
from firmware_bridge.reader import CanKey, EventKind, Progress, ReadRequest
from firmware_bridge.simulator import (
    CardStack,
    IssuingState,
    PassportChip,
    Person,
    Personalisation,
    personalise,
    portraits,
    variants,
)
from firmware_bridge.simulator.faults import At, Fault, FaultyCard, ShortCard
from firmware_bridge.simulator.stack import missing, reader_names
from firmware_bridge.simulator.vpcd import CardSide

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(bool(missing()), reason=missing()),
    pytest.mark.xdist_group("pcsc"),
]

PERSON = Person()


@pytest.fixture(scope="module")
def state() -> IssuingState:
    return IssuingState.create()


@pytest.fixture(scope="module")
def store(state: IssuingState, tmp_path_factory: pytest.TempPathFactory) -> TrustStore:
    folder = tmp_path_factory.mktemp("trust")
    state.write_trust(folder)
    return TrustStore.load(folder)


@pytest.fixture(scope="module")
def memory(state: IssuingState) -> Personalisation:
    return personalise(PERSON, portraits.jpeg2000(portraits.HOLDER_CHIP), state)


@pytest.fixture(scope="module")
def stack() -> Iterator[CardStack]:
    with CardStack() as running:
        yield running


@pytest.fixture
def reader(stack: CardStack, store: TrustStore) -> Iterator[PcscReader]:
    with contextlib.closing(PcscReader(store, match=reader_names()[0])) as opened:
        yield opened


@contextlib.contextmanager
def presented(stack: CardStack, reader: PcscReader, card: CardSide) -> Iterator[None]:
    with stack.card(card):
        event = reader.wait(5)
        assert event is not None
        assert event.kind is EventKind.PRESENTED
        yield
    event = reader.wait(5)
    assert event is not None
    assert event.kind is EventKind.REMOVED


def kind_of(reader: PcscReader) -> EventKind | None:
    event = reader.wait(5)
    return None if event is None else event.kind


def code_of(reader: PcscReader, request: ReadRequest) -> Code:
    with pytest.raises(BridgeError) as caught:
        reader.read(request)
    return caught.value.code


def test_a_genuine_passport_is_read_twice_in_a_row(
    stack: CardStack, reader: PcscReader, memory: Personalisation
) -> None:
    with presented(stack, reader, PassportChip(memory)):
        for _ in range(2):
            document = reader.read(ReadRequest(PERSON.key, nonce=b"8 bytes!"))
            assert document.access is Access.PACE
            assert all(check.passed for check in document.checks.values())
            assert document.holder.surname == PERSON.surname
            assert document.portrait is not None


def test_false_documents_are_told_apart(stack: CardStack, reader: PcscReader, memory: Personalisation) -> None:
    stranger = personalise(PERSON, portraits.jpeg2000(portraits.HOLDER_CHIP), IssuingState.create())
    altered = variants.altered(memory, portraits.jpeg2000(portraits.OTHER))
    for false, name, code in (
        (variants.cloned(memory), CheckName.CHIP, Code.DOCUMENT_CLONED),
        (altered, CheckName.PASSIVE, Code.DOCUMENT_ALTERED),
        (stranger, CheckName.PASSIVE, Code.DOCUMENT_UNTRUSTED),
    ):
        with presented(stack, reader, PassportChip(false)):
            assert reader.read(ReadRequest(PERSON.key)).check(name).code is code


def test_a_wrong_key_is_told(stack: CardStack, reader: PcscReader, memory: Personalisation) -> None:
    with presented(stack, reader, PassportChip(memory)):
        assert code_of(reader, ReadRequest(CanKey("000000"))) is Code.DOCUMENT_KEY
        assert reader.read(ReadRequest(CanKey("500540"))).check(CheckName.PASSIVE).passed


@pytest.mark.parametrize("command", [1, 4, 9, 13])
def test_a_card_that_is_pulled_is_told_and_the_next_one_is_read(
    stack: CardStack, reader: PcscReader, memory: Personalisation, command: int
) -> None:
    with presented(stack, reader, FaultyCard(PassportChip(memory), At(Fault.PULLED, command))):
        assert code_of(reader, ReadRequest(PERSON.key)) is Code.DOCUMENT_REMOVED
    with presented(stack, reader, PassportChip(memory)):
        assert reader.read(ReadRequest(PERSON.key)).check(CheckName.PASSIVE).passed


def test_a_silent_card_ends_the_read_in_time_and_the_next_one_is_read(
    stack: CardStack, reader: PcscReader, memory: Personalisation
) -> None:
    silent = FaultyCard(PassportChip(memory), At(Fault.SILENT, 11))
    with presented(stack, reader, silent):
        begin = time.monotonic()
        assert code_of(reader, ReadRequest(PERSON.key, timeout=0.8)) is Code.DOCUMENT_TIMEOUT
        assert 0.8 <= time.monotonic() - begin < 2.0
        silent.release()
    with presented(stack, reader, PassportChip(memory)):
        assert reader.read(ReadRequest(PERSON.key)).check(CheckName.PASSIVE).passed


def test_silence_is_told_before_the_deadline(stack: CardStack, store: TrustStore, memory: Personalisation) -> None:
    with contextlib.closing(PcscReader(store, match=reader_names()[0], silence=0.3)) as reader:
        silent = FaultyCard(PassportChip(memory), At(Fault.SILENT, 11))
        with presented(stack, reader, silent):
            assert code_of(reader, ReadRequest(PERSON.key)) is Code.DOCUMENT_SILENT
            silent.release()


def test_a_read_can_be_cancelled(stack: CardStack, reader: PcscReader, memory: Personalisation) -> None:
    silent = FaultyCard(PassportChip(memory), At(Fault.SILENT, 11))
    with presented(stack, reader, silent):
        cancelled: list[float] = []
        request = ReadRequest(PERSON.key)

        def cancel() -> None:
            cancelled.append(time.monotonic())
            request.cancel.set()

        # By then the card has long been silent; cancelled earlier, the read ends as promptly.
        threading.Timer(0.5, cancel).start()
        assert code_of(reader, request) is Code.DOCUMENT_CANCELLED
        assert time.monotonic() - cancelled[0] < 1.0
        silent.release()


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault.GARBAGE, Code.DOCUMENT_MALFORMED),
        (Fault.WRONG_MAC, Code.DOCUMENT_SECURE_MESSAGING),
        (Fault.LYING_LENGTH, Code.DOCUMENT_LIMIT),
    ],
)
def test_a_chip_that_lies_is_refused(
    stack: CardStack, reader: PcscReader, memory: Personalisation, fault: Fault, code: Code
) -> None:
    with presented(stack, reader, FaultyCard(PassportChip(memory), At(fault, 13))):
        assert code_of(reader, ReadRequest(PERSON.key)) is code


def test_an_empty_reader_says_so(stack: CardStack, reader: PcscReader) -> None:
    assert stack.namespace
    assert reader.wait(0.2) is None
    assert code_of(reader, ReadRequest(PERSON.key)) is Code.DOCUMENT_REMOVED


def test_a_missing_reader_is_told_once(stack: CardStack, store: TrustStore) -> None:
    assert stack.namespace
    with contextlib.closing(PcscReader(store, match="no such reader")) as reader:
        event = reader.wait(1)
        assert event is not None
        assert event.kind is EventKind.GONE
        assert reader.wait(0.5) is None
        assert code_of(reader, ReadRequest(PERSON.key)) is Code.READER_GONE


def test_two_readers_serve_side_by_side(stack: CardStack, store: TrustStore, memory: Personalisation) -> None:
    assert list_readers() == reader_names()
    second = contextlib.closing(PcscReader(store, match=reader_names()[1]))
    first = contextlib.closing(PcscReader(store, match=reader_names()[0]))
    with first as left, second as right:
        with stack.card(PassportChip(memory), slot=1):
            event = right.wait(5)
            assert event is not None
            assert event.kind is EventKind.PRESENTED
            assert left.wait(0.3) is None
            assert right.read(ReadRequest(PERSON.key)).check(CheckName.CHIP).passed
        assert right.wait(5) is not None


def test_a_restarted_service_is_survived_and_told_once(
    stack: CardStack, reader: PcscReader, memory: Personalisation
) -> None:
    assert reader.wait(0.2) is None
    stack.stop_service()
    try:
        event = reader.wait(2)
        assert event is not None
        assert event.kind is EventKind.GONE
        assert reader.wait(0.5) is None
        assert code_of(reader, ReadRequest(PERSON.key)) is Code.READER_SERVICE
    finally:
        stack.start_service()
    event = reader.wait(5)
    assert event is not None
    assert event.kind is EventKind.BACK
    with presented(stack, reader, PassportChip(memory)):
        assert reader.read(ReadRequest(PERSON.key)).check(CheckName.PASSIVE).passed


def test_close_ends_a_wait(stack: CardStack, store: TrustStore) -> None:
    assert stack.namespace
    reader = PcscReader(store, match=reader_names()[0])
    threading.Timer(0.2, reader.close).start()
    begin = time.monotonic()
    assert reader.wait(10) is None
    assert time.monotonic() - begin < 1.5


@contextlib.contextmanager
def held(mode: int, *, transaction: bool = False) -> Iterator[None]:
    """Another program that has connected to the card."""
    _result, context = scard.SCardEstablishContext(scard.SCARD_SCOPE_USER)
    protocols = scard.SCARD_PROTOCOL_T0 | scard.SCARD_PROTOCOL_T1
    result, card, _protocol = scard.SCardConnect(context, reader_names()[0], mode, protocols)
    assert result == scard.SCARD_S_SUCCESS
    if transaction:
        assert scard.SCardBeginTransaction(card) == scard.SCARD_S_SUCCESS
    try:
        yield
    finally:
        scard.SCardDisconnect(card, scard.SCARD_LEAVE_CARD)
        scard.SCardReleaseContext(context)


@pytest.mark.parametrize(
    ("mode", "transaction"),
    [(scard.SCARD_SHARE_EXCLUSIVE, False), (scard.SCARD_SHARE_SHARED, True)],
    ids=["exclusively", "by a transaction"],
)
def test_a_card_that_another_program_holds_is_busy(
    stack: CardStack, reader: PcscReader, memory: Personalisation, mode: int, transaction: bool
) -> None:
    with presented(stack, reader, PassportChip(memory)):
        with held(mode, transaction=transaction):
            assert code_of(reader, ReadRequest(PERSON.key)) is Code.READER_BUSY
        # A thread that was left behind gets its turn now, and lets the card go.
        end = time.monotonic() + 5
        while any(thread.name == "pcsc-card" for thread in threading.enumerate()) and time.monotonic() < end:
            time.sleep(0.02)
        assert reader.read(ReadRequest(PERSON.key)).check(CheckName.PASSIVE).passed


@pytest.mark.parametrize("exclusive", [True, False])
def test_a_card_that_another_program_shares_is_read_all_the_same(
    stack: CardStack, store: TrustStore, memory: Personalisation, exclusive: bool
) -> None:
    shared = contextlib.closing(PcscReader(store, match="Virtual PCD*00", exclusive=exclusive))
    with shared as reader, presented(stack, reader, PassportChip(memory)), held(scard.SCARD_SHARE_SHARED):
        assert reader.read(ReadRequest(PERSON.key)).check(CheckName.PASSIVE).passed


def test_a_card_that_is_swapped_between_two_looks_is_told_as_two_events(
    stack: CardStack, reader: PcscReader, store: TrustStore, memory: Personalisation
) -> None:
    with presented(stack, reader, PassportChip(memory)):
        pass
    with contextlib.closing(PcscReader(store, match=reader_names()[0])) as watcher:
        first = stack.card(PassportChip(memory)).insert()
        assert (kind_of(reader), kind_of(watcher)) == (EventKind.PRESENTED, EventKind.PRESENTED)
        first.remove()
        assert kind_of(watcher) is EventKind.REMOVED
        with stack.card(PassportChip(memory)):
            assert kind_of(watcher) is EventKind.PRESENTED
            assert [kind_of(reader), kind_of(reader)] == [EventKind.REMOVED, EventKind.PRESENTED]
        assert kind_of(reader) is EventKind.REMOVED


def test_a_chip_whose_extended_lengths_the_reader_does_not_carry_is_read_in_short_ones(
    stack: CardStack, reader: PcscReader, memory: Personalisation
) -> None:
    with presented(stack, reader, ShortCard(PassportChip(memory))):
        document = reader.read(ReadRequest(PERSON.key, nonce=b"8 bytes!"))
        assert all(check.passed for check in document.checks.values())


class Heard(PassportChip):
    """A chip that counts the commands of extended length that reach it."""

    extended = 0

    def process(self, apdu: bytes) -> bytes:
        self.extended += len(apdu) > 6 and apdu[4] == 0
        return super().process(apdu)


@pytest.mark.parametrize("step", ["index", "DG2"], ids=["before a short command", "before an extended one"])
def test_a_card_that_leaves_between_two_commands_is_told_and_the_next_one_is_read_as_fast(
    stack: CardStack, reader: PcscReader, memory: Personalisation, step: str
) -> None:
    """The driver says "not transacted", as it does of a command that is longer than the reader carries."""
    with stack.card(PassportChip(memory)) as virtual:
        assert kind_of(reader) is EventKind.PRESENTED

        def progress(told: Progress) -> None:
            if told.step == step and (told.done or step == "index"):
                virtual.remove()

        assert code_of(reader, ReadRequest(PERSON.key, progress=progress)) is Code.DOCUMENT_REMOVED
    assert kind_of(reader) is EventKind.REMOVED
    chip = Heard(memory)
    with presented(stack, reader, chip):
        assert reader.read(ReadRequest(PERSON.key)).check(CheckName.PASSIVE).passed
    assert chip.extended


def test_a_reader_that_carries_no_extended_lengths_is_asked_once(
    stack: CardStack, reader: PcscReader, memory: Personalisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The virtual reader carries all: the word of one that does not is put into its mouth."""
    exchange = Card.send_and_receive
    refused = []

    def narrow(card: Card, apdu: bytes) -> tuple[bytes, int]:
        if len(apdu) > 6 and apdu[4] == 0:
            refused.append(apdu)
            raise failure(scard.SCARD_E_NOT_TRANSACTED, "the card does not answer")
        return exchange(card, apdu)

    monkeypatch.setattr(Card, "send_and_receive", narrow)
    with presented(stack, reader, PassportChip(memory)):
        for _ in range(2):
            assert reader.read(ReadRequest(PERSON.key)).check(CheckName.PASSIVE).passed
    assert len(refused) == 1


def test_a_closed_reader_leaves_nothing_open(stack: CardStack, store: TrustStore) -> None:
    assert stack.namespace

    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = descriptors()
    for close_first in (True, False):
        reader = PcscReader(store, match=reader_names()[0])
        assert reader.wait(0.1) is None
        closing = threading.Timer(0.0 if close_first else 0.1, reader.close)
        closing.start()
        if close_first:
            closing.join()
        assert reader.wait(5) is None
        closing.join()
    assert descriptors() == before


def test_a_reader_is_looked_at_beside_those_who_read_there(
    stack: CardStack, reader: PcscReader, memory: Personalisation
) -> None:
    name = reader_names()[0]
    # The virtual driver tells no version.
    assert look("Virtual*00 00") == (name, "", CardThere.NOTHING)
    with presented(stack, reader, PassportChip(memory)):
        assert look(name).card is CardThere.TRAVEL_DOCUMENT
        context = Context()
        try:
            card = Card(context, name, exclusive=True)
            assert look(name).card is CardThere.IN_USE
            card.close()
            shared = Card(context, name, exclusive=False)
            threading.Timer(0.3, shared.close, kwargs={"reset": False}).start()
            assert look(name).card is CardThere.TRAVEL_DOCUMENT
        finally:
            context.close()
        assert reader.read(ReadRequest(key=memory.key)).check(CheckName.PASSIVE).passed
    with presented(stack, reader, FaultyCard(PassportChip(memory), At(Fault.SILENT, 1))):
        assert look(name).card is CardThere.SILENT
    with pytest.raises(BridgeError, match="Virtual PCD 00 00") as caught:
        look("no such reader")
    assert caught.value.code is Code.READER_GONE


def test_a_version_is_told_as_it_is_printed_on_the_reader() -> None:
    # bcdDevice 1.12, as libccid gives it: IFD_bcdDevice << 16, least significant byte first.
    assert version((0x0112 << 16).to_bytes(4, "little")) == "1.12"
