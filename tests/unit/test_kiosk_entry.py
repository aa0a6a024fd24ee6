"""What is typed becomes a key only when each check digit holds."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from agent.kiosk.entry import Typed, TypedMrz, WrongFieldError, key_from
from firmware_bridge.emrtd.mrz import check_digit
from firmware_bridge.reader import CanKey, MrzKey

TODAY = date(2026, 11, 21)
# The specimen of ICAO Doc 9303-4, appendix B.
SPECIMEN = {"kind": "mrz", "number": "L898902C36", "birth": "7408122", "expiry": "1204159"}


def typed(**changed: str) -> TypedMrz:
    return TypedMrz.model_validate(SPECIMEN | changed)


def test_the_specimen_of_icao_9303_opens_its_chip() -> None:
    assert key_from(typed(), TODAY) == MrzKey("L898902C3", date(1974, 8, 12), date(2012, 4, 15))


def test_a_short_number_is_filled_as_it_is_printed() -> None:
    number = "D231458<<"
    key = key_from(typed(number=f"{number}{check_digit(number)}"), TODAY)
    assert key == MrzKey("D231458", date(1974, 8, 12), date(2012, 4, 15))


@given(at=st.integers(0, 9), by=st.integers(1, 9))
def test_any_one_wrong_digit_of_a_number_is_told(at: int, by: int) -> None:
    digits = "1234567897"
    wrong = digits[:at] + str((int(digits[at]) + by) % 10) + digits[at + 1 :]
    assert check_digit(digits[:-1]) == int(digits[-1])
    with pytest.raises(WrongFieldError) as refused:
        key_from(typed(number=wrong), TODAY)
    assert refused.value.field == "number"
    assert wrong not in str(refused.value)


def test_a_date_that_no_calendar_has_is_told() -> None:
    date_text = "740231"
    with pytest.raises(WrongFieldError) as refused:
        key_from(typed(birth=f"{date_text}{check_digit(date_text)}"), TODAY)
    assert refused.value.field == "birth"


def test_nobody_is_born_tomorrow_and_a_passport_ends_after_today() -> None:
    key = key_from(typed(birth=with_digit("270101"), expiry=with_digit("360101")), TODAY)
    assert isinstance(key, MrzKey)
    assert (key.birth_date.year, key.expiry_date.year) == (1927, 2036)


def test_a_number_of_fillers_alone_is_no_number() -> None:
    with pytest.raises(WrongFieldError):
        key_from(typed(number="<<<<<<<<<0"), TODAY)


def test_the_access_number_is_taken_as_it_is() -> None:
    assert key_from(Typed.validate_json('{"kind": "can", "can": "500540"}'), TODAY) == CanKey("500540")


@pytest.mark.parametrize(
    "body",
    [
        '{"kind": "can", "can": "50054"}',
        '{"kind": "can", "can": "٥٠٠٥٤٠"}',
        '{"kind": "mrz", "number": "L898902C36"}',
        '{"kind": "can", "can": "500540", "more": 1}',
        '{"kind": "pin"}',
        "[]",
    ],
)
def test_what_is_no_key_is_refused_without_being_repeated(body: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Typed.validate_json(body)
    assert "5005" not in str(refused.value)
    assert "L898" not in str(refused.value)


def test_a_typed_key_does_not_show_itself() -> None:
    assert "L898902C3" not in repr(typed())


def with_digit(text: str) -> str:
    return f"{text}{check_digit(text)}"
