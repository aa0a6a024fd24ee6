"""A device that blocks costs its own thread and nobody else's time."""

import asyncio
import threading
import weakref
from time import monotonic

import pytest

from agent.threads import Worker, WorkerStuckError


async def test_a_call_runs_in_the_worker_and_returns_its_result() -> None:
    worker = Worker("reader")
    assert await worker.call(1.0, lambda: threading.current_thread().name) == "reader"
    worker.close()


async def test_an_error_reaches_the_caller() -> None:
    worker = Worker("reader")
    with pytest.raises(ZeroDivisionError):
        await worker.call(1.0, lambda: 1 // 0)
    assert await worker.call(1.0, lambda: "still serving") == "still serving"
    worker.close()


async def test_a_call_that_hangs_is_given_up_and_the_worker_serves_again_when_it_comes_back() -> None:
    worker, release = Worker("reader"), threading.Event()
    started = monotonic()
    with pytest.raises(TimeoutError):
        await worker.call(0.1, release.wait)
    assert worker.stuck
    with pytest.raises(WorkerStuckError):
        await worker.call(0.1, lambda: None)
    assert monotonic() - started < 1.0
    release.set()
    for _ in range(100):
        if not worker.stuck:
            break
        await asyncio.sleep(0.01)
    assert await worker.call(1.0, lambda: 7) == 7
    worker.close()


async def test_the_loop_turns_while_a_device_blocks() -> None:
    worker, release = Worker("camera"), threading.Event()
    call = asyncio.create_task(worker.call(5.0, release.wait))
    await asyncio.sleep(0)
    turned = 0
    while turned < 10:
        await asyncio.sleep(0.001)
        turned += 1
    release.set()
    assert await call is True
    worker.close()


class Portrait:
    """Something of a person that a call is given, or finds."""


async def test_nothing_of_a_call_is_kept_until_the_next_one_comes() -> None:
    worker, given = Worker("camera"), Portrait()
    found = await worker.call(1.0, lambda portrait: (Portrait(), portrait), given)
    traces = [weakref.ref(given), weakref.ref(found[0])]
    del given, found
    async with asyncio.timeout(5):
        while any(trace() is not None for trace in traces):  # noqa: ASYNC110  # the thread is about to let go
            await asyncio.sleep(0.01)
    worker.close()
