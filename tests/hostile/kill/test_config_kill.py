"""kill -9 at every call of a change of configuration: the terminal always starts, on the old settings or the new."""

import asyncio
import contextlib
import multiprocessing
import os
import signal
import sys
from pathlib import Path
from types import FrameType

import pytest

from agent.configuration import signing
from agent.configuration.remote_trial import Acts, Trial
from agent.configuration.store import ConfigurationStore
from agent.configuration.store_journal import Phase, Revision, attempts_left
from tests.unit.config_world import ConfigWorld

#: A fork is quick, and safe here: this test has neither threads nor a loop of its own.
_SPAWN = multiprocessing.get_context("fork")
#: So many of the calls of a whole change, evenly spread; `make test-kill` asks for all of them.
POINTS = int(os.environ.get("RENZHENG_CONFIG_POINTS", "40"))


async def _nothing(_revision: Revision | None = None) -> None:
    return None


def change(folder: Path, signed: bytes, point: int, counted: "multiprocessing.connection.Connection") -> None:
    """Boot, finish what was begun, take the document, and die at the `point`-th call (0: never, but count them)."""
    passed = 0

    def count(frame: FrameType, _event: str, _argument: object) -> None:
        nonlocal passed
        if "agent/configuration/" in frame.f_code.co_filename or "agent/durable" in frame.f_code.co_filename:
            passed += 1
            if passed == point:
                os.kill(os.getpid(), signal.SIGKILL)

    authority = signing.load_authority(folder / "identity" / "trust" / signing.AUTHORITY)
    store = ConfigurationStore(folder / "state", folder / "renzheng.toml", authority)
    sys.setprofile(count)
    store.boot()
    trial = Trial(store.journal, Acts(_nothing, _nothing, _nothing))
    asyncio.run(trial.resume())
    document = signing.open_document(signed, store.authority)
    revision = Revision(number=document.number, digest=document.digest.hex())
    state = store.journal.read()
    if state.active != revision and attempts_left(state, revision):
        asyncio.run(trial.start(store.keep(document)))
    sys.setprofile(None)
    counted.send(passed)


def run(folder: Path, signed: bytes, point: int) -> int | None:
    """How many calls the child lived for, None when it was killed."""
    receiver, counted = _SPAWN.Pipe(duplex=False)
    process = _SPAWN.Process(target=change, args=(folder, signed, point, counted))
    process.start()
    counted.close()
    process.join(20)
    passed: int | None = None
    with contextlib.suppress(EOFError):
        passed = receiver.recv()
    assert process.exitcode == (-signal.SIGKILL if passed is None else 0)
    return passed


@pytest.mark.slow
def test_a_power_cut_at_any_call_leaves_a_terminal_that_starts_and_settles(tmp_path: Path) -> None:
    world = ConfigWorld(tmp_path / "counted")
    total = run(world.folder, world.signed(9), 0)
    assert total is not None
    assert world.store().boot().number == 9
    met = set()
    points = min(POINTS, total)
    for index in range(points):
        point = 1 + index * total // points
        world = ConfigWorld(tmp_path / f"at-{point}")
        signed = world.signed(9)
        assert run(world.folder, signed, point) is None, "it was to be killed"
        met.add(world.store().journal.read().phase)
        in_force = world.store().boot()
        assert in_force.number in {0, 9}
        assert in_force.settings.deadlines.face == (12.0 if in_force.number else 45.0)
        assert run(world.folder, signed, 0) is not None
        state = world.store().journal.read()
        assert (state.phase, state.active and state.active.number) == (Phase.SETTLED, 9)
    assert met >= {Phase.SETTLED, Phase.PREPARED, Phase.APPLYING, Phase.VERIFYING, Phase.PROBATION}
