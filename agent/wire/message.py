"""Messages as frozen records on one side and CBOR maps with integer keys on the other.

A field names its key in its annotation: `counter: Annotated[int, Key(-75002)]`. Values are checked when a message is
made and when it is read: the same bounds on both ends. Absent (None) fields are not encoded.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Strict, StringConstraints, ValidationError, ValidationInfo, model_validator
from typing_extensions import TypedDict

from agent.wire import bounded
from agent.wire.errors import Fault, WireError

#: Major and minor version of the contract. A newer minor may add keys, which are ignored; a newer major is refused.
VERSION = (1, 0)
VERSION_KEY = -75000

#: Names of checks, parts, roles, reasons: what codes are made of.
TOKEN = StringConstraints(strict=True, pattern=r"\A[a-z0-9][a-z0-9._-]{0,63}\z")
STRICT = Strict()


class Key(int):
    """The integer key of a field on the wire."""


class _Context(TypedDict):
    """What validation needs to know of the message around a record."""

    newer: bool


class Message(BaseModel):
    """A record of the contract. Frozen; unknown keys are refused unless the sender speaks a newer minor version."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True
    )

    @model_validator(mode="before")
    @classmethod
    def _names(cls, data: Any, info: ValidationInfo) -> Any:
        # Without a context the record is being made by our own code, from names.
        if info.context is None or not isinstance(data, dict):
            return data
        names = {key: name for name, key in keys(cls).items()}
        if not info.context["newer"] and not data.keys() <= names.keys():
            raise ValueError("a key that this version does not know")
        return {names[key]: value for key, value in data.items() if key in names}

    def to_map(self) -> dict[int, Any]:
        """The CBOR map of this record."""
        fields = ((key, getattr(self, name)) for name, key in keys(type(self)).items())
        return {key: _plain(value) for key, value in fields if value is not None}

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    __str__ = __repr__


class Versioned(Message):
    """A message that stands alone: it carries the contract's version."""

    def encode(self) -> bytes:
        """The message in deterministic CBOR."""
        return bounded.encode({VERSION_KEY: list(VERSION), **self.to_map()})

    @classmethod
    def decode(cls, data: bytes, *, limit: int) -> Self:
        """The message that `data` holds.

        Raises:
            WireError: `version`, `limit` or `malformed`.
        """
        return cls.from_map(bounded.decode(data, limit=limit))

    @classmethod
    def from_map(cls, value: Any) -> Self:
        """The message that a decoded CBOR map holds; errors as `decode`."""
        if not isinstance(value, dict):
            raise WireError(Fault.MALFORMED, "not a map")
        fields = dict(value)
        newer = _is_newer(fields.pop(VERSION_KEY, None))
        try:
            return cls.model_validate(fields, context=_Context(newer=newer))
        except ValidationError as error:
            places = sorted({".".join(str(step) for step in detail["loc"]) or "message" for detail in error.errors()})
            raise WireError(Fault.MALFORMED, f"not a valid {cls.__name__}: {', '.join(places)[:200]}") from None


@cache
def keys(model: type[Message]) -> Mapping[str, int]:
    """Field names of a record and their keys on the wire, in order."""
    found = {
        name: int(next(entry for entry in field.metadata if isinstance(entry, Key)))
        for name, field in model.model_fields.items()
    }
    if len(set(found.values())) != len(found):
        raise ValueError(f"{model.__name__}: two fields share a key")
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, Message):
        return value.to_map()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _is_newer(version: Any) -> bool:
    well_formed = isinstance(version, list) and len(version) == len(VERSION) and all(type(n) is int for n in version)
    if not well_formed:
        raise WireError(Fault.VERSION, "no version")
    major, minor = version
    if major != VERSION[0]:
        raise WireError(Fault.VERSION, f"major version {major}, this end speaks {VERSION[0]}")
    return bool(minor > VERSION[1])
