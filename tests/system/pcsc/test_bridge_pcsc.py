"""Through the real pcscd: a whole read, false documents, cards that leave or fall silent, a service that restarts."""

import contextlib
import time
from collections.abc import Iterator

import pytest

from firmware_bridge.document import Access, CheckName
from firmware_bridge.emrtd.trust import TrustStore
from firmware_bridge.errors import BridgeError, Code
from firmware_bridge.pcsc import PcscReader, list_readers
from firmware_bridge.reader import CanKey, EventKind, ReadRequest
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
        assert time.monotonic() - begin < 1.2
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
        request = ReadRequest(PERSON.key)
        request.cancel.set()
        begin = time.monotonic()
        assert code_of(reader, request) is Code.DOCUMENT_CANCELLED
        assert time.monotonic() - begin < 0.2
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
    import threading

    assert stack.namespace
    reader = PcscReader(store, match=reader_names()[0])
    threading.Timer(0.2, reader.close).start()
    begin = time.monotonic()
    assert reader.wait(10) is None
    assert time.monotonic() - begin < 1.5


@contextlib.contextmanager
def held(mode: int) -> Iterator[None]:
    """Another program that has connected to the card."""
    from smartcard import scard

    _result, context = scard.SCardEstablishContext(scard.SCARD_SCOPE_USER)
    protocols = scard.SCARD_PROTOCOL_T0 | scard.SCARD_PROTOCOL_T1
    result, card, _protocol = scard.SCardConnect(context, reader_names()[0], mode, protocols)
    assert result == scard.SCARD_S_SUCCESS
    try:
        yield
    finally:
        scard.SCardDisconnect(card, scard.SCARD_LEAVE_CARD)
        scard.SCardReleaseContext(context)


def test_a_card_that_another_program_holds_is_busy(
    stack: CardStack, reader: PcscReader, memory: Personalisation
) -> None:
    from smartcard import scard

    with presented(stack, reader, PassportChip(memory)):
        with held(scard.SCARD_SHARE_EXCLUSIVE):
            assert code_of(reader, ReadRequest(PERSON.key)) is Code.READER_BUSY
        assert reader.read(ReadRequest(PERSON.key)).check(CheckName.PASSIVE).passed


@pytest.mark.parametrize("exclusive", [True, False])
def test_a_card_that_another_program_shares_is_read_all_the_same(
    stack: CardStack, store: TrustStore, memory: Personalisation, exclusive: bool
) -> None:
    from smartcard import scard

    shared = contextlib.closing(PcscReader(store, match="Virtual PCD*00", exclusive=exclusive))
    with shared as reader, presented(stack, reader, PassportChip(memory)), held(scard.SCARD_SHARE_SHARED):
        assert reader.read(ReadRequest(PERSON.key)).check(CheckName.PASSIVE).passed


def test_a_card_that_is_swapped_between_two_looks_is_told_as_two_events(
    stack: CardStack, reader: PcscReader, memory: Personalisation
) -> None:
    with presented(stack, reader, PassportChip(memory)):
        pass
    first = stack.card(PassportChip(memory)).insert()
    event = reader.wait(5)
    assert event is not None
    first.remove()
    time.sleep(0.6)
    with stack.card(PassportChip(memory)):
        time.sleep(0.6)
        kinds = [event.kind for _ in range(2) if (event := reader.wait(2)) is not None]
        assert kinds == [EventKind.REMOVED, EventKind.PRESENTED]
    assert reader.wait(5) is not None


def test_a_chip_whose_extended_lengths_the_reader_does_not_carry_is_read_in_short_ones(
    stack: CardStack, reader: PcscReader, memory: Personalisation
) -> None:
    with presented(stack, reader, ShortCard(PassportChip(memory))):
        document = reader.read(ReadRequest(PERSON.key, nonce=b"8 bytes!"))
        assert all(check.passed for check in document.checks.values())
