"""The watchdog believes progress, starts anew what hangs, gives up in time, and its events hold nothing personal."""

import asyncio
import logging
import socket
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from agent.app import begin
from agent.failures import RenzhengError
from agent.health import events, log
from agent.health.catalog import catalog
from agent.health.heartbeat import Heartbeats
from agent.health.notify import Notifier
from agent.health.state import PartStates, read
from agent.health.watchdog import Budget, Watchdog


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Systemd:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))
        self._socket.setblocking(False)

    def heard(self) -> list[str]:
        found = []
        while True:
            try:
                found.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return found

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def systemd(tmp_path: Path):  # type: ignore[no-untyped-def]  # a fixture
    made = Systemd(tmp_path)
    yield made
    made.close()


def notifier(systemd: Systemd) -> Notifier:
    return Notifier({"NOTIFY_SOCKET": str(systemd.path), "WATCHDOG_USEC": "10000000"})


async def nothing() -> None:
    """A part that starts anew in no time."""


async def test_systemd_hears_nothing_while_a_loop_without_a_restart_is_overdue(systemd: Systemd) -> None:
    clock = Clock()
    beats = Heartbeats(clock)
    flow = beats.register("flow", 5.0)
    watchdog = Watchdog(beats, notifier(systemd), {}, clock=clock)
    await watchdog.look()
    assert systemd.heard() == ["WATCHDOG=1"]
    clock.now += 6
    await watchdog.look()
    assert systemd.heard() == ["STATUS=flow hangs; asking for a restart", "WATCHDOG=trigger"]
    # A loop that comes back too late is not believed: the restart was asked for.
    flow.beat()
    await watchdog.look()
    assert systemd.heard() == []


async def test_a_part_that_hangs_is_started_anew_within_its_budget_and_then_the_process(systemd: Systemd) -> None:
    clock = Clock()
    beats = Heartbeats(clock)
    beats.register("camera", 5.0)
    restarted = []

    async def restart() -> None:
        restarted.append(clock.now)

    told: list[str] = []
    watchdog = Watchdog(
        beats, notifier(systemd), {"camera": restart}, restarted=told.append, budget=Budget(2, 300.0), clock=clock
    )
    for _ in range(2):
        clock.now += 6
        await watchdog.look()
        assert systemd.heard() == ["WATCHDOG=1"]
    assert restarted == [1006.0, 1012.0]
    assert told == ["camera", "camera"]
    clock.now += 6
    await watchdog.look()
    assert systemd.heard()[-1] == "WATCHDOG=trigger"
    assert watchdog.given_up == "camera"


async def test_a_loop_that_ended_by_an_error_takes_the_process_at_once(systemd: Systemd) -> None:
    watchdog = Watchdog(Heartbeats(), notifier(systemd), {})
    watchdog.fail("terminal")
    assert systemd.heard()[-1] == "WATCHDOG=trigger"
    await watchdog.look()
    assert systemd.heard() == []


async def test_the_budget_fills_up_again(systemd: Systemd) -> None:
    clock = Clock()
    beats = Heartbeats(clock)
    beats.register("camera", 5.0)
    watchdog = Watchdog(beats, notifier(systemd), {"camera": nothing}, budget=Budget(1, 60.0), clock=clock)
    for _ in range(3):
        clock.now += 100
        await watchdog.look()
    assert watchdog.given_up == ""


async def test_a_restart_that_fails_does_not_end_the_watchdog(systemd: Systemd) -> None:
    clock = Clock()
    beats = Heartbeats(clock)
    beats.register("camera", 5.0)

    async def broken() -> None:
        raise OSError(5, "Input/output error")

    watchdog = Watchdog(beats, notifier(systemd), {"camera": broken}, clock=clock)
    clock.now += 6
    await watchdog.look()
    assert systemd.heard() == ["WATCHDOG=1"]


async def test_systemd_is_fed_while_a_part_takes_long_to_start_anew(systemd: Systemd) -> None:
    clock = Clock()
    beats = Heartbeats(clock)
    beats.register("broker", 5.0)
    fed = Notifier({"NOTIFY_SOCKET": str(systemd.path), "WATCHDOG_USEC": "200000"})
    heard: list[str] = []

    async def slow() -> None:
        while heard.count("WATCHDOG=1") < 3:
            await asyncio.sleep(0.02)
            heard.extend(systemd.heard())

    watchdog = Watchdog(beats, fed, {"broker": slow}, clock=clock)
    clock.now += 6
    await watchdog.look()
    assert heard.count("WATCHDOG=1") >= 3


async def returns() -> None:
    """A loop that ends as if it were done."""


async def cancelled_inside() -> None:
    raise asyncio.CancelledError


async def raises() -> None:
    raise OSError(5, "Input/output error")


@pytest.mark.parametrize("life", [returns, cancelled_inside, raises])
async def test_no_loop_ends_unseen(life: Callable[[], Coroutine[Any, Any, None]]) -> None:
    ended: list[str] = []
    await asyncio.wait([begin("outbox", life(), ended.append)])
    await asyncio.sleep(0)
    assert ended == ["outbox"]


async def test_a_loop_that_is_stopped_is_no_failure() -> None:
    ended: list[str] = []
    task = begin("outbox", asyncio.sleep(60), ended.append)
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    await asyncio.sleep(0)
    assert ended == []


async def test_the_watchdog_feeds_systemd_several_times_within_its_time_out(systemd: Systemd) -> None:
    fed = Notifier({"NOTIFY_SOCKET": str(systemd.path), "WATCHDOG_USEC": "400000"})
    task = asyncio.create_task(Watchdog(Heartbeats(), fed, {}).run())
    heard = 0
    # Four times in each 0.4 s; at the usual pace these would take five seconds.
    async with asyncio.timeout(4):
        while heard < 10:
            heard += len(systemd.heard())
            await asyncio.sleep(0.02)
    task.cancel()


def test_two_loops_of_one_name_are_an_error() -> None:
    beats = Heartbeats()
    beats.register("flow", 1.0)
    with pytest.raises(ValueError, match="flow"):
        beats.register("flow", 1.0)


def test_outside_systemd_nothing_is_sent_and_no_watchdog_is_wanted() -> None:
    alone = Notifier({})
    alone.ready("serving")
    assert not alone.wired
    assert alone.watchdog == 0.0
    assert Notifier({"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}).watchdog == 0.0


def test_a_socket_is_found_by_its_path_or_its_abstract_name(tmp_path: Path) -> None:
    (tmp_path / "user@1000").mkdir()
    named = Systemd(tmp_path / "user@1000")
    Notifier({"NOTIFY_SOCKET": str(named.path)}).status("by path")
    assert named.heard() == ["STATUS=by path"]
    named.close()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as abstract:
        abstract.bind(f"\0{tmp_path}")
        Notifier({"NOTIFY_SOCKET": f"@{tmp_path}"}).status("by name")
        assert abstract.recv(100) == b"STATUS=by name"


def test_an_event_takes_codes_and_numbers_and_refuses_free_text() -> None:
    events.emit(events.PART_DOWN, part="reader passport", code="reader.gone")
    with pytest.raises(ValueError, match="free text"):
        events.emit(events.PART_DOWN, part="camera", code="ANNA MARIA ERIKSSON")
    with pytest.raises(ValueError, match="has the fields"):
        events.emit(events.PART_DOWN, part="camera", name="x")


def test_an_exception_is_logged_without_its_text_unless_it_is_our_own() -> None:
    def failing(error: Exception) -> str:
        try:
            raise error  # noqa: TRY301  # it needs a traceback
        except Exception as caught:  # noqa: BLE001  # the point of the test
            return log.describe(caught)

    assert "L898902C3" not in failing(ValueError("invalid literal: 'L898902C3'"))
    assert "ValueError at test_health_watch.py" in failing(ValueError("x"))
    assert "the reader is gone [reader.gone]" in failing(RenzhengError("reader.gone", "the reader is gone"))
    assert "No such file" in failing(FileNotFoundError(2, "x", "/home/anna"))
    assert "/home/anna" not in failing(FileNotFoundError(2, "x", "/home/anna"))
    grouped = failing(ExceptionGroup("L898902C3", [KeyError("L898902C3")]))
    assert "KeyError" in grouped
    assert "L898902C3" not in grouped


def test_the_journal_receives_fields_and_one_line_whatever_the_text(tmp_path: Path) -> None:
    journal = Systemd(tmp_path)
    handler = log.JournalHandler(str(journal.path))
    record = logging.LogRecord("agent.x", logging.WARNING, "x.py", 7, "two\nlines\x1b[31m %s", ("x" * 9000,), None)
    handler.emit(record)
    fields = dict(line.split("=", 1) for line in journal.heard()[0].splitlines())
    assert fields["PRIORITY"] == "4"
    assert fields["MESSAGE"].startswith("two lines [31m xxx")
    assert len(fields["MESSAGE"]) < 2100
    event = logging.LogRecord("renzheng", logging.INFO, "x.py", 1, "text", (), None)
    event.event, event.event_fields = events.PART_UP, {"part": "camera", "seconds": 2.0}
    handler.emit(event)
    fields = dict(line.split("=", 1) for line in journal.heard()[0].splitlines())
    assert fields["MESSAGE_ID"] == events.PART_UP.message_id
    assert fields["RENZHENG_PART"] == "camera"
    handler.close()
    journal.close()


def test_every_event_has_its_own_id_and_an_entry_in_the_journal_catalogue() -> None:
    ids = [event.message_id for event in events.all_events()]
    assert len(set(ids)) == len(ids)
    text = catalog()
    assert all(f"-- {message_id}\n" in text for message_id in ids)
    assert "{" not in text


def test_parts_are_told_once_and_read_back_while_fresh(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    states = PartStates()
    with caplog.at_level(logging.INFO):
        states.up("camera")
        states.down("camera", "camera.gone")
        states.down("camera", "camera.gone")
        states.up("broker")
        states.up("camera")
    assert next(record.getMessage() for record in caplog.records) == "camera is down: camera.gone"
    assert len(caplog.records) == 2
    assert states.summary() == "all parts serve"
    states.write(tmp_path)
    told = read(tmp_path)
    assert told is not None
    assert told["camera"].up
    (tmp_path / "health.json").write_text('{"written": 1, "parts": {}}')
    assert read(tmp_path) is None
    assert read(tmp_path / "absent") is None


def test_the_word_of_an_agent_that_was_killed_does_not_count(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys; from pathlib import Path; from agent.health.state import PartStates\n"
        "states = PartStates(); states.up('camera'); states.write(Path(sys.argv[1]))\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", program, tmp_path], check=False)
    assert (tmp_path / "health.json").is_file()
    assert read(tmp_path) is None
