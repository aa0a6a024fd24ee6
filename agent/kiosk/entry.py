"""What is typed on the page becomes the key of a chip: three fields of the MRZ, each with its check digit, or the CAN.

Fields are copied as they are printed in the machine readable zone (ICAO Doc 9303-3, 4.9; 9303-4, 4.2.2), so that a
wrong character is told at once and not after a read that fails.
"""

from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from firmware_bridge.emrtd.mrz import birth_date, check_digit, expiry_date
from firmware_bridge.reader import AccessKey, CanKey, MrzKey


class WrongFieldError(ValueError):
    """A field that its check digit or the calendar refuses; `field` names it, its content is never told."""

    def __init__(self, field: str) -> None:
        super().__init__(f"the field {field} does not hold")
        self.field = field


class _Typed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class TypedMrz(_Typed):
    """Number, birth and expiry of the MRZ, each with its check digit."""

    kind: Literal["mrz"]
    number: str = Field(pattern=r"^[A-Z0-9<]{9}[0-9]$", repr=False)
    birth: str = Field(pattern=r"^[0-9]{7}$", repr=False)
    expiry: str = Field(pattern=r"^[0-9]{7}$", repr=False)


class TypedCan(_Typed):
    """The card access number (ICAO Doc 9303-11, 4.4.2)."""

    kind: Literal["can"]
    can: str = Field(pattern=r"^[0-9]{6}$", repr=False)


Typed: TypeAdapter[TypedMrz | TypedCan] = TypeAdapter(
    Annotated[TypedMrz | TypedCan, Field(discriminator="kind")], config=ConfigDict(hide_input_in_errors=True)
)


def key_from(typed: TypedMrz | TypedCan, today: date) -> AccessKey:
    """The key that the fields hold.

    Raises:
        WrongFieldError: a check digit does not hold, or a date does not exist.
    """
    if isinstance(typed, TypedCan):
        return CanKey(typed.can)
    number = _checked("number", typed.number).rstrip("<")
    if not number:
        raise WrongFieldError("number")
    return MrzKey(
        document_number=number,
        birth_date=_held("birth", birth_date(_checked("birth", typed.birth), today)),
        expiry_date=_held("expiry", expiry_date(_checked("expiry", typed.expiry), today)),
    )


def _checked(name: str, field: str) -> str:
    content, digit = field[:-1], field[-1]
    if check_digit(content) != int(digit):
        raise WrongFieldError(name)
    return content


def _held(name: str, found: date | None) -> date:
    if found is None:
        raise WrongFieldError(name)
    return found
