"""EF.COM and the data groups that hold text: DG1, DG11, DG12 (ICAO Doc 9303-10, 4.6.1 and 4.7)."""

from dataclasses import dataclass
from datetime import date
from unicodedata import category

from firmware_bridge.apdu import tlv
from firmware_bridge.emrtd import mrz
from firmware_bridge.emrtd.files import group_of_tag
from firmware_bridge.errors import Code, DocumentError

_TEXT_LIMIT = 512


@dataclass(frozen=True, slots=True)
class Common:
    """EF.COM: versions and the data groups that the chip says it has."""

    lds_version: str
    unicode_version: str
    groups: tuple[int, ...]


@dataclass(frozen=True, slots=True, repr=False)
class PersonalDetails:
    """DG11, as far as the terminal uses it."""

    native_name: str = ""
    personal_number: str = ""
    address: str = ""
    birth_date: date | None = None


@dataclass(frozen=True, slots=True)
class DocumentDetails:
    """DG12, as far as the terminal uses it."""

    authority: str = ""
    issued: date | None = None


def text(value: bytes) -> str:
    """A text field; invalid UTF-8 becomes replacement characters, control characters go."""
    decoded = value[:_TEXT_LIMIT].decode("utf-8", "replace")
    # Not `isprintable`: it knows no private use area, no later Unicode than this Python's and no joiner within a name.
    return "".join(char for char in decoded if category(char) != "Cc")


def calendar_date(value: bytes) -> date | None:
    """A date as CCYYMMDD in digits or packed in four bytes; None for anything else."""
    digits = value.hex() if len(value) == 4 else value.decode("ascii", "replace")
    if len(digits) != 8 or not digits.isdigit():
        return None
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return None


def parse_common(data: bytes) -> Common:
    """Parse EF.COM.

    Raises:
        DocumentError: `document.malformed`.
    """
    content = tlv.require(data, 0x60)
    versions = {item.tag: item.value for item in tlv.parse(content)}
    groups = tuple(number for tag in versions.get(0x5C, b"") if (number := group_of_tag(tag)) is not None)
    return Common(text(versions.get(0x5F01, b"")), text(versions.get(0x5F36, b"")), groups)


def parse_mrz(dg1: bytes, *, today: date) -> mrz.Mrz:
    """Parse DG1.

    Raises:
        DocumentError: `document.malformed`.
    """
    try:
        zone = tlv.require(dg1, 0x61, 0x5F1F).decode("ascii")
    except UnicodeDecodeError:
        raise DocumentError(Code.DOCUMENT_MALFORMED, "DG1 has characters that no MRZ can have") from None
    return mrz.parse(zone, today=today)


def parse_personal(dg11: bytes) -> PersonalDetails:
    """Parse DG11.

    Raises:
        DocumentError: `document.malformed`.
    """
    fields = {item.tag: item.value for item in tlv.parse(tlv.require(dg11, 0x6B))}
    return PersonalDetails(
        native_name=" ".join(text(fields.get(0x5F0E, b"")).replace("<", " ").split()),
        personal_number=text(fields.get(0x5F10, b"")).strip("<"),
        address=", ".join(part for part in text(fields.get(0x5F42, b"")).split("<") if part),
        birth_date=calendar_date(fields.get(0x5F2B, b"")),
    )


def parse_document(dg12: bytes) -> DocumentDetails:
    """Parse DG12.

    Raises:
        DocumentError: `document.malformed`.
    """
    fields = {item.tag: item.value for item in tlv.parse(tlv.require(dg12, 0x6C))}
    return DocumentDetails(
        authority=" ".join(text(fields.get(0x5F19, b"")).replace("<", " ").split()),
        issued=calendar_date(fields.get(0x5F26, b"")),
    )
