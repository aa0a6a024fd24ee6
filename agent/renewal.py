"""Renewed certificates reach a running terminal: it starts its parts anew as soon as nobody is being served.

TLS reads its files at each connection; the evidence's chain is read once, at the start, and would one day be over.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path

from agent.remote import Steward
from agent.trust.identity import DEVICE_CHAIN
from agent.verification.screen import Screens

log = logging.getLogger(__name__)

#: Seconds between two looks: one stat(2) a minute.
LOOK = 60.0


@contextlib.asynccontextmanager
async def follow(steward: Steward, screens: Screens, *, look: float = LOOK) -> AsyncIterator[None]:
    """While the context is open, `steward.again` is set after the device's certificate was renewed."""
    task = asyncio.create_task(_watch(steward, screens, look))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _watch(steward: Steward, screens: Screens, look: float) -> None:
    path = steward.in_force.settings.identity.folder / DEVICE_CHAIN
    first = _mark(path)
    while _mark(path) == first:  # noqa: ASYNC110  # another process replaces the file, no event tells
        await asyncio.sleep(look)
    log.info("the certificates were renewed: starting anew with them")
    await steward.renew(screens)


def _mark(path: Path) -> tuple[int, int]:
    """What changes when the file is replaced."""
    try:
        found = path.stat()
    except OSError:
        return (0, 0)
    return (found.st_ino, found.st_mtime_ns)
