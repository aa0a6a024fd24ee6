"""CBOR from a stranger: size, depth, items and tags are bounded before anything is built (RFC 8949, 5.1 and 10).

The decoder of cbor2 knows thirty tags that the contract never uses (regular expressions, MIME, shared references).
`decode` walks the encoding once, refuses every tag but those of COSE, every indefinite length, every excess and every
map that names a key twice (RFC 9052, 3), and only then lets cbor2 build the value.
"""

from dataclasses import dataclass
from typing import Any

import cbor2

from agent.wire.errors import Fault, WireError

#: COSE_Encrypt0 and COSE_Sign1 (RFC 9052, table 1).
COSE_TAGS = frozenset({16, 18})

MAX_DEPTH = 12
MAX_ITEMS = 4096
_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP, _TAG, _SIMPLE = range(8)
_SHORT = 24
_LONGEST = 27


def decode(data: bytes, *, limit: int) -> Any:
    """The one CBOR item that `data` holds, of at most `limit` bytes.

    Raises:
        WireError: `limit` or `malformed`; nothing was allocated beyond the input's own size.
    """
    if len(data) > limit:
        raise WireError(Fault.LIMIT, f"{len(data)} bytes where {limit} are allowed")
    if _walk(data) != len(data):
        raise WireError(Fault.MALFORMED, "bytes follow the message")
    try:
        return cbor2.loads(data)
    except (cbor2.CBORDecodeError, ValueError, OverflowError, TypeError) as error:
        raise WireError(Fault.MALFORMED, "not CBOR") from error


def encode(value: Any) -> bytes:
    """`value` in deterministic encoding (RFC 8949, 4.2.1)."""
    return cbor2.dumps(value, canonical=True)


@dataclass(slots=True)
class _Open:
    """An item that holds others: how many are still to come and, in a map, the keys so far."""

    left: int
    keys: set[tuple[int, int | bytes]] | None = None

    def at_key(self) -> bool:
        return self.keys is not None and self.left % 2 == 0


def _walk(data: bytes) -> int:
    """Length of the first item. Iterative: the depth of the input is not the depth of our stack."""
    position, items = 0, 0
    stack = [_Open(1)]
    while stack:
        holder = stack[-1]
        if holder.left == 0:
            stack.pop()
            continue
        is_key = holder.at_key()
        holder.left -= 1
        items += 1
        if items > MAX_ITEMS or len(stack) > MAX_DEPTH:
            raise WireError(Fault.LIMIT, "too many or too deeply nested items")
        major, argument, position = _head(data, position)
        start = position
        if major in (_BYTES, _TEXT):
            position += argument
            if position > len(data):
                raise WireError(Fault.MALFORMED, "cut short")
        elif major == _ARRAY:
            stack.append(_Open(argument))
        elif major == _MAP:
            stack.append(_Open(2 * argument, set()))
        elif major == _TAG:
            if argument not in COSE_TAGS:
                raise WireError(Fault.MALFORMED, "a tag that the contract does not use")
            stack.append(_Open(1))
        if is_key:
            _note(holder, major, data[start:position] if major == _TEXT else argument)
    return position


def _note(holder: _Open, major: int, value: int | bytes) -> None:
    """A key of a map: a number or a text, and none twice. Python would take `true` and 1.0 for 1, and the last one."""
    assert holder.keys is not None  # noqa: S101 - only maps have keys
    if major not in (_UNSIGNED, _NEGATIVE, _TEXT) or (major, value) in holder.keys:
        raise WireError(Fault.MALFORMED, "a key that comes twice, or is neither number nor text")
    holder.keys.add((major, value))


def _head(data: bytes, position: int) -> tuple[int, int, int]:
    """Major type, argument and the position after the head of the item at `position`."""
    if position >= len(data):
        raise WireError(Fault.MALFORMED, "cut short")
    major, info = data[position] >> 5, data[position] & 0x1F
    position += 1
    if info < _SHORT:
        return major, info, position
    if info > _LONGEST:
        raise WireError(Fault.MALFORMED, "indefinite or reserved length")
    size = 1 << (info - _SHORT)
    if position + size > len(data):
        raise WireError(Fault.MALFORMED, "cut short")
    # A float's eight bytes are no count; nothing follows them.
    argument = 0 if major == _SIMPLE else int.from_bytes(data[position : position + size], "big")
    return major, argument, position + size
