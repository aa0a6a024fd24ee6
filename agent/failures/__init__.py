"""The one catalogue of failure codes: for each its cause, its remedy, and a sentence for the person at the terminal.

`catalogue.toml` is the source; `docs/failures.md` is generated from it (`python -m agent.failures`). A code is a stable
string such as `document.removed`; its number is what a person reads to the operator over the phone.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources


@dataclass(frozen=True, slots=True)
class Failure:
    """One entry of the catalogue."""

    code: str
    number: int
    cause: str
    remedy: str
    #: What the screen says, by language ("en", "zh").
    person: Mapping[str, str]
    #: Whether the person may simply try again.
    retry: bool


class RenzhengError(Exception):
    """An error of the agent with a code of the catalogue; its text never holds personal data."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code

    def __str__(self) -> str:
        return f"{super().__str__()} [{self.code}]"


@cache
def catalogue() -> Mapping[str, Failure]:
    """All failures by code, in the catalogue's order.

    Raises:
        ValueError: two codes share a number, or an entry lacks a field.
    """
    tables = tomllib.loads(resources.files(__name__).joinpath("catalogue.toml").read_text("utf-8"))
    failures = {code: _entry(code, table) for code, table in tables.items()}
    numbers = [failure.number for failure in failures.values()]
    if len(set(numbers)) != len(numbers):
        doubled = sorted({number for number in numbers if numbers.count(number) > 1})
        raise ValueError(f"numbers used twice in catalogue.toml: {doubled}")
    return failures


def _entry(code: str, table: Mapping[str, object]) -> Failure:
    try:
        person = table["person"]
        if not isinstance(person, dict) or not {"en", "zh"} <= set(person):
            raise ValueError(f"{code}: person needs en and zh")
        return Failure(
            code=code,
            number=int(str(table["number"])),
            cause=str(table["cause"]),
            remedy=str(table["remedy"]),
            person={str(language): str(text) for language, text in person.items()},
            retry=bool(table["retry"]),
        )
    except KeyError as error:
        raise ValueError(f"{code}: {error} is missing in catalogue.toml") from error


def lookup(code: str) -> Failure:
    """The entry for `code`; an unknown code becomes `internal.error`, so that a failure is always told."""
    return catalogue().get(code) or catalogue()["internal.error"]
