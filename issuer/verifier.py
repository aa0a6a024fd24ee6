"""One request, from sealed bytes to a signed decision: every check in order, the first that fails is the reason.

Seal, chain, terminal, signature, context, epoch, counter and replay concern the message (RFC 9334's verifier); only
then does the policy look at the evidence. A refusal is signed and counted as an acceptance is; what could not be opened
is answered by the correlation data alone.
"""

import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy.engine import Engine

from agent.wire import chain, envelope
from agent.wire.claims import Decision, HolderData, Request
from agent.wire.envelope import Opened
from agent.wire.errors import WireError
from agent.wire.keys import PublicKey, SoftwareSigner, thumbprint
from agent.wire.refusals import Refusal, of_error
from issuer import certificates, policy, store
from issuer.epoch_source import accepted
from issuer.layout import Layout
from issuer.policy import Settings
from issuer.store import StoredEpoch

_LOG = logging.getLogger(__name__)

REQUEST_ID_SIZE = 16


def certificate_time(now: float) -> datetime:
    """The moment `now` (seconds since 1970) as certificates have it."""
    return datetime.fromtimestamp(now, UTC)


class _RefusedError(Exception):
    """A request that does not reach the policy."""

    def __init__(self, reason: Refusal) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True, repr=False)
class IssuerKeys:
    """The issuer's own keys and the authority that it takes evidence under."""

    signing: SoftwareSigner
    sealing: dict[bytes, ec.EllipticCurvePrivateKey]
    evidence_authority: x509.Certificate


def load_keys(layout: Layout) -> IssuerKeys:
    """The keys below the issuer's folder."""
    sealing = certificates.load_key(layout.key("sealing"))
    return IssuerKeys(
        signing=SoftwareSigner(certificates.load_key(layout.key("signing"))),
        sealing={thumbprint(sealing.public_key()): sealing},
        evidence_authority=certificates.load_certificate(layout.authority("evidence")),
    )


@dataclass(frozen=True, slots=True, repr=False)
class _Verified:
    request: Request
    holder: HolderData | None
    opened: Opened
    signed_epoch: bytes


class Verifier:
    """Decides on requests. Safe to call from several threads; its state is the database."""

    def __init__(
        self, engine: Engine, settings: Settings, keys: IssuerKeys, *, now: Callable[[], float] = time.time
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._keys = keys
        self._now = now

    def answer(self, terminal: str, correlation: bytes, sealed: bytes) -> bytes:
        """The signed decision on `sealed`, which came on the topic of `terminal` with 16 bytes of correlation data."""
        opened: Opened | None = None
        epochs = store.newest_epochs(self._engine)
        try:
            opened = envelope.unseal(sealed, self._keys.sealing, issuer=self._settings.name, terminal=terminal)
            verified = self._verify(terminal, correlation, opened, accepted(epochs, self._now()))
        except WireError as error:
            return self._refuse(terminal, correlation, opened, of_error(error), epochs)
        except _RefusedError as refused:
            return self._refuse(terminal, correlation, opened, refused.reason, epochs)
        return self._decide(verified, epochs[0].epoch_id)

    def _verify(self, terminal: str, correlation: bytes, opened: Opened, epochs: dict[bytes, bytes]) -> _Verified:
        attester: chain.Attester | None = None

        def key_of(certificates_der: tuple[bytes, ...]) -> PublicKey:
            nonlocal attester
            attester = chain.attester(certificates_der, [self._keys.evidence_authority], at=self._time())
            self._check_known(attester, terminal)
            return attester.public_key

        request = envelope.read_request(opened.signed, key_of, issuer=self._settings.name, terminal=terminal)
        if attester is None or request.ueid != attester.ueid or request.request_id != correlation:
            raise _RefusedError(Refusal.CONTEXT)
        holder = envelope.read_holder(opened.holder, request)
        if request.epoch not in epochs:
            raise _RefusedError(Refusal.EPOCH)
        if not store.advance_counter(self._engine, thumbprint(attester.public_key).hex(), request.counter):
            repeated = store.was_decided(self._engine, terminal, request.request_id)
            raise _RefusedError(Refusal.REPLAY if repeated else Refusal.COUNTER)
        return _Verified(request, holder, opened, epochs[request.epoch])

    def _check_known(self, attester: chain.Attester, terminal: str) -> None:
        if attester.terminal != terminal:
            raise _RefusedError(Refusal.CONTEXT)
        state = store.key_state(self._engine, thumbprint(attester.public_key).hex())
        if state is None or state.terminal != terminal:
            raise _RefusedError(Refusal.UNKNOWN_TERMINAL)
        if state.revoked:
            raise _RefusedError(Refusal.REVOKED)
        if not self._settings.policy.takes(attester.public_key):
            raise _RefusedError(Refusal.SUITE)

    def _decide(self, verified: _Verified, epoch: bytes) -> bytes:
        request = verified.request
        reasons = policy.decide(self._settings.policy, request, verified.holder, self._time().date())
        decision = self._decision(
            request.terminal, request.request_id, reasons, epoch=epoch, digest=verified.opened.digest
        )
        signed = envelope.sign_decision(decision, self._keys.signing)
        store.add_decision(
            self._engine,
            {
                "decision_id": decision.decision_id.hex(),
                "terminal": request.terminal,
                "request_id": request.request_id.hex(),
                "relying_party": request.relying_party,
                "outcome": decision.outcome,
                "reasons": list(reasons),
                "token": verified.opened.signed,
                "epoch": verified.signed_epoch,
                "decision": signed,
                "holder": policy.kept(self._settings.policy, verified.holder),
            },
        )
        for reason in reasons[:1]:
            store.count_refusal(self._engine, reason)
        _LOG.info("%s %s %s %s", request.terminal, request.request_id.hex(), decision.outcome, ",".join(reasons))
        return signed

    def _refuse(
        self, terminal: str, request_id: bytes, opened: Opened | None, reason: str, epochs: list[StoredEpoch]
    ) -> bytes:
        store.count_refusal(self._engine, reason)
        _LOG.warning("%s %s refused %s", terminal, request_id.hex(), reason)
        decision = self._decision(
            terminal, request_id, (reason,), epoch=epochs[0].epoch_id, digest=None if opened is None else opened.digest
        )
        return envelope.sign_decision(decision, self._keys.signing)

    def _decision(
        self, terminal: str, request_id: bytes, reasons: tuple[str, ...], *, epoch: bytes, digest: bytes | None
    ) -> Decision:
        return Decision(
            issuer=self._settings.name,
            terminal=terminal,
            issued_at=int(self._now()),
            decision_id=secrets.token_bytes(16),
            epoch=epoch,
            request_id=request_id,
            request_digest=digest,
            outcome="refused" if reasons else "accepted",
            reasons=tuple(str(reason) for reason in reasons),
        )

    def _time(self) -> datetime:
        return certificate_time(self._now())
