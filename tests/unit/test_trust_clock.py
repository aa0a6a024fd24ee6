"""The clock's trust and the counter: what a terminal knows of time and order."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from agent.trust.clock import Clock, ClockTrust, kernel_synchronised
from agent.trust.counter import Counter
from agent.trust.errors import TrustError

NOW = 1_800_000_000


def clock(now: float = NOW, *, synchronised: bool = True) -> Clock:
    return Clock(now=lambda: now, synchronised=lambda: synchronised)


@pytest.mark.parametrize(
    ("synchronised", "trust"), [(True, ClockTrust.SYNCHRONISED), (False, ClockTrust.UNSYNCHRONISED)]
)
def test_without_an_epoch_the_kernel_decides(synchronised: bool, trust: ClockTrust) -> None:
    assert clock(synchronised=synchronised).trust is trust


@pytest.mark.parametrize("late", [0, 1, 5, 10, 34])
def test_an_epoch_that_agrees_changes_nothing(late: int) -> None:
    ours = clock()
    assert ours.observe(NOW - late, 5) is ClockTrust.SYNCHRONISED


@pytest.mark.parametrize("wrong", [-10 * 31_556_952, -60, 60, 10 * 31_556_952])
def test_an_epoch_contradicts_whatever_the_kernel_says(wrong: int) -> None:
    ours = clock(NOW + wrong, synchronised=True)
    assert ours.observe(NOW, 5) is ClockTrust.CONTRADICTED
    assert abs(ours.offset - wrong) <= 5
    assert not ours.agrees(NOW, 5)


def test_a_clock_that_was_set_right_is_trusted_again() -> None:
    now = [float(NOW - 3600)]
    ours = Clock(now=lambda: now[0], synchronised=lambda: True)
    assert ours.observe(NOW, 5) is ClockTrust.CONTRADICTED
    now[0] = NOW
    assert ours.observe(NOW, 5) is ClockTrust.SYNCHRONISED


def test_the_kernel_says_something() -> None:
    assert kernel_synchronised() in {True, False}


def test_numbers_rise_and_survive(tmp_path: Path) -> None:
    for start in (1, 4, 7):
        counter = Counter(tmp_path / "counter.db")
        assert [counter.next("key") for _ in range(3)] == [start, start + 1, start + 2]
        counter.close()


def test_each_key_has_its_own_count(tmp_path: Path) -> None:
    counter = Counter(tmp_path / "counter.db")
    assert (counter.next("old"), counter.next("old"), counter.next("new")) == (1, 2, 1)
    counter.close()


def test_threads_never_get_the_same_number(tmp_path: Path) -> None:
    counter = Counter(tmp_path / "counter.db")
    taken: list[int] = []
    threads = [threading.Thread(target=lambda: taken.extend(counter.next("key") for _ in range(25))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counter.close()
    assert sorted(taken) == list(range(1, 101))


def test_a_number_that_was_used_is_never_used_again_after_a_kill(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from agent.trust.counter import Counter\n"
        "counter = Counter(Path(sys.argv[1]))\n"
        "while True: print(counter.next('key'), flush=True)"
    )
    used: list[int] = []
    for _ in range(5):
        process = subprocess.Popen(
            [sys.executable, "-c", program, tmp_path / "c.db"], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        used.append(int(process.stdout.readline()))
        time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
        used += [int(line) for line in process.stdout if line.endswith("\n")]
        process.wait()
        process.stdout.close()
    assert len(set(used)) == len(used)
    assert used == sorted(used)


def test_a_counter_that_cannot_be_written_gives_no_number(tmp_path: Path) -> None:
    counter = Counter(tmp_path / "counter.db")
    counter.next("key")
    other = sqlite3.connect(tmp_path / "counter.db", isolation_level=None)
    other.execute("DROP TABLE counter")
    other.close()
    with pytest.raises(TrustError) as failed:
        counter.next("key")
    assert failed.value.code == "trust.counter"
    counter.close()


def test_a_file_that_is_no_counter_is_told(tmp_path: Path) -> None:
    (tmp_path / "counter.db").write_bytes(b"not a database" * 1000)
    with pytest.raises(TrustError) as failed:
        Counter(tmp_path / "counter.db")
    assert failed.value.code == "trust.counter"


def test_a_full_disk_gives_no_number_and_loses_none(tmp_path: Path) -> None:
    # A limit on the file size is a disk that is full for this process alone; it is lifted, and counting goes on.
    program = """
import resource, signal, sys
from pathlib import Path
from agent.failures import RenzhengError
from agent.trust.counter import Counter
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
counter = Counter(Path(sys.argv[1]))
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, hard))
failures = 0
while failures < 3:
    try:
        print(counter.next("key"))
    except RenzhengError as error:
        assert error.code == "trust.counter", error.code
        failures += 1
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
print(counter.next("key"))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "c.db"], check=True, capture_output=True, text=True, timeout=60
    )
    used = [int(line) for line in done.stdout.split()]
    assert len(used) > 3
    assert used == sorted(set(used))
