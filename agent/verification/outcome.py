"""How a verification ended: exactly one outcome, with a code of the failure catalogue unless the holder is verified."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from agent.failures import lookup


class Result(StrEnum):
    """`REFUSED` is a decision about the person or the document; `FAILED` means that none could be made."""

    VERIFIED = "verified"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of one verification. It holds nothing personal: the audit and the metrics keep it."""

    result: Result
    #: Failure code, "" when verified.
    code: str = ""
    #: The request that the issuer decided, as hexadecimal; "" when none was sent.
    request: str = ""
    #: Seconds spent in each phase, in order.
    phases: Mapping[str, float] = field(default_factory=dict)
    #: The face's similarity to the portrait and the threshold, when they were compared (no personal data in a number).
    similarity: float | None = None
    threshold: float | None = None
    #: The issuer's own reasons, when it refused.
    reasons: tuple[str, ...] = ()

    @property
    def retry(self) -> bool:
        """Whether the person may simply try again."""
        return self.result is not Result.VERIFIED and lookup(self.code).retry
