"""A raw reply of a SAM-V module as plain data, for people and for programs."""

from __future__ import annotations

import hashlib
from datetime import date
from typing import Any

from firmware_bridge.errors import DocumentError
from firmware_bridge.samv import records, status
from firmware_bridge.samv.frames import Reply, decode_dump
from firmware_bridge.samv.module import format_sam_id, split

_FOUND_BYTES, _SELECTED_BYTES, _SAM_ID_BYTES, _ADDRESS_BYTES = 4, 8, 16, 70


def inspect(data: bytes) -> dict[str, Any]:
    """Decode a reply.

    Returns:
        `succeeded`, `status`, and what the data is: `card`, `sam_id`, `newest_address` or its size.

    Raises:
        BridgeError: `reader.protocol` if there is no whole frame, `document.malformed` for contents that are broken.
    """
    reply = decode_dump(_binary(data))
    succeeded = reply.sw3 in {status.DONE, status.FOUND}
    result: dict[str, Any] = {
        "kind": "samv",
        "succeeded": succeeded,
        "status": {"sw1": reply.sw1, "sw2": reply.sw2, "sw3": reply.sw3, "text": status.text(reply)},
        "data_bytes": len(reply.data),
    }
    if not succeeded:
        meaning = status.MEANINGS.get(reply.sw3)
        result["status"]["code"] = meaning.code.value if meaning else "reader.protocol"
        return result
    return result | _data(reply)


def _binary(data: bytes) -> bytes:
    """The bytes that a file of hexadecimal digits spells, or the file as it is."""
    try:
        return bytes.fromhex(data.decode("ascii"))
    except ValueError:
        return data


def _data(reply: Reply) -> dict[str, Any]:
    size = len(reply.data)
    if size > records.TEXT_SIZE:
        return _card(reply.data)
    if size == _SAM_ID_BYTES:
        return {"sam_id": format_sam_id(reply.data)}
    if size == _ADDRESS_BYTES:
        return {"newest_address": reply.data.decode("utf-16-le", "replace").replace("\x00", " ").strip()}
    return {}


def _card(data: bytes) -> dict[str, Any]:
    try:
        contents = split(data)
    except DocumentError:
        contents = split(data, fingerprint=True)
    card = records.parse(contents.text)
    return {
        "card": {
            "document_kind": card.kind.value,
            "name": card.name,
            "english_name": card.english_name,
            "sex": card.sex,
            "ethnicity": card.ethnicity,
            "nationality": card.nationality,
            "birth_date": _iso(card.birth_date),
            "address": card.address,
            "number": card.number,
            "number_valid": records.number_holds(card),
            "authority": card.authority,
            "valid_from": _iso(card.valid_from),
            "valid_until": records.UNLIMITED if card.unlimited else _iso(card.valid_until),
            "pass_number": card.pass_number,
            "issue_count": card.issue_count,
            "version": card.version,
        },
        "portrait": _part(contents.photo),
        "fingerprint": _part(contents.fingerprint),
        "text_sha256": hashlib.sha256(contents.text).hexdigest(),
    }


def _part(data: bytes) -> dict[str, Any] | None:
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} if data else None


def _iso(value: date | None) -> str | None:
    return value.isoformat() if value is not None else None
