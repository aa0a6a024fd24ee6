"""The languages of the page: one TOML file each in `languages/`, and nothing else to add one.

A file has a name, a direction, a speech tag, the page's own sentences under `[page]`, and, for languages beyond those
of the failure catalogue, the sentences for failures under `[failures]`. What a file leaves out is said in English.
"""

import tomllib
from collections.abc import Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from agent.failures import catalogue

#: The language that fills the gaps of all others.
REFERENCE = "en"


class Language(BaseModel):
    """One language file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: What its own speakers call it; shown on the button that chooses it.
    name: str = Field(min_length=1, max_length=24)
    direction: Literal["ltr", "rtl"] = "ltr"
    #: BCP 47 tag: for the `lang` attribute and for the voice of the spoken prompts.
    tag: str = Field(pattern=r"^[A-Za-z0-9-]{2,35}$")
    page: Mapping[str, str]
    failures: Mapping[str, str] = {}

    def telling(self, help_at: str) -> "Language":
        """This language with the operator's own words for where the staff is, if there are any."""
        return self.model_copy(update={"page": {**self.page, "staff_body": help_at}}) if help_at else self


def load_languages(folder: Traversable | None = None) -> Mapping[str, Language]:
    """All languages by code, complete: missing sentences are the English ones, failures come from the catalogue.

    Raises:
        ValueError: a file does not follow the schema, or has a sentence that the page does not know.
    """
    folder = folder or resources.files(__package__).joinpath("languages")
    files = sorted(file.name for file in folder.iterdir() if file.name.endswith(".toml"))
    read = {name.removesuffix(".toml"): _read(folder.joinpath(name)) for name in files}
    if REFERENCE not in read:
        raise ValueError(f"{REFERENCE}.toml is missing: it says what every language says")
    return {code: _complete(code, language, read[REFERENCE]) for code, language in read.items()}


def _read(file: Traversable) -> Language:
    return Language.model_validate(tomllib.loads(file.read_text("utf-8")))


def _complete(code: str, language: Language, reference: Language) -> Language:
    unknown = (set(language.page) - set(reference.page)) | (set(language.failures) - set(catalogue()))
    if unknown:
        raise ValueError(f"{code}.toml has sentences that nothing asks for: {sorted(unknown)}")
    failures = {
        failure.code: language.failures.get(failure.code) or failure.person.get(code) or failure.person[REFERENCE]
        for failure in catalogue().values()
    }
    return language.model_copy(update={"page": {**reference.page, **language.page}, "failures": failures})
