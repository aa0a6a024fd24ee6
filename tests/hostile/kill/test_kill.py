"""Every event that the outbox accepted is at the issuer once, whoever is killed in between, and when."""

import os
import sys
from pathlib import Path

import pytest

from tests.hostile.kill.kill_agent import BURST
from tests.hostile.kill.kill_world import world
from tests.protocol.wire_stack import needs_broker

#: `make test-kill` asks for the full count; every test run does a shorter one.
LIVES = int(os.environ.get("RENZHENG_KILLS", "110"))
SEED = int(os.environ.get("RENZHENG_SEED", "1"))


@needs_broker
@pytest.mark.slow
@pytest.mark.timeout(150 + LIVES)
def test_every_event_is_at_the_issuer_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with world(tmp_path, SEED) as scene:
        for _ in range(LIVES):
            scene.one_life()
        scene.drain(100)
        tally = scene.count()
    with capsys.disabled():
        sys.stdout.write(f"\nseed {SEED}: {tally}\n")
    assert tally.lost == []
    assert tally.doubled == 0
    # A last burst may have been stored and its promise lost with the process.
    assert LIVES < tally.accepted <= tally.stored < tally.accepted + BURST
    assert tally.killed_at_points > LIVES // 6, "the points lie too far out to be reached"
    assert tally.repeated > 0, "no event came twice: the test does not reach what it is about"
