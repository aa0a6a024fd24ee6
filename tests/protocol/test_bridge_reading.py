"""A whole read against the simulated chip: every way in, every way to prove itself, every way to be false."""

from dataclasses import replace

import pytest

from firmware_bridge.apdu import status
from firmware_bridge.apdu.command import Command, Response
from firmware_bridge.apdu.secure import OVERHEAD
from firmware_bridge.document import Access, CheckName, DocumentKind, PortraitFormat, Verdict
from firmware_bridge.emrtd.domain_parameters import CURVES, GROUPS
from firmware_bridge.emrtd.files import CARD_ACCESS
from firmware_bridge.emrtd.files import GROUPS as FILES
from firmware_bridge.emrtd.keys import CipherName
from firmware_bridge.emrtd.reading import read_chip
from firmware_bridge.emrtd.security_infos import Mapping, PaceInfo
from firmware_bridge.errors import Code, DocumentError
from firmware_bridge.reader import CanKey, MrzKey, Progress, ReadRequest
from firmware_bridge.simulator import (
    IssuingState,
    PassportChip,
    Person,
    Personalisation,
    Profile,
    personalise,
    portraits,
    variants,
)
from firmware_bridge.simulator.faults import ShortCard
from firmware_bridge.simulator.personalise import pace
from tests.protocol.bridge_chips import (
    ALL_PASSED,
    PERSON,
    WITH_NONCE,
    Direct,
    failure,
    memory,
    passed,
    picture,
    read,
    state,
    store_of,
)


def test_a_genuine_passport_is_read_and_every_check_passes() -> None:
    document = read(memory(), WITH_NONCE)
    assert passed(document) == ALL_PASSED
    assert document.kind is DocumentKind.PASSPORT
    assert document.access is Access.PACE
    assert (document.holder.surname, document.holder.given_names) == ("MUSTERFRAU", "LI NA")
    assert document.holder.birth_date == PERSON.birth_date
    assert document.valid_until == PERSON.expiry_date
    assert document.portrait is not None
    assert document.portrait.data == picture()
    assert document.portrait.format is PortraitFormat.JPEG2000


@pytest.mark.parametrize("cipher", CipherName)
@pytest.mark.parametrize("mapping", Mapping)
def test_every_mapping_with_every_cipher(mapping: Mapping, cipher: CipherName) -> None:
    document = read(memory(Profile(pace=(pace(mapping, cipher, 13),), chip_authentication=(cipher, 12))), WITH_NONCE)
    assert passed(document) == ALL_PASSED
    cam = mapping is Mapping.CHIP_AUTHENTICATION
    assert document.access is (Access.PACE_CAM if cam else Access.PACE)


@pytest.mark.parametrize("parameters", [*GROUPS, *CURVES])
def test_every_standard_domain_for_pace_and_chip_authentication(parameters: int) -> None:
    profile = Profile(pace=(pace(parameter_id=parameters),), chip_authentication=(CipherName.AES_256, parameters))
    assert passed(read(memory(profile), WITH_NONCE)) == ALL_PASSED


@pytest.mark.parametrize("group", GROUPS)
def test_integrated_mapping_in_prime_groups_with_chained_commands(group: int) -> None:
    profile = Profile(
        pace=(pace(Mapping.INTEGRATED, CipherName.TRIPLE_DES, group),),
        chip_authentication=(CipherName.TRIPLE_DES, group),
        extended=False,
    )
    assert passed(read(memory(profile), WITH_NONCE, atr=False)) == ALL_PASSED


@pytest.mark.parametrize("extended", [True, False])
@pytest.mark.parametrize("active", ["rsa", "ecdsa"])
def test_a_chip_without_pace_opens_by_basic_access_control(extended: bool, active: str) -> None:
    document = read(memory(Profile(pace=(), extended=extended, active_authentication=active)), WITH_NONCE)
    assert document.access is Access.BAC
    assert passed(document) == ALL_PASSED


def test_the_can_opens_as_the_mrz_does() -> None:
    assert passed(read(memory(), ReadRequest(CanKey("500540"), nonce=b"8 bytes!"))) == ALL_PASSED


def code_of(held: Personalisation, request: ReadRequest) -> Code:
    with pytest.raises(DocumentError) as caught:
        read(held, request)
    assert caught.value.trace
    return caught.value.code


@pytest.mark.parametrize("profile", [Profile(), Profile(pace=())], ids=["pace", "bac"])
def test_a_wrong_key_is_told_from_a_broken_chip(profile: Profile) -> None:
    wrong = MrzKey("X1234567", PERSON.birth_date, PERSON.expiry_date)
    assert code_of(memory(profile), ReadRequest(wrong)) is Code.DOCUMENT_KEY


def test_without_a_key_a_protected_chip_asks_for_one() -> None:
    assert code_of(memory(), ReadRequest()) is Code.DOCUMENT_KEY_MISSING
    assert code_of(memory(Profile(pace=())), ReadRequest(CanKey("500540"))) is Code.DOCUMENT_KEY_MISSING


def test_a_chip_that_protects_nothing_is_read_without_a_key() -> None:
    document = read(memory(Profile(pace=(), bac=False)), ReadRequest())
    assert document.access is Access.NONE
    assert document.check(CheckName.PASSIVE).passed
    assert document.check(CheckName.CHIP).passed


def test_an_altered_portrait_is_told_and_not_used() -> None:
    document = read(variants.altered(memory(), portraits.jpeg2000(portraits.OTHER)))
    assert failure(document) == {CheckName.PASSIVE: Code.DOCUMENT_ALTERED}
    assert "DG2" in document.check(CheckName.PASSIVE).reason
    assert document.portrait is None


def test_altered_personal_data_is_told_and_not_used() -> None:
    other = personalise(Person(surname="ANDERS"), picture(), state())
    document = read(memory().with_file(FILES[1].fid, other.application[FILES[1].fid]))
    assert failure(document) == {CheckName.PASSIVE: Code.DOCUMENT_ALTERED}
    assert (document.holder.surname, document.number) == ("", "")


def test_a_group_that_is_not_in_the_security_object_is_told_and_not_used() -> None:
    held = memory()
    fields = bytes.fromhex("6B085C025F0E5F0E0141")
    common = held.application[0x011E].replace(b"\x5c\x04\x61\x75\x6e\x6f", b"\x5c\x04\x61\x75\x6b\x6f")
    document = read(held.with_file(FILES[11].fid, fields).with_file(0x011E, common))
    assert "DG11 is not in the security object" in document.check(CheckName.PASSIVE).reason
    assert document.holder.native_name == ""


def test_an_unknown_issuer_is_told() -> None:
    document = read(memory(), store=store_of(IssuingState.create()))
    assert failure(document) == {CheckName.PASSIVE: Code.DOCUMENT_UNTRUSTED}
    assert document.check(CheckName.PASSIVE).verdict is Verdict.NOT_TRUSTED


def test_a_chip_that_hides_its_pace_is_told_by_its_own_signed_data() -> None:
    held = memory()
    master = {fid: content for fid, content in held.master.items() if fid != CARD_ACCESS.fid}
    hiding = Personalisation(held.profile, held.key, master, held.application, held.static, held.active)
    document = read(hiding)
    assert document.access is Access.BAC
    assert document.check(CheckName.PASSIVE).code is Code.DOCUMENT_ALTERED


def test_a_chip_that_offers_pace_is_never_opened_by_basic_access_control_unasked() -> None:
    held = memory(Profile(pace=(pace(),)))
    deaf = Personalisation(
        Profile(pace=(pace(parameter_id=13),)), held.key, held.master, held.application, held.static, held.active
    )
    assert code_of(deaf, ReadRequest(PERSON.key)) is Code.DOCUMENT_ACCESS
    assert read(deaf, ReadRequest(PERSON.key, allow_bac_fallback=True)).access is Access.BAC


def test_progress_names_every_step_and_counts_the_portrait() -> None:
    told: list[Progress] = []
    read(memory(), ReadRequest(PERSON.key, progress=told.append))
    steps = [progress.step for progress in told]
    assert steps.index("access") < steps.index("EF.SOD") < steps.index("DG2") < steps.index("chip authentication")
    last = [progress for progress in told if progress.step == "DG2"][-1]
    assert last.done == last.total > 15_000


def test_a_portrait_beyond_32_kilobytes_is_read_with_and_without_extended_length() -> None:
    large = personalise(PERSON, portraits.jpeg(portraits.HOLDER_CHIP), state(), Profile(max_response=20_000))
    small = personalise(PERSON, portraits.jpeg(portraits.HOLDER_CHIP), state(), Profile(extended=False))
    for held in (large, small):
        document = read(held)
        assert document.portrait is not None
        assert document.portrait.data == portraits.jpeg(portraits.HOLDER_CHIP)
        assert document.portrait.format is PortraitFormat.JPEG


@pytest.mark.parametrize(("size", "code"), [("TD1", "ID"), ("TD2", "I")])
def test_identity_cards_are_read(size: str, code: str) -> None:
    person = Person(size=size, document_code=code, personal_number="")
    held = personalise(person, picture(), state())
    document = read(held, ReadRequest(person.key))
    assert document.kind is DocumentKind.ID_CARD
    assert (document.number, document.holder.surname) == (person.number, person.surname)
    assert document.check(CheckName.PASSIVE).passed


def test_native_name_address_and_authority_come_from_dg11_and_dg12() -> None:
    person = Person(native_name="李娜", address="1 Example Road", authority="Ministry of Examples")
    document = read(personalise(person, picture(), state()), ReadRequest(person.key))
    assert (document.holder.native_name, document.holder.address) == ("李娜", "1 Example Road")
    assert document.issuing_authority == "Ministry of Examples"


@pytest.mark.parametrize("name", ["李\ue863娜", "李\U000323b0", "李\u3000娜", "می\u200cخواهم"], ids=ascii)
def test_a_native_name_keeps_every_character_but_controls(name: str) -> None:
    person = Person(native_name=f"{name}\x1b\x07")
    assert read(personalise(person, picture(), state()), ReadRequest(person.key)).holder.native_name == " ".join(
        name.split()
    )


@pytest.mark.parametrize("profile", [Profile(), Profile(pace=())], ids=["pace", "bac"])
def test_a_chip_that_refuses_the_extended_lengths_that_it_announces_is_read_in_short_ones(profile: Profile) -> None:
    document = read(memory(profile), WITH_NONCE, wrap=ShortCard)
    assert passed(document) == ALL_PASSED


class Grumpy:
    """A chip without PACE whose master file answers everything with one word."""

    def __init__(self, card: PassportChip, word: int) -> None:
        self.card, self.word, self.atr = card, word, card.atr

    def reset(self) -> None:
        self.card.reset()

    def process(self, apdu: bytes) -> bytes:
        selects_application = apdu[1] == 0xA4 and apdu[2] == 0x04
        if not selects_application and apdu[1] in {0xA4, 0xB0} and not apdu[0] & 0x0C:
            return self.word.to_bytes(2, "big")
        return self.card.process(apdu)


@pytest.mark.parametrize("word", [0x6A82, 0x6982, 0x6985, 0x6986, 0x6A86, 0x6B00, 0x6D00, 0x6E00, 0x6F00])
def test_whatever_a_chip_without_pace_says_of_its_missing_files_it_opens_by_bac(word: int) -> None:
    held = memory(Profile(pace=()))
    document = read(held, WITH_NONCE, wrap=lambda chip: Grumpy(chip, word))
    assert document.access is Access.BAC
    assert passed(document) == ALL_PASSED


@pytest.mark.parametrize("largest", [230, 192, 191, 128])
@pytest.mark.parametrize("offers", [(pace(),), ()], ids=["pace", "bac"])
def test_a_chip_with_a_small_buffer_is_read_in_smaller_pieces(largest: int, offers: tuple[PaceInfo, ...]) -> None:
    profile = Profile(pace=offers, extended=False, largest_read=largest)
    document = read(memory(profile), WITH_NONCE)
    assert passed(document) == ALL_PASSED


class Strict(PassportChip):
    """A chip that refuses to be asked for more than fits its answer, protection included."""

    refused = 0

    def _read(self, command: Command, *, secured: bool, short: bool) -> Response:
        session = self.protocols.session
        if secured and session is not None:
            room = session.suite.short_chunk if short else self.memory.profile.max_response - OVERHEAD
            if (command.le or 256) > room:
                self.refused += 1
                return Response(b"", status.WRONG_LENGTH)
        return super()._read(command, secured=secured, short=short)


def strictly(person: Person, image: bytes, profile: Profile) -> int:
    """How many commands a strict chip refuses in a read that succeeds."""
    chip = Strict(personalise(person, image, state(), profile))
    document = read_chip(Direct(chip), ReadRequest(person.key), store_of(state()))
    assert document.portrait is not None
    assert document.portrait.data == image
    return chip.refused


@pytest.mark.parametrize(
    "profile",
    [
        Profile(extended=False),
        Profile(pace=(), extended=False),
        Profile(max_response=1000),
        Profile(max_response=20_000),
    ],
    ids=["short, AES", "short, 3DES", "small buffer", "large buffer"],
)
def test_no_more_is_asked_for_than_fits_an_answer(profile: Profile) -> None:
    """Beyond 32 kilobytes the answer wraps what was read; a last piece of 224 to 256 bytes fits no short one."""
    bare = replace(profile, chip_authentication=None, active_authentication="")
    assert strictly(PERSON, portraits.jpeg(portraits.HOLDER_CHIP), bare) == 0
    header = bytes.fromhex("FFD8FFC0001108001000100300")
    for size in range(330, 380, 7):
        assert strictly(PERSON, header + bytes(size), bare) == 0
