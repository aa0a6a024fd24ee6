"""The state of one verification, and what is asked of it."""

import threading
from dataclasses import dataclass, field
from time import monotonic

from agent.biometrics.liveness.challenge import Challenge
from agent.biometrics.liveness.policy import LivenessPolicy
from agent.biometrics.types import Comparison, FaceEvidence
from agent.verification.judge import DocumentPolicy
from agent.wire import claims
from firmware_bridge.document import Document
from firmware_bridge.reader import AccessKey


@dataclass(frozen=True, slots=True)
class Policy:
    """What is asked of everyone who comes."""

    document: DocumentPolicy
    liveness: LivenessPolicy
    relying_party: str
    purpose: str
    software_version: str
    configuration: claims.ConfigurationId
    models: tuple[claims.ModelDigest, ...]
    key_timeout: float
    document_timeout: float
    face_timeout: float
    decision_timeout: float
    allow_bac_fallback: bool = False


@dataclass(slots=True, repr=False)
class Case:
    """The state of one verification: what is known so far. `wipe` forgets the person."""

    challenge: Challenge
    started: float = field(default_factory=monotonic)
    cancel: threading.Event = field(default_factory=threading.Event)
    key: AccessKey | None = None
    document: Document | None = None
    face: FaceEvidence | None = None
    comparison: Comparison | None = None
    decision: claims.Decision | None = None
    #: The failure code that speaks against the holder, as the terminal sees it.
    fault: str = ""
    phases: dict[str, float] = field(default_factory=dict)

    def wipe(self) -> None:
        """Drop key, document, face and comparison; codes and times remain."""
        self.key = self.document = self.face = self.comparison = None


class timed:  # noqa: N801  # reads as the statement that it is: with timed(case, "document")
    """Note how long a phase took, also when it failed."""

    def __init__(self, case: Case, phase: str) -> None:
        self._case, self._phase = case, phase
        self._start = monotonic()

    def __enter__(self) -> None:
        self._start = monotonic()

    def __exit__(self, *_error: object) -> None:
        self._case.phases[self._phase] = monotonic() - self._start
