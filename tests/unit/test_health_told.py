"""What the agent tells of itself, and where: metrics for others to read, a taken port that stops nobody."""

import asyncio
import logging
import os
import socket
import urllib.request
from pathlib import Path

import pytest

from agent import upkeep
from agent.health import runtime
from agent.health.heartbeat import Heartbeats
from agent.health.metrics import Metrics
from agent.health.notify import Notifier
from agent.health.state import PartStates
from agent.transport.outbox import Outbox


def test_the_text_file_is_whole_and_for_others_to_read_whatever_the_mask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        Metrics().write(tmp_path / "renzheng.prom")
    finally:
        os.umask(before)
    assert (tmp_path / "renzheng.prom").stat().st_mode & 0o777 == 0o644
    assert "renzheng_info{version=" in (tmp_path / "renzheng.prom").read_text()
    assert len(list(tmp_path.iterdir())) == 1


async def test_a_port_that_is_taken_is_told_and_taken_when_it_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "PORT_PAUSE", 0.05)
    states, back = PartStates(), asyncio.Event()
    states.listen(lambda: back.set() if states.states["metrics"].up else None)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        task = asyncio.create_task(upkeep.serve_metrics(Metrics(), port, states))
        await asyncio.sleep(0)
        assert states.states["metrics"].code == "health.port"
    async with asyncio.timeout(10):
        await back.wait()

    def fetched() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            return str(answer.read(), "utf-8")

    assert "renzheng_info" in await asyncio.to_thread(fetched)
    task.cancel()
    await asyncio.wait([task])


class Counted(Metrics):
    """Tells when it was to be written several times."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.often = 4, asyncio.Event()

    def write(self, path: Path) -> None:
        self.left -= 1
        if not self.left:
            self.often.set()
        super().write(path)


async def test_a_text_file_that_cannot_be_written_is_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(upkeep, "REPORT", 0.01)
    metrics, states, beats = Counted(), PartStates(), Heartbeats()
    outbox = Outbox(tmp_path / "outbox.db", bytes(32))
    reporter = upkeep.Reporter(
        states, beats, metrics, Notifier({}), outbox, state=tmp_path, runtime=tmp_path,
        textfile=tmp_path / "absent/renzheng.prom", telemetry=300.0, audit_head=str,
    )  # fmt: skip
    with caplog.at_level(logging.WARNING):
        task = asyncio.create_task(reporter.run())
        async with asyncio.timeout(10):
            await metrics.often.wait()
    task.cancel()
    await asyncio.wait([task])
    await outbox.close()
    assert [record.getMessage() for record in caplog.records] == ["the metrics: not written: No such file or directory"]


def test_an_agent_is_found_by_its_own_state_and_by_no_other(tmp_path: Path) -> None:
    for name in ("mine", "another"):
        (tmp_path / name).mkdir()
    runtime.leave_word(tmp_path / "mine")
    runtime.leave_word(tmp_path / "mine")
    assert runtime.find(tmp_path / "mine") == runtime.folder()
    # Whoever serves on this machine is not the terminal of another state folder.
    assert not runtime.find(tmp_path / "another").exists()
    assert not runtime.find(tmp_path / "absent").exists()


def test_the_service_is_found_by_who_may_not_look_into_its_state(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert runtime.find(tmp_path / "file") == runtime.SERVICE
