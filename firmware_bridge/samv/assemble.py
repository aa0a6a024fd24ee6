"""From a card's parts to a `Document`."""

from __future__ import annotations

import hashlib
from datetime import date

from firmware_bridge.document import (
    Access,
    Check,
    CheckName,
    Document,
    Holder,
    Portrait,
    PortraitFormat,
    Verdict,
)
from firmware_bridge.errors import Code, DocumentError
from firmware_bridge.samv import records
from firmware_bridge.samv.module import Contents


def document(
    contents: Contents, *, today: date, address: str | None = None, phases: dict[str, float] | None = None
) -> Document:
    """The document that a card is.

    Raises:
        DocumentError: `document.malformed`, `document.unknown`.
    """
    card = records.parse(contents.text)
    if records.number_holds(card) is False:
        raise DocumentError(Code.DOCUMENT_MALFORMED, "the number's check character is wrong")
    photo = Portrait(contents.photo, PortraitFormat.WLT) if contents.photo else None
    digests = {"text": contents.text, "photo": contents.photo, "fingerprint": contents.fingerprint}
    return Document(
        kind=card.kind,
        number=card.number,
        issuing_state="CHN",
        holder=Holder(
            surname=card.english_name or card.name,
            given_names="",
            sex=card.sex,
            birth_date=card.birth_date,
            nationality=card.nationality,
            native_name=card.name,
            personal_number=card.number,
            ethnicity=card.ethnicity,
            address=address or card.address,
        ),
        portrait=photo,
        access=Access.SAM,
        checks={
            CheckName.SAM: Check(Verdict.PASSED, "the module authenticated the card before it handed anything out"),
            CheckName.EXPIRY: _expiry(card, today),
        },
        valid_from=card.valid_from,
        valid_until=card.valid_until,
        issuing_authority=card.authority,
        digests={name: hashlib.sha256(data).digest() for name, data in digests.items() if data},
        phases=phases or {},
    )


def _expiry(card: records.CardText, today: date) -> Check:
    if card.unlimited:
        return Check(Verdict.PASSED, "the card never expires")
    if card.valid_until is None:
        return Check(Verdict.NOT_PRESENT, "the card names no last day")
    if card.valid_until < today:
        return Check(Verdict.FAILED, f"the card expired on {card.valid_until}", Code.DOCUMENT_EXPIRED)
    return Check(Verdict.PASSED)
