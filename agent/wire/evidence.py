"""Evidence that lasts: what an issuer keeps of one verification, and every check on it repeated offline.

A record holds three signed messages: the terminal's token, the epoch that it names and the issuer's decision. Nothing
in them is personal. Dates of certificates are judged at the epoch's own time, so a record outlives the certificates.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, TypeVar

from cryptography import x509
from pydantic import Field

from agent.wire import chain, claims, cose, envelope, epochs
from agent.wire.chain import Attester
from agent.wire.claims import Decision, Request
from agent.wire.envelope import DECISION_LIMIT
from agent.wire.epochs import Epoch
from agent.wire.errors import Fault, WireError
from agent.wire.keys import KeyRing, PublicKey
from agent.wire.message import STRICT, Key, Versioned

_T = TypeVar("_T")

#: A decision names a moment after its epoch: at most the two epochs that an issuer takes, and some for its own work.
_SLACK = 60


class EvidenceRecord(Versioned):
    """The three signed messages of one verification."""

    token: Annotated[Annotated[bytes, STRICT, Field(max_length=claims.REQUEST_LIMIT)], Key(1)]
    epoch: Annotated[Annotated[bytes, STRICT, Field(max_length=epochs.LIMIT)], Key(2)]
    decision: Annotated[Annotated[bytes, STRICT, Field(max_length=DECISION_LIMIT)], Key(3)]


RECORD_LIMIT = claims.REQUEST_LIMIT + epochs.LIMIT + DECISION_LIMIT + 1024


@dataclass(frozen=True, slots=True)
class Finding:
    """One check and what it found: `problem` is empty when it holds."""

    check: str
    problem: str = ""

    @property
    def holds(self) -> bool:
        """Whether the check holds."""
        return not self.problem


@dataclass(frozen=True, slots=True, repr=False)
class Trust:
    """Whom the reader of a record believes."""

    issuer: str
    signing: KeyRing
    evidence_authorities: Sequence[x509.Certificate]


class _Inspection:
    """The checks on one record, in the order in which each rests on those before it."""

    def __init__(self, record: EvidenceRecord, trust: Trust) -> None:
        self._record = record
        self._trust = trust
        self._epoch: Epoch | None = None
        self._attester: Attester | None = None
        self.request: Request | None = None
        self.decision: Decision | None = None

    def epoch_is_signed(self) -> bool:
        self._epoch = epochs.verify(self._record.epoch, self._trust.signing, self._trust.issuer)
        return True

    def certificate_was_valid(self) -> bool:
        at = datetime.fromtimestamp(_known(self._epoch).issued_at, UTC)
        certificates = cose.inspect(self._record.token, limit=claims.REQUEST_LIMIT).chain
        self._attester = chain.attester(certificates, self._trust.evidence_authorities, at=at)
        return True

    def token_is_signed(self) -> bool:
        attester = _known(self._attester)

        def key_of(_chain: tuple[bytes, ...]) -> PublicKey:
            return attester.public_key

        token, issuer = self._record.token, self._trust.issuer
        self.request = envelope.read_request(token, key_of, issuer=issuer, terminal=attester.terminal)
        return True

    def device_is_the_same(self) -> bool:
        return _known(self.request).ueid == _known(self._attester).ueid

    def epoch_is_named(self) -> bool:
        return _known(self.request).epoch == _known(self._epoch).epoch_id

    def decision_is_signed(self) -> bool:
        terminal = _known(self.request).terminal
        self.decision = envelope.read_decision(
            self._record.decision, self._trust.signing, issuer=self._trust.issuer, terminal=terminal
        )
        return True

    def decision_is_on_the_token(self) -> bool:
        decision = _known(self.decision)
        named = decision.request_digest == claims.request_digest(self._record.token)
        return named and decision.request_id == _known(self.request).request_id

    def decision_is_in_time(self) -> bool:
        epoch = _known(self._epoch)
        return 0 <= _known(self.decision).issued_at - epoch.issued_at <= 2 * epoch.interval + _SLACK


_CHECKS: tuple[tuple[str, Callable[[_Inspection], bool], str], ...] = (
    ("the epoch is signed by the issuer", _Inspection.epoch_is_signed, ""),
    ("the device certificate was valid at the epoch", _Inspection.certificate_was_valid, ""),
    ("the token is signed by the device key, for this issuer", _Inspection.token_is_signed, ""),
    ("token and certificate name the same device", _Inspection.device_is_the_same, "they name two"),
    ("the token names the epoch", _Inspection.epoch_is_named, "it names another"),
    ("the decision is signed by the issuer, for this terminal", _Inspection.decision_is_signed, ""),
    ("the decision is on this token", _Inspection.decision_is_on_the_token, "it is on another"),
    ("the decision was made in the epoch's time", _Inspection.decision_is_in_time, "it was made at another"),
)


def verify(record: EvidenceRecord, trust: Trust) -> tuple[list[Finding], Request | None, Decision | None]:
    """Every check on `record`, in order; token and decision only when all of them hold."""
    inspection = _Inspection(record, trust)
    findings = [_finding(inspection, name, check, otherwise) for name, check, otherwise in _CHECKS]
    if not all(finding.holds for finding in findings):
        return findings, None, None
    return findings, inspection.request, inspection.decision


def _finding(inspection: _Inspection, name: str, check: Callable[[_Inspection], bool], otherwise: str) -> Finding:
    try:
        return Finding(name, "" if check(inspection) else otherwise)
    except WireError as error:
        return Finding(name, f"{error} ({error.fault})")


def _known(value: _T | None) -> _T:
    """What an earlier check has established."""
    if value is None:
        raise WireError(Fault.CONTEXT, "an earlier check, on which this one rests, does not hold")
    return value
