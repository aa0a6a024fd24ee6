"""The machine readable zone: TD1, TD2 and TD3 with their check digits (ICAO Doc 9303, parts 3, 4, 5, 6)."""

import re
from dataclasses import dataclass
from datetime import date

from firmware_bridge.errors import Code, DocumentError
from firmware_bridge.reader import MrzKey

_WEIGHTS = (7, 3, 1)
_ALLOWED = re.compile(r"[A-Z0-9<]+")
_LINES = {90: 30, 72: 36, 88: 44}
#: Two digits of an expiry year mean the latest year that is at most so many years ahead.
_EXPIRY_AHEAD = 50


@dataclass(frozen=True, slots=True, repr=False)
class Mrz:
    """What the zone says; dates are None where a document leaves them unknown."""

    document_code: str
    issuing_state: str
    surname: str
    given_names: str
    number: str
    nationality: str
    birth_date: date | None
    sex: str
    expiry_date: date | None
    optional: str
    key: MrzKey | None


def check_digit(text: str) -> int:
    """The weighted sum modulo 10 (Doc 9303-3, 4.9)."""
    return sum(_value(char) * _WEIGHTS[i % 3] for i, char in enumerate(text)) % 10


def _value(char: str) -> int:
    if char == "<":
        return 0
    return int(char, 36)


def _malformed(text: str) -> DocumentError:
    return DocumentError(Code.DOCUMENT_MALFORMED, text)


def _digit_holds(field: str, digit: str) -> bool:
    # An empty optional field may carry the filler instead of 0 (Doc 9303-4, 4.2.2.2).
    if digit == "<":
        return not field.strip("<")
    return digit.isdigit() and check_digit(field) == int(digit)


def _require(field: str, digit: str, name: str) -> None:
    if not _digit_holds(field, digit):
        raise _malformed(f"the check digit of the {name} is wrong")


def birth_date(text: str, today: date) -> date | None:
    """The date that six digits tell: not later than today. None where the calendar has no such day."""
    return _date(text, latest=today)


def expiry_date(text: str, today: date) -> date | None:
    """The date that six digits tell: at most some fifty years ahead. None where the calendar has no such day."""
    return _date(text, latest=date(today.year + _EXPIRY_AHEAD, 12, 31))


def _date(text: str, *, latest: date) -> date | None:
    """A date of six digits, in the century that puts it last before `latest`."""
    if not text.isdigit():
        return None
    century = latest.year // 100 * 100
    for first in (century, century - 100):
        try:
            found = date(first + int(text[:2]), int(text[2:4]), int(text[4:]))
        except ValueError:
            continue
        if found <= latest:
            return found
    return None


def _names(field: str) -> tuple[str, str]:
    surname, _, given = field.rstrip("<").partition("<<")
    return surname.replace("<", " ").strip(), " ".join(given.replace("<", " ").split())


def compact(text: str) -> str:
    """The zone without line ends and blanks, as DG1 carries it."""
    return "".join(text.split())


def parse(text: str, *, today: date) -> Mrz:
    """Parse a zone of any size, every check digit verified.

    Args:
        text: the lines, with or without line ends.
        today: tells the century of the birth date; an expiry date may lie up to 50 years ahead of it.

    Raises:
        DocumentError: `document.malformed`; the text is never part of the message.
    """
    zone = compact(text)
    width = _LINES.get(len(zone))
    if width is None or not _ALLOWED.fullmatch(zone):
        raise _malformed(f"a machine readable zone of {len(zone)} characters, or with characters that it cannot have")
    lines = [zone[i : i + width] for i in range(0, len(zone), width)]
    return _td1(lines, today) if width == 30 else _td2_td3(lines, today)


def _long_number(number: str, digit: str, optional: str) -> tuple[str, str]:
    """The document number, checked, and what it leaves of the optional field.

    A number over nine characters goes on in the optional field, with its check digit (Doc 9303-5, 4.2.2).
    """
    if digit == "<" and optional.strip("<"):
        tail = optional.split("<", 1)[0]
        number, digit, optional = number + tail[:-1], tail[-1:], optional[len(tail) :]
    _require(number, digit, "document number")
    return number, optional


def _td1(lines: list[str], today: date) -> Mrz:
    first, second, third = lines
    number, digit, optional = first[5:14], first[14], first[15:30]
    whole = first[5:30] + second[:7] + second[8:15] + second[18:29]
    _require(whole, second[29], "whole zone")
    number, optional = _long_number(number, digit, optional)
    return _assemble(
        code=first[:2],
        state=first[2:5],
        names=third,
        number=number,
        nationality=second[15:18],
        birth=second[:7],
        sex=second[7],
        expiry=second[8:15],
        optional=(optional.strip("<") + " " + second[18:29].strip("<")).strip(),
        today=today,
    )


def _td2_td3(lines: list[str], today: date) -> Mrz:
    first, second = lines
    number, digit = second[:9], second[9]
    passport = len(second) == 44
    optional = second[28:42] if passport else second[28:35]
    if passport:
        _require(number, digit, "document number")
        _require(optional, second[42], "personal number")
        _require(second[:10] + second[13:20] + second[21:43], second[43], "whole zone")
    else:
        _require(second[:10] + second[13:20] + second[21:35], second[35], "whole zone")
        number, optional = _long_number(number, digit, optional)
    return _assemble(
        code=first[:2],
        state=first[2:5],
        names=first[5:],
        number=number,
        nationality=second[10:13],
        birth=second[13:20],
        sex=second[20],
        expiry=second[21:28],
        optional=optional.strip("<").replace("<", " "),
        today=today,
    )


def _assemble(
    *,
    code: str,
    state: str,
    names: str,
    number: str,
    nationality: str,
    birth: str,
    sex: str,
    expiry: str,
    optional: str,
    today: date,
) -> Mrz:
    _require(birth[:6], birth[6], "birth date")
    _require(expiry[:6], expiry[6], "expiry date")
    surname, given = _names(names)
    born, expires = birth_date(birth[:6], today), expiry_date(expiry[:6], today)
    plain_number = number.rstrip("<")
    key = MrzKey(plain_number, born, expires) if born and expires else None
    return Mrz(
        document_code=code.rstrip("<"),
        issuing_state=state.rstrip("<"),
        surname=surname,
        given_names=given,
        number=plain_number,
        nationality=nationality.rstrip("<"),
        birth_date=born,
        sex="" if sex == "<" else sex,
        expiry_date=expires,
        optional=optional,
        key=key,
    )


def information(key: MrzKey) -> str:
    """The MRZ information that keys derive from: number, birth and expiry date, each with its check digit."""
    number = key.document_number.upper().ljust(9, "<")
    fields = (number, key.birth_date.strftime("%y%m%d"), key.expiry_date.strftime("%y%m%d"))
    if not _ALLOWED.fullmatch(number):
        raise DocumentError(Code.DOCUMENT_KEY, "the document number has characters that no MRZ can have")
    return "".join(f"{field}{check_digit(field)}" for field in fields)
