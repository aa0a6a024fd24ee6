"""The text of a card: 256 bytes UTF-16LE in one of four layouts.

Several public sources agree on the resident card and on the permit of 2017 (I); the pass number and the issue count of
J and the whole of Y rest on one source each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from unicodedata import category

from firmware_bridge.document import DocumentKind
from firmware_bridge.errors import Code, DocumentError

TEXT_SIZE = 256
_KIND = slice(248, 250)
_NUMBER_LENGTH = 18
#: Written instead of a last day on cards that do not expire.
UNLIMITED = "长期"
_SEX = {"1": "M", "2": "F", "M": "M", "F": "F"}

_NAMES = """
汉 蒙古 回 藏 维吾尔 苗 彝 壮 布依 朝鲜 满 侗 瑶 白 土家 哈尼 哈萨克 傣 黎 傈僳 佤 畲 高山 拉祜 水 东乡 纳西 景颇
柯尔克孜 土 达斡尔 仫佬 羌 布朗 撒拉 毛南 仡佬 锡伯 阿昌 普米 塔吉克 怒 乌孜别克 俄罗斯 鄂温克 德昂 保安 裕固 京
塔塔尔 独龙 鄂伦春 赫哲 门巴 珞巴 基诺
"""
#: Ethnic groups by their number in GB/T 3304.
ETHNICITIES = dict(enumerate(_NAMES.split(), start=1)) | {97: "其他", 98: "外国血统中国籍人士"}


@dataclass(frozen=True, slots=True, repr=False)
class CardText:
    """What a card says, whatever its layout; empty where a layout has no such field."""

    kind: DocumentKind
    name: str
    number: str
    sex: str
    birth_date: date | None
    valid_from: date | None
    valid_until: date | None
    unlimited: bool
    english_name: str = ""
    ethnicity: str = ""
    nationality: str = ""
    address: str = ""
    authority: str = ""
    pass_number: str = ""
    issue_count: str = ""
    version: str = ""


def _malformed(text: str) -> DocumentError:
    return DocumentError(Code.DOCUMENT_MALFORMED, text)


class _Text:
    """Fields of the text by byte offset and size."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __call__(self, offset: int, size: int) -> str:
        try:
            decoded = self._data[offset : offset + size].decode("utf-16-le")
        except UnicodeDecodeError:
            raise _malformed(f"the text at offset {offset} is no UTF-16") from None
        plain = decoded.replace("\x00", " ")
        # Control characters alone: rare names are written in the private use area, or in a later Unicode than ours.
        if any(category(char) == "Cc" for char in plain):
            raise _malformed(f"the text at offset {offset} holds control characters")
        return plain.strip()

    def day(self, offset: int) -> date | None:
        """A date of eight digits; None if the field is blank."""
        text = self(offset, 16)
        if not text:
            return None
        if len(text) != 8 or not (text.isascii() and text.isdigit()):
            raise _malformed(f"the date at offset {offset} is no date")
        try:
            return date(int(text[:4]), int(text[4:6]), int(text[6:]))
        except ValueError:
            raise _malformed(f"the date at offset {offset} is no day of the calendar") from None

    def until(self, offset: int) -> tuple[date | None, bool]:
        """A last day, or None and True where the card never expires."""
        if self(offset, 16) == UNLIMITED:
            return None, True
        return self.day(offset), False


def check_character(body: str) -> str:
    """The last character of a citizen number, from its first 17 digits (GB 11643, ISO 7064 MOD 11-2)."""
    total = sum(int(digit) * pow(2, 17 - i, 11) for i, digit in enumerate(body[:17]))
    return "10X98765432"[total % 11]


def is_citizen_number(number: str) -> bool:
    """Whether a number has 18 characters and the right last one."""
    body = number[:17]
    return (
        len(number) == _NUMBER_LENGTH
        and body.isascii()
        and body.isdigit()
        and check_character(body) == number[17].upper()
    )


def _common(text: _Text, kind: DocumentKind) -> CardText:
    """The fields that the resident card's layout shares with the permits made after it."""
    until, unlimited = text.until(204)
    return CardText(
        kind=kind,
        name=text(0, 30),
        sex=_SEX.get(text(30, 2), ""),
        birth_date=text.day(36),
        number=text(122, 36),
        authority=text(158, 30),
        valid_from=text.day(188),
        valid_until=until,
        unlimited=unlimited,
    )


def _resident(text: _Text) -> CardText:
    return replace(
        _common(text, DocumentKind.RESIDENT_CARD),
        ethnicity=_ethnicity(text(32, 4)),
        address=text(52, 70),
        nationality="CHN",
    )


def _permit(text: _Text) -> CardText:
    return replace(
        _common(text, DocumentKind.HMT_RESIDENCE_PERMIT),
        address=text(52, 70),
        pass_number=text(220, 18),
        issue_count=text(238, 4),
    )


def _foreigner_2017(text: _Text) -> CardText:
    until, unlimited = text.until(204)
    return CardText(
        kind=DocumentKind.FOREIGN_PERMANENT_RESIDENT,
        english_name=text(0, 120),
        sex=_SEX.get(text(120, 2), ""),
        number=text(122, 30),
        nationality=text(152, 6),
        name=text(158, 30),
        valid_from=text.day(188),
        valid_until=until,
        unlimited=unlimited,
        birth_date=text.day(220),
        version=text(236, 4),
        authority=text(240, 8),
    )


def _foreigner_2023(text: _Text) -> CardText:
    return replace(
        _common(text, DocumentKind.FOREIGN_PERMANENT_RESIDENT),
        issue_count=text(32, 4),
        english_name=(text(52, 70) + text(220, 22)).strip(),
        nationality=text(242, 6),
    )


def _ethnicity(code: str) -> str:
    return ETHNICITIES.get(int(code), "") if code.isascii() and code.isdigit() else ""


_LAYOUTS: dict[str, Callable[[_Text], CardText]] = {
    "": _resident,
    "J": _permit,
    "I": _foreigner_2017,
    "Y": _foreigner_2023,
}


def parse(data: bytes) -> CardText:
    """Parse a card's text; `number_holds` tells whether its number has the right check character.

    Raises:
        DocumentError: `document.malformed` for text of another size, no UTF-16 or impossible dates;
            `document.unknown` for a layout that nobody here knows.
    """
    if len(data) != TEXT_SIZE:
        raise _malformed(f"a text of {len(data)} bytes, not {TEXT_SIZE}")
    text = _Text(data)
    layout = _LAYOUTS.get(text(_KIND.start, 2))
    if layout is None:
        raise DocumentError(Code.DOCUMENT_UNKNOWN, "a card of a layout that is not known")
    return layout(text)


def number_holds(card: CardText) -> bool | None:
    """Whether the number's check character is right; None for the 2017 permit, whose number has none of this kind."""
    if card.kind is DocumentKind.FOREIGN_PERMANENT_RESIDENT and len(card.number) != _NUMBER_LENGTH:
        return None
    return is_citizen_number(card.number)
