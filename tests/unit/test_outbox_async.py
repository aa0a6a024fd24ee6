"""The asyncio face of the outbox: durable when `put` returns, few syncs in a burst, silent when idle."""

import asyncio
from pathlib import Path

import pytest

from agent.failures import RenzhengError
from agent.transport.outbox import Limits, Outbox, Priority

KEY = bytes(32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


async def test_what_put_returned_for_is_in_the_next_process(path: Path) -> None:
    first = Outbox(path, KEY)
    event_id = await first.put("audit", b"one", Priority.AUDIT)
    await first.close()
    second = Outbox(path, KEY)
    (entry,) = await second.pending(10, 1000)
    assert (entry.event_id, entry.kind, entry.payload) == (event_id, "audit", b"one")
    await second.close()


async def test_a_burst_shares_commits(path: Path) -> None:
    outbox = Outbox(path, KEY)
    await outbox.put("first", b"opens the file")
    store = outbox._keeper._store
    assert store is not None
    statements: list[str] = []
    store._db.set_trace_callback(statements.append)
    await asyncio.gather(*(outbox.put("burst", bytes([n])) for n in range(200)))
    assert statements.count("COMMIT") <= 3
    assert (await outbox.fill()).rows == 201
    await outbox.close()


async def test_a_put_that_was_given_up_is_stored_all_the_same_and_its_repetition_is_one(path: Path) -> None:
    outbox = Outbox(path, KEY)
    event_id = bytes(16)
    put = asyncio.create_task(outbox.put("audit", b"x", event_id=event_id))
    await asyncio.sleep(0)
    put.cancel()
    await outbox.put("audit", b"x", event_id=event_id)
    assert (await outbox.fill()).rows == 1
    await outbox.close()


async def test_an_oversized_event_is_refused_before_it_reaches_the_disk(path: Path) -> None:
    outbox = Outbox(path, KEY, Limits(payload=100))
    with pytest.raises(RenzhengError) as error:
        await outbox.put("audit", bytes(101))
    assert error.value.code == "outbox.oversized"
    assert (await outbox.fill()).rows == 0
    await outbox.close()


async def test_one_refusal_in_a_shared_commit_does_not_touch_the_others(path: Path) -> None:
    outbox = Outbox(path, KEY, Limits(rows=2))
    outcomes = await asyncio.gather(
        *(outbox.put("audit", bytes([n]), Priority.AUDIT) for n in range(4)), return_exceptions=True
    )
    assert [isinstance(outcome, RenzhengError) for outcome in outcomes] == [False, False, True, True]
    assert (await outbox.fill()).rows == 2
    await outbox.close()
