"""One thread for each blocking device, and a deadline on every call into it.

A call that misses its deadline leaves the thread stuck in the device; the worker is then marked stuck, so that the next
call fails at once and the watchdog sees that the part makes no progress.
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

Result = TypeVar("Result")


class WorkerStuckError(RuntimeError):
    """An earlier call into this device never came back."""


class Worker:
    """A named daemon thread that runs calls one after the other."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._stuck = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def stuck(self) -> bool:
        """Whether a call missed its deadline and has not come back since."""
        return self._stuck.is_set()

    async def call(self, deadline: float, function: Callable[..., Result], *arguments: Any) -> Result:
        """Run `function` in the thread and wait at most `deadline` seconds for it.

        Raises:
            TimeoutError: the deadline passed; the worker is stuck until the call comes back.
            WorkerStuckError: it already is.
        """
        if self.stuck:
            raise WorkerStuckError(f"{self.name} has not come back from an earlier call")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()

        finished = threading.Event()

        def settle(set_outcome: Callable[[Any], None], value: object) -> None:
            if not future.done():
                set_outcome(value)

        def run() -> None:
            try:
                outcome = function(*arguments)
            except BaseException as error:  # noqa: BLE001  # whatever it is, it belongs to the caller
                report(future.set_exception, error)
            else:
                report(future.set_result, outcome)
            finished.set()
            self._stuck.clear()

        def report(set_outcome: Callable[[Any], None], value: object) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(settle, set_outcome, value)

        self._calls.put(run)
        try:
            # Not `wait_for`: before Python 3.12 it swallows a cancellation that meets the result.
            async with asyncio.timeout(deadline):
                return await future
        except TimeoutError:
            self._stuck.set()
            if finished.is_set():  # it came back in the very moment
                self._stuck.clear()
            raise

    def close(self, last: Callable[[], None] | None = None) -> None:
        """Let the thread end after the call that it is in, and after `last`."""
        if last is not None:
            self._calls.put(last)
        self._calls.put(None)

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
            # What it was given and what it found may be a person's: neither waits here for the next call.
            del call
