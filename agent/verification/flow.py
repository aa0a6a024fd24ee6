"""One verification: a flat list of steps over one typed context, with a deadline on each and one outcome at the end.

The document and the camera work side by side, so that the way to a decision takes the longer of the two and not their
sum. What speaks against the document ends the look at the face at once. Whatever was found goes to the issuer, signed;
the holder's data goes only when nothing speaks against the holder. Both must say yes: the terminal and the issuer.
"""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from time import monotonic
from typing import Protocol

from agent.biometrics.liveness.challenge import Challenge
from agent.biometrics.liveness.lockout import Lockout
from agent.biometrics.probe import to_jpeg
from agent.biometrics.types import STAFFED, FaceEvidence
from agent.failures import RenzhengError
from agent.threads import WorkerStuckError
from agent.verification import evidence
from agent.verification.camera import Camera, Prompt
from agent.verification.case import Case, Policy, timed
from agent.verification.inputs import Inputs
from agent.verification.judge import document_fault, face_fault, speaks_against
from agent.verification.outcome import Outcome, Result
from agent.verification.presenter import Presenter
from agent.wire import claims
from firmware_bridge.document import Document
from firmware_bridge.errors import BridgeError
from firmware_bridge.reader import Progress, ReadRequest

log = logging.getLogger(__name__)

#: Seconds that decoding and comparing one portrait may take.
COMPARE_TIMEOUT = 5.0
#: Seconds that a broker which is away gets before the person is told.
REACH_TIMEOUT = 1.0
#: Seconds between two looks for a code before the camera, and after a look that failed.
CODE_PAUSE, CODE_AGAIN = 0.3, 1.0
#: A cancelled read or capture gets this long to come back before its thread is left behind.
CANCEL_TIMEOUT = 3.0


class Reading(Protocol):
    """What the flow asks of a reader: a coroutine over its thread."""

    needs_key: bool

    async def read(self, request: ReadRequest) -> Document:
        """Read the document that lies there; raises BridgeError."""


class Deciding(Protocol):
    """What the flow asks of the issuer's client. Deadlines are in the loop's time."""

    async def reach(self, *, deadline: float) -> None:
        """Wait until the issuer could be asked; raises RenzhengError."""

    async def verify(
        self, evidence: claims.Evidence, holder: claims.HolderData | None, *, deadline: float
    ) -> claims.Decision:
        """Send signed and sealed evidence and return the checked decision, before `deadline`.

        Raises:
            RenzhengError: no decision, or none that can be believed.
        """


class Verifier:
    """Runs verifications one after the other, on one camera and one issuer."""

    def __init__(
        self,
        camera: Camera,
        issuer: Deciding,
        presenter: Presenter,
        inputs: Inputs,
        policy: Policy,
        draw: Callable[[], Challenge],
    ) -> None:
        self._camera, self._issuer = camera, issuer
        self._presenter, self._inputs = presenter, inputs
        self._draw = draw
        self._lockout = Lockout()
        self.policy = policy

    async def verify(self, reader: Reading) -> Outcome:
        """One verification of the document on `reader`. Always returns an outcome; afterwards nothing is kept."""
        case = Case(self._draw())
        self._inputs.begin()
        self._presenter.begin(len(case.challenge.steps))
        try:
            outcome = await self._run(case, reader)
        except Exception:
            log.exception("verification ended by an unexpected error")
            outcome = Outcome(Result.FAILED, "internal.error", phases=case.phases)
        finally:
            case.cancel.set()
            case.wipe()
            self._inputs.clear()
        case.phases["whole"] = monotonic() - case.started
        self._presenter.end(outcome)
        return outcome

    async def _run(self, case: Case, reader: Reading) -> Outcome:
        steps = (self._admit, self._reach, self._obtain_key, self._capture, self._judge, self._compare, self._decide)
        try:
            async with self._cancellable():
                for step in steps:
                    await step(case, reader)
        except (BridgeError, RenzhengError) as error:
            log.info("verification ended: %s", error.code)
            # What was already found against the holder stands, also when the issuer cannot be told.
            result = Result.REFUSED if case.fault else Result.FAILED
            return Outcome(result, case.fault or str(error.code), phases=case.phases)
        return self._conclude(case)

    async def _admit(self, _case: Case, _reader: Reading) -> None:
        """Nobody tries again and again: after some failures of liveness the terminal waits."""
        if self._lockout.wait(monotonic()) > 0:
            raise RenzhengError("liveness.locked", "too many attempts failed")

    async def _reach(self, case: Case, _reader: Reading) -> None:
        """Ask nobody for anything while no decision can be had."""
        with timed(case, "reach"):
            await self._issuer.reach(deadline=asyncio.get_running_loop().time() + REACH_TIMEOUT)

    async def _obtain_key(self, case: Case, reader: Reading) -> None:
        """Wait for the machine-readable lines, where the chip asks for them: scanned, typed, or shown to the camera."""
        if not reader.needs_key:
            return
        self._presenter.need_key()
        eyes = asyncio.create_task(self._watch_for_codes(), name="codes")
        with timed(case, "key"):
            try:
                async with asyncio.timeout(self.policy.key_timeout):
                    case.key = await self._inputs.take()
            except TimeoutError:
                raise RenzhengError("document.key_missing", "no key arrived in time") from None
            finally:
                eyes.cancel()

    async def _watch_for_codes(self) -> None:
        """A code held before the camera is as good as a scanned one; without a camera there is still a scanner."""
        while True:
            await asyncio.sleep(CODE_PAUSE)
            try:
                texts = await self._camera.codes()
            except Exception as error:  # noqa: BLE001  # a driver raises what it likes
                log.info("the camera cannot look for codes now: %s", type(error).__name__)
                await asyncio.sleep(CODE_AGAIN)
                continue
            for text in texts:
                self._inputs.scanned(text)

    async def _capture(self, case: Case, reader: Reading) -> None:
        """Read the document while the camera looks at the person; a fault of the one ends the other."""
        self._presenter.reading()
        tasks = [
            asyncio.create_task(self._read(case, reader), name="document"),
            asyncio.create_task(self._look(case), name="face"),
        ]
        try:
            await _first_error(tasks)
        finally:
            case.cancel.set()
            try:
                await asyncio.wait(tasks, timeout=CANCEL_TIMEOUT)
            finally:
                for task in tasks:
                    # The first error was raised above; what followed from it is of no interest.
                    if not task.cancel() and not task.cancelled():
                        task.exception()

    async def _read(self, case: Case, reader: Reading) -> None:
        loop = asyncio.get_running_loop()

        def show(step: Progress) -> None:
            # A reader that comes back late tells nothing about the person who stands there then.
            if not case.cancel.is_set():
                self._presenter.document(step)

        def progress(step: Progress) -> None:
            loop.call_soon_threadsafe(show, step)

        request = ReadRequest(
            key=case.key,
            nonce=secrets.token_bytes(8),
            timeout=self.policy.document_timeout,
            allow_bac_fallback=self.policy.allow_bac_fallback,
            progress=progress,
            cancel=case.cancel,
        )
        with timed(case, "document"):
            try:
                case.document = await reader.read(request)
            except TimeoutError:
                raise RenzhengError("document.timeout", "the read missed its deadline") from None
            except WorkerStuckError:
                raise RenzhengError("reader.gone", "the reader has not come back from an earlier call") from None
        case.fault = document_fault(case.document, self.policy.document)
        if case.fault:
            case.cancel.set()
        self._presenter.document_done()

    async def _look(self, case: Case) -> None:
        def prompt(shown: Prompt) -> None:
            if not case.cancel.is_set():
                self._presenter.face(shown)

        with timed(case, "face"):
            try:
                case.face = await self._camera.capture(
                    self.policy.liveness,
                    case.challenge,
                    timeout=self.policy.face_timeout,
                    prompt=prompt,
                    cancel=case.cancel,
                    staffed=self._inputs.staffed,
                )
            except (TimeoutError, WorkerStuckError):
                raise RenzhengError("camera.gone", "the camera missed its deadline") from None
        if case.face.failure == STAFFED:
            raise RenzhengError(STAFFED, "the person asked for the staff")
        self._presenter.face_done()

    async def _judge(self, case: Case, _reader: Reading) -> None:
        """What the terminal itself makes of it. Who does not show to be alive is refused, and the issuer is told so."""
        if case.fault or case.face is None:
            return
        fault = face_fault(case.face)
        if not fault:
            self._lockout.passed(monotonic())
        elif not speaks_against(case.face, fault):
            raise RenzhengError(fault, "there is no face to judge")
        elif fault.startswith("liveness."):
            self._lockout.failed(monotonic())
        case.fault = fault

    async def _compare(self, case: Case, _reader: Reading) -> None:
        """The living face against the chip's portrait, where this terminal can decode it."""
        document, face = case.document, case.face
        if case.fault or document is None or face is None or face.template is None:
            return
        if document.portrait is None:
            raise RenzhengError("document.no_portrait", "the document holds no portrait")
        if not evidence.comparable(document):
            return
        with timed(case, "compare"):
            try:
                case.comparison = await self._camera.compare(face.template, document.portrait.data, COMPARE_TIMEOUT)
            except (TimeoutError, WorkerStuckError):
                raise RenzhengError("camera.gone", "the comparison missed its deadline") from None
        if not case.comparison.match:
            case.fault = "face.mismatch"

    async def _decide(self, case: Case, _reader: Reading) -> None:
        """Seal what was found, send it, and await the signed decision."""
        document = case.document
        if document is None:
            raise RenzhengError("internal.error", "no document after a read that raised nothing")
        self._presenter.deciding()
        face = None if case.face is None or not case.face.frames else case.face
        attested = claims.Evidence(
            document=evidence.document_claims(document),
            face=face and evidence.face_claims(face, case.comparison),
            models=self.policy.models,
            configuration=self.policy.configuration,
            relying_party=self.policy.relying_party,
            purpose=self.policy.purpose,
            software_version=self.policy.software_version,
        )
        holder = None if case.fault else evidence.holder_claims(document, _probe_for(document, face))
        deadline = asyncio.get_running_loop().time() + self.policy.decision_timeout
        with timed(case, "decision"):
            case.decision = await self._issuer.verify(attested, holder, deadline=deadline)

    def _conclude(self, case: Case) -> Outcome:
        decision, comparison = case.decision, case.comparison
        if decision is None:
            return Outcome(Result.FAILED, "internal.error", phases=case.phases)
        code = case.fault or ("" if decision.accepted else next(iter(decision.reasons), "issuer.refused"))
        return Outcome(
            result=Result.VERIFIED if not code else Result.REFUSED,
            code=code,
            request=decision.request_id.hex(),
            phases=case.phases,
            similarity=None if comparison is None else float(comparison.similarity),
            threshold=None if comparison is None else float(comparison.threshold),
            reasons=decision.reasons,
        )

    @asynccontextmanager
    async def _cancellable(self) -> AsyncIterator[None]:
        """Turn the person's wish to stop into `verification.cancelled`."""
        body = asyncio.current_task()
        stopped = False

        async def watch() -> None:
            nonlocal stopped
            await self._inputs.cancelled.wait()
            stopped = True
            if body is not None:
                body.cancel()

        watcher = asyncio.create_task(watch(), name="cancel")
        try:
            yield
        except asyncio.CancelledError:
            # Whoever else ends the task means all of it: that is not the person's to take back.
            if not stopped or body is None or body.uncancel() > 0:
                raise
            raise RenzhengError("verification.cancelled", "the person ended it") from None
        finally:
            watcher.cancel()


def _probe_for(document: Document, face: FaceEvidence | None) -> bytes | None:
    """The living face for the issuer, where only the issuer can compare."""
    if evidence.comparable(document) or face is None or face.probe is None:
        return None
    return to_jpeg(face.probe)


async def _first_error(tasks: list[asyncio.Task[None]]) -> None:
    """Wait for all; the first that fails raises here and ends the others' wait."""
    waiting: Awaitable[tuple[set[asyncio.Task[None]], set[asyncio.Task[None]]]] = asyncio.wait(
        tasks, return_when=asyncio.FIRST_EXCEPTION
    )
    done, _pending = await waiting
    for task in done:
        task.result()
