"""Machine readable zones of every size, their check digits and their dates."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.emrtd import mrz
from firmware_bridge.errors import Code, DocumentError
from firmware_bridge.reader import MrzKey
from firmware_bridge.simulator import Person

TODAY = date(2026, 6, 1)
#: The specimens of Doc 9303, parts 4, 5 and 6.
TD3 = "P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<\nL898902C36UTO7408122F1204159ZE184226B<<<<<10"
TD1 = "I<UTOD231458907<<<<<<<<<<<<<<<\n7408122F1204159UTO<<<<<<<<<<<6\nERIKSSON<<ANNA<MARIA<<<<<<<<<<"
TD2 = "I<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<\nD231458907UTO7408122F1204159<<<<<<<6"


@pytest.mark.parametrize("zone", [TD1, TD2, TD3], ids=["TD1", "TD2", "TD3"])
def test_the_specimens_are_parsed(zone: str) -> None:
    parsed = mrz.parse(zone, today=TODAY)
    assert (parsed.surname, parsed.given_names) == ("ERIKSSON", "ANNA MARIA")
    assert (parsed.issuing_state, parsed.nationality, parsed.sex) == ("UTO", "UTO", "F")
    assert (parsed.birth_date, parsed.expiry_date) == (date(1974, 8, 12), date(2012, 4, 15))
    assert parsed.number in {"L898902C3", "D23145890"}


@pytest.mark.parametrize("zone", [TD1, TD2, TD3], ids=["TD1", "TD2", "TD3"])
def test_every_digit_that_is_checked_is_checked(zone: str) -> None:
    text = mrz.compact(zone)
    changed = 0
    for index, char in enumerate(text):
        if not char.isdigit():
            continue
        wrong = text[:index] + str((int(char) + 1) % 10) + text[index + 1 :]
        with pytest.raises(DocumentError) as caught:
            mrz.parse(wrong, today=TODAY)
        assert caught.value.code is Code.DOCUMENT_MALFORMED
        assert "ERIKSSON" not in str(caught.value)
        changed += 1
    assert changed > 20


def test_a_long_number_goes_on_in_the_optional_field() -> None:
    # The example of Doc 9303-5, 4.2.2: the number D23145890734 in a TD1.
    first = "I<UTOD23145890<7349<<<<<<<<<<<"
    second = "3407127M9507122UTO<<<<<<<<<<<2"
    parsed = mrz.parse(first + second + "STEVENSON<<PETER<JOHN<<<<<<<<<", today=TODAY)
    assert parsed.number == "D23145890734"
    assert parsed.key is not None
    assert mrz.information(parsed.key) == "D23145890734934071279507122"


def test_an_unknown_birth_date_leaves_the_document_without_a_key() -> None:
    person = Person()
    zone = person.zone()
    second = zone[44:]
    birth = "<<<<<<" + str(mrz.check_digit("<<<<<<"))
    second = second[:13] + birth + second[20:43]
    composite = mrz.check_digit(second[:10] + second[13:20] + second[21:43])
    parsed = mrz.parse(zone[:44] + second + str(composite), today=TODAY)
    assert parsed.birth_date is None
    assert parsed.key is None


@pytest.mark.parametrize("text", ["", "P<UTO", "x" * 88, "É" * 88, "A" * 89])
def test_what_is_no_zone_is_told_without_quoting_it(text: str) -> None:
    with pytest.raises(DocumentError) as caught:
        mrz.parse(text, today=TODAY)
    assert text[:5] not in str(caught.value) or not text


NAMES = st.text(alphabet="ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=1, max_size=12)


@given(
    NAMES,
    NAMES,
    st.text(alphabet="ABCDEFGHIJ0123456789", min_size=1, max_size=9),
    st.dates(date(1930, 1, 1), date(2026, 5, 31)),
    st.dates(date(2026, 6, 2), date(2040, 12, 31)),
    st.sampled_from(["TD1", "TD2", "TD3"]),
)
def test_what_is_printed_is_what_is_parsed(
    surname: str, given_names: str, number: str, birth: date, expiry: date, size: str
) -> None:
    person = Person(surname, given_names, number, birth_date=birth, expiry_date=expiry, size=size, personal_number="")
    parsed = mrz.parse(person.zone(), today=TODAY)
    assert (parsed.surname, parsed.given_names, parsed.number) == (surname, given_names, number)
    assert (parsed.birth_date, parsed.expiry_date) == (birth, expiry)
    assert parsed.key == MrzKey(number, birth, expiry)
