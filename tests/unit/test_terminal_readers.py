"""A reader that hung and came back serves again, and is said to; one that is busy is heard all the same."""

import asyncio
import contextlib
import threading
from typing import Any, cast

import pytest

from agent.health.state import PartStates
from agent.terminal import Terminal
from agent.verification.inputs import Inputs
from agent.verification.outcome import Outcome, Result
from agent.verification.reader import GRACE, WAIT, Reader
from firmware_bridge.document import Document
from firmware_bridge.reader import EventKind, ReaderEvent, ReadRequest


class Hanging:
    """A reader whose driver blocks until `free` is set."""

    name = "passport"

    def __init__(self, late: ReaderEvent | None = None) -> None:
        self.free, self.late = threading.Event(), late

    def wait(self, timeout: float) -> ReaderEvent | None:
        if not self.free.is_set():
            self.free.wait(30)
            return self.late
        self.free.wait(timeout)
        return None

    def read(self, request: ReadRequest) -> Document:
        raise AssertionError("nobody lays a document down")

    def close(self) -> None:
        self.free.set()


async def until_up(states: PartStates, up: bool) -> None:
    async with asyncio.timeout(WAIT + GRACE + 5):
        changed = asyncio.Event()
        states.listen(changed.set)
        while states.states["reader passport"].up is not up:
            await changed.wait()
            changed.clear()


async def test_a_reader_that_hung_is_up_again_when_it_answers() -> None:
    driver, states, beats = Hanging(), PartStates(), set[str]()

    def beat(part: str) -> None:
        beats.add(part)

    reader = Reader(driver, needs_key=False)
    nobody = cast("Any", None)
    terminal = Terminal([reader], nobody, Inputs(), beat=beat, states=states, ended=nobody)
    running = asyncio.create_task(terminal.run())
    try:
        await asyncio.sleep(0)
        await until_up(states, up=True)
        await until_up(states, up=False)
        assert beats <= {"flow"}
        driver.free.set()
        await until_up(states, up=True)
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        reader.close()


async def test_a_document_that_a_late_look_saw_is_not_lost() -> None:
    laid = ReaderEvent(EventKind.PRESENTED, "passport")
    driver = Hanging(laid)
    reader = Reader(driver, needs_key=False)
    try:
        with pytest.raises(TimeoutError):
            await reader.wait()
        driver.free.set()
        async with asyncio.timeout(5):
            while reader.worker.stuck:  # noqa: ASYNC110  # the thread comes back when it does
                await asyncio.sleep(0.01)
        assert await reader.wait() == laid
        assert await reader.wait() is None
    finally:
        reader.close()


class Restless:
    """A reader on which one person lays, lifts and lays the document again, twice, and then leaves it to nobody."""

    name = "passport"

    def __init__(self) -> None:
        kinds = [EventKind.PRESENTED, EventKind.REMOVED] * 3
        self.events = [ReaderEvent(kind, self.name) for kind in kinds]
        self.told = threading.Event()

    def wait(self, timeout: float) -> ReaderEvent | None:
        if self.events:
            return self.events.pop(0)
        self.told.set()
        threading.Event().wait(timeout)
        return None

    def read(self, request: ReadRequest) -> Document:
        raise AssertionError("the verifier of this test reads nothing")

    def close(self) -> None:
        """Nothing to give back."""


class Busy:
    """Serves the first person until `done` is set, and counts who comes."""

    def __init__(self) -> None:
        self.done, self.served = asyncio.Event(), 0

    async def verify(self, reader: Reader) -> Outcome:
        self.served += 1
        await self.done.wait()
        return Outcome(Result.VERIFIED)


async def test_a_document_laid_down_again_and_again_keeps_no_reader_from_being_heard() -> None:
    driver, busy, states, beats = Restless(), Busy(), PartStates(), list[str]()
    ended = asyncio.Event()

    def beat(part: str) -> None:
        beats.append(part)

    async def end(outcome: Outcome, reader: str) -> None:
        ended.set()

    reader = Reader(driver, needs_key=False)
    terminal = Terminal([reader], cast("Any", busy), Inputs(), beat=beat, states=states, ended=end)
    running = asyncio.create_task(terminal.run())
    try:
        async with asyncio.timeout(5):
            while not driver.told.is_set():  # noqa: ASYNC110  # the thread has told everything when it has
                await asyncio.sleep(0.01)
            await terminal.empty()
            heard = beats.count("reader passport")
            while beats.count("reader passport") < heard + 2:  # noqa: ASYNC110  # the loop under test beats, nobody tells
                await asyncio.sleep(0.01)
            busy.done.set()
            await ended.wait()
        await asyncio.sleep(0)
        assert busy.served == 1, "the document has been taken away"
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        reader.close()
