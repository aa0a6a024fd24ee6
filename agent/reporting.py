"""What is left of a verification when it has ended: codes and times, to the audit, the issuer, the metrics, the log."""

import asyncio
import json
import logging
import secrets
from collections.abc import Awaitable
from pathlib import Path

from agent.failures import RenzhengError
from agent.health import events
from agent.health.audit import Audit, Value
from agent.health.metrics import Metrics
from agent.threads import Worker, WorkerStuckError
from agent.transport.outbox import Outbox, Priority
from agent.verification.outcome import Outcome
from agent.wire.keys import Signer

log = logging.getLogger(__name__)

#: Seconds that one record may take: a worn SD card stalls.
WRITE_TIMEOUT = 10.0


class Reporting:
    """Tells of each outcome, once, to everyone who must know. A full disk costs a record, never a verification."""

    def __init__(self, folder: Path, signer: Signer, outbox: Outbox, metrics: Metrics) -> None:
        self._worker = Worker("audit")
        self._audit = Audit(folder, signer)
        self._outbox, self._metrics = outbox, metrics
        self._watchers: set[asyncio.Queue[Outcome]] = set()

    async def ended(self, outcome: Outcome, reader: str) -> None:
        """A verification has ended."""
        seconds = round(outcome.phases.get("whole", 0.0), 3)
        self._metrics.verification(outcome.result, outcome.code, outcome.phases)
        events.emit(
            events.VERIFICATION_ENDED, result=str(outcome.result), code=outcome.code, seconds=seconds, reader=reader
        )
        record: dict[str, Value] = {
            "result": str(outcome.result),
            "code": outcome.code,
            "seconds": seconds,
            "request": outcome.request,
        }
        # Each by itself: where the audit cannot be written, the issuer is told all the same.
        await _kept(self._worker.call(WRITE_TIMEOUT, lambda: self._audit.append("verification", **record)))
        told = json.dumps(record).encode()
        await _kept(self._outbox.put("verification", told, Priority.AUDIT, event_id=secrets.token_bytes(16)))
        for queue in self._watchers:
            queue.put_nowait(outcome)

    def watch(self) -> asyncio.Queue[Outcome]:
        """A queue that receives every outcome from now on."""
        queue: asyncio.Queue[Outcome] = asyncio.Queue()
        self._watchers.add(queue)
        return queue

    @property
    def head(self) -> str:
        """The audit's newest record, as the issuer is told it."""
        return str(self._audit.head)

    def close(self) -> None:
        """End the audit's thread."""
        self._worker.close()


async def _kept(record: Awaitable[object]) -> None:
    try:
        await record
    except (RenzhengError, TimeoutError, WorkerStuckError) as error:
        log.error("a record was not kept: %s", getattr(error, "code", type(error).__name__))  # noqa: TRY400
