"""What every reader returns, whatever the document: holder, portrait and a verdict for each check."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from firmware_bridge.errors import Code


class DocumentKind(StrEnum):
    """The documents that a terminal reads."""

    PASSPORT = "passport"
    ID_CARD = "id_card"
    RESIDENT_CARD = "resident_card"
    HMT_RESIDENCE_PERMIT = "hmt_residence_permit"
    FOREIGN_PERMANENT_RESIDENT = "foreign_permanent_resident"


class Access(StrEnum):
    """How the chip let the terminal in."""

    PACE = "pace"
    #: PACE by chip authentication mapping, told only where the mapping has proven the chip.
    PACE_CAM = "pace-cam"
    BAC = "bac"
    SAM = "sam"
    NONE = "none"


class CheckName(StrEnum):
    """Authenticity checks; a document carries each at most once."""

    PASSIVE = "passive_authentication"
    CHIP = "chip_authentication"
    ACTIVE = "active_authentication"
    SAM = "sam_authentication"
    EXPIRY = "expiry"


class Verdict(StrEnum):
    """What a check found. Only `PASSED` ever counts for the holder."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_PRESENT = "not_present"
    NOT_TRUSTED = "not_trusted"


@dataclass(frozen=True, slots=True)
class Check:
    """One verdict with its reason (no personal data in it) and, unless it passed, the failure code that fits it."""

    verdict: Verdict
    reason: str = ""
    code: Code | None = None

    @property
    def passed(self) -> bool:
        """Whether the check counts for the holder."""
        return self.verdict is Verdict.PASSED


class PortraitFormat(StrEnum):
    """Encodings of a portrait; WLT is proprietary and stays opaque without a licensed decoder."""

    JPEG = "image/jpeg"
    JPEG2000 = "image/jp2"
    WLT = "application/x-wlt"


@dataclass(frozen=True, slots=True, repr=False)
class Portrait:
    """The holder's picture as the chip stores it."""

    data: bytes
    format: PortraitFormat


@dataclass(frozen=True, slots=True, repr=False)
class Holder:
    """The person that the document names. No `repr`: it must not reach a log by accident."""

    surname: str
    given_names: str
    sex: str = ""
    birth_date: date | None = None
    nationality: str = ""
    native_name: str = ""
    personal_number: str = ""
    ethnicity: str = ""
    address: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class Document:
    """A document read to its end. `checks` has an entry for every check that applies to this kind."""

    kind: DocumentKind
    number: str
    issuing_state: str
    holder: Holder
    portrait: Portrait | None
    access: Access
    checks: Mapping[CheckName, Check]
    valid_from: date | None = None
    valid_until: date | None = None
    issuing_authority: str = ""
    #: SHA-256 of each data group as read, by name ("DG1"): evidence that names the data without showing it.
    digests: Mapping[str, bytes] = field(default_factory=dict)
    #: Seconds spent in each phase of the read, in order.
    phases: Mapping[str, float] = field(default_factory=dict)

    def check(self, name: CheckName) -> Check:
        """The verdict for `name`, `NOT_PRESENT` if the document has none."""
        return self.checks.get(name, Check(Verdict.NOT_PRESENT))
