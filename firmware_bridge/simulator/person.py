"""A fictional holder and the machine readable zone that describes him (ICAO Doc 9303, parts 3 to 6)."""

from dataclasses import dataclass
from datetime import date

from firmware_bridge.emrtd.mrz import check_digit
from firmware_bridge.reader import MrzKey

_TD3, _TD2, _TD1 = "TD3", "TD2", "TD1"


@dataclass(frozen=True, slots=True)
class Person:
    """What is printed on a document; the defaults are the specimen of Doc 9303, with a later last day."""

    surname: str = "ERIKSSON"
    given_names: str = "ANNA MARIA"
    number: str = "L898902C3"
    issuing_state: str = "UTO"
    nationality: str = "UTO"
    birth_date: date = date(1974, 8, 12)
    sex: str = "F"
    expiry_date: date = date(2034, 4, 15)
    personal_number: str = "ZE184226B"
    size: str = _TD3
    document_code: str = "P"
    native_name: str = ""
    address: str = ""
    authority: str = ""

    @property
    def key(self) -> MrzKey:
        """What opens the chip."""
        return MrzKey(self.number, self.birth_date, self.expiry_date)

    def zone(self) -> str:
        """The machine readable zone without line ends, as DG1 carries it."""
        birth, expiry = (_with_digit(d.strftime("%y%m%d")) for d in (self.birth_date, self.expiry_date))
        number = _with_digit(_fill(self.number, 9))
        names = f"{self.surname}<<{self.given_names}".replace(" ", "<")
        head = _fill(self.document_code, 2) + _fill(self.issuing_state, 3)
        sex = self.sex or "<"
        if self.size == _TD1:
            first = head + number + _fill(self.personal_number, 15)
            second = birth + sex + expiry + _fill(self.nationality, 3) + "<" * 11
            whole = first[5:30] + second[:7] + second[8:15] + second[18:29]
            return first + second + str(check_digit(whole)) + _fill(names, 30)
        body = number + _fill(self.nationality, 3) + birth + sex + expiry
        if self.size == _TD2:
            second = body + _fill(self.personal_number, 7)
            whole = second[:10] + second[13:20] + second[21:35]
            return head + _fill(names, 31) + second + str(check_digit(whole))
        second = body + _with_digit(_fill(self.personal_number, 14))
        whole = second[:10] + second[13:20] + second[21:43]
        return head + _fill(names, 39) + second + str(check_digit(whole))


def _fill(text: str, width: int) -> str:
    return text.upper()[:width].ljust(width, "<")


def _with_digit(field: str) -> str:
    return f"{field}{check_digit(field)}"
