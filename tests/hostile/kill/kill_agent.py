"""A small agent for the kill test: the real outbox, sender and link, and a number to put into each event.

It runs in a child of `multiprocessing`'s fork server, so that a start costs milliseconds. It ends by SIGKILL: from
outside at a chosen time, or by its own hand at a chosen call into or out of the outbox (a "point").
"""

import asyncio
import hashlib
import os
import random
import signal
import sys
import threading
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType

from agent.failures import RenzhengError
from agent.transport.issuer_client import mqtt_link
from agent.transport.outbox import Limits, Outbox, OutboxSender, Priority
from agent.trust import identity
from agent.trust.clock import Clock
from agent.wire import bounded

KIND = "kill.number"
#: At most so many events are put side by side.
BURST = 6
_WATCHED = ("agent/transport/outbox/", "agent/wire/events.py")


@dataclass(frozen=True)
class Life:
    """One life of the agent. `point` 0: no suicide; `last` None: events without end."""

    folder: Path
    state: Path
    url: str
    seed: int
    first: int
    point: int = 0
    last: int | None = None


def event_id(number: int) -> bytes:
    return hashlib.sha256(number.to_bytes(8, "big")).digest()[:16]


def live(life: Life, accepted: Connection) -> None:
    """Put events from `life.first` on, tell each that was accepted, and drain them."""
    if life.point:
        _die_at(life.point)
    asyncio.run(_live(life, accepted))


async def _live(life: Life, accepted: Connection) -> None:
    loaded = identity.load(life.folder)
    link = mqtt_link(loaded, [life.url], online=b"online", offline=b"offline", will_delay=1)
    outbox = Outbox(life.state / "outbox.db", hashlib.sha256(b"kill").digest(), Limits())
    sender = OutboxSender(outbox, link, loaded, clock=Clock(), patience=0.4)
    link.start()
    sending = asyncio.create_task(sender.run())
    await _put_events(life, outbox, accepted)
    while (await outbox.fill()).rows:  # noqa: ASYNC110 - what empties it is a receipt from another process
        await asyncio.sleep(0.02)
    sending.cancel()
    await link.stop()
    await outbox.close()


async def _put_events(life: Life, outbox: Outbox, accepted: Connection) -> None:
    chance = random.Random(life.seed)  # noqa: S311 - repeatable on purpose
    number = life.first
    while life.last is None or number <= life.last:
        burst = range(number, number + chance.randint(1, BURST))
        try:
            await asyncio.gather(
                *(outbox.put(KIND, bounded.encode(n), Priority.AUDIT, event_id=event_id(n)) for n in burst)
            )
        except RenzhengError as error:
            if error.code != "outbox.disk":
                raise
            # Not accepted, and the caller knows: it tries again.
            await asyncio.sleep(0.02)
            continue
        accepted.send_bytes(burst[-1].to_bytes(8, "big"))
        number = burst[-1] + 1
        await asyncio.sleep(chance.uniform(0, 0.01))


def _die_at(point: int) -> None:
    """SIGKILL this process at the `point`-th call or return, Python's or C's, in the outbox's own code."""
    passed = 0

    def count(frame: FrameType, _event: str, _argument: object) -> None:
        nonlocal passed
        if any(part in frame.f_code.co_filename for part in _WATCHED):
            passed += 1
            if passed >= point:
                os.kill(os.getpid(), signal.SIGKILL)

    threading.setprofile(count)
    sys.setprofile(count)
