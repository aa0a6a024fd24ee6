"""The world around the killed agent: broker and issuer, which can be killed too, and the count at the end."""

import multiprocessing
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from agent.wire import bounded
from issuer import broker, pki, store
from issuer.events import EventStore
from issuer.layout import Layout
from issuer.service import Issuer
from tests.hostile.kill.kill_agent import KIND, Life, live
from tests.protocol.wire_stack import MOSQUITTO, free_port

TERMINAL = "killed-1"
#: Points are drawn from here: the first ones lie in the opening of the file, the last ones in the third receipt or so.
POINTS = 6000
_SPAWN = multiprocessing.get_context("forkserver")
#: Only what is installed: the fork server of Python 3.11 does not know the tests' folders.
_SPAWN.set_forkserver_preload(
    ["agent.transport.issuer_client", "agent.transport.outbox", "issuer.service", "issuer.pki"]
)


@dataclass
class Tally:
    """What was done to whom, and what the issuer holds in the end."""

    lives: int = 0
    killed_at_points: int = 0
    killed_by_time: int = 0
    broker_killed: int = 0
    broker_frozen: int = 0
    issuer_killed: int = 0
    accepted: int = 0
    stored: int = 0
    lost: list[int] = field(default_factory=list)
    doubled: int = 0
    #: Events that came more than once and were stored once all the same.
    repeated: int = 0

    def __str__(self) -> str:
        kills = self.killed_at_points + self.killed_by_time
        return (
            f"{kills} kill -9 of the agent ({self.killed_at_points} at points, {self.killed_by_time} by time), "
            f"{self.broker_killed} of the broker, {self.issuer_killed} of the issuer, broker frozen "
            f"{self.broker_frozen} times: {self.accepted} events accepted, {self.stored} at the issuer, "
            f"{len(self.lost)} lost, {self.doubled} twice, {self.repeated} delivered more than once"
        )


class World:
    """Broker, issuer and terminal below one folder."""

    def __init__(self, root: Path, seed: int) -> None:
        self._root = root
        self._chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
        pki.create(root / "issuer", "kill-issuer")
        self._layout = Layout(root / "issuer")
        self._folder = pki.enroll(self._layout, TERMINAL)
        self._port = free_port()
        self._broker: subprocess.Popen[bytes] | None = None
        self._issuer: ForkServerProcess | None = None
        self._next = 0
        self.tally = Tally()

    @property
    def state(self) -> Path:
        """Where the agent keeps its outbox."""
        return self._root / "state"

    @property
    def _url(self) -> str:
        return f"mqtts://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start what is not running."""
        if self._broker is None:
            path = broker.config(self._layout.root, self._port, user="root" if os.geteuid() == 0 else "")
            with (self._root / "broker.log").open("ab") as log:
                self._broker = subprocess.Popen([MOSQUITTO, "-c", path], stdout=log, stderr=log)
        if self._issuer is None or not self._issuer.is_alive():
            self._issuer = _SPAWN.Process(target=_serve, args=(self._layout.root, self._url), daemon=True)
            self._issuer.start()

    @property
    def promised(self) -> int:
        """How many events the terminal has accepted so far."""
        return self._next

    def stop(self) -> None:
        """Stop everything."""
        self.kill_broker()
        self.kill_issuer()

    def kill_broker(self) -> None:
        """SIGKILL: what it had in memory is gone."""
        if self._broker is not None:
            self._broker.kill()
            self._broker.wait()
            self._broker = None

    def kill_issuer(self) -> None:
        """SIGKILL in the middle of whatever it does."""
        if self._issuer is not None:
            self._issuer.kill()
            self._issuer.join()
            self._issuer = None

    def one_life(self) -> None:
        """Let the agent live until it is killed, with whatever happens to the others meanwhile."""
        self.tally.lives += 1
        at_point = self._chance.random() < 0.6
        life = self._life(point=self._chance.randint(1, POINTS) if at_point else 0)
        disaster = self._chance.random()
        receiver, accepted = _SPAWN.Pipe(duplex=False)
        process = _SPAWN.Process(target=live, args=(life, accepted), daemon=True)
        process.start()
        accepted.close()
        if disaster < 0.10:
            self.kill_broker()
            self.tally.broker_killed += 1
        elif disaster < 0.15:
            self.kill_issuer()
            self.tally.issuer_killed += 1
        elif disaster < 0.20 and self._broker is not None:
            self._broker.send_signal(signal.SIGSTOP)
            self.tally.broker_frozen += 1
        # A life that does not reach its point is ended by time: nothing here waits without end.
        process.join(self._chance.uniform(0.02, 0.2) if not at_point else 0.4)
        if process.is_alive():
            process.kill()
            process.join()
            self.tally.killed_by_time += 1
        else:
            assert process.exitcode == -signal.SIGKILL, f"the agent ended by itself: {process.exitcode}"
            self.tally.killed_at_points += 1
        self._note(receiver)
        if self._broker is not None:
            self._broker.send_signal(signal.SIGCONT)
        self.start()

    def drain(self, seconds: float) -> None:
        """A last life in peace: the events up to now, and the outbox empty."""
        receiver, accepted = _SPAWN.Pipe(duplex=False)
        process = _SPAWN.Process(target=live, args=(self._life(last=self._next), accepted), daemon=True)
        process.start()
        accepted.close()
        process.join(seconds)
        finished = process.exitcode == 0
        process.kill()
        process.join()
        self._note(receiver)
        assert finished, f"the outbox was not empty after {seconds} s"

    def told(self, kind: str) -> int:
        """How many events of `kind` the issuer holds."""
        with store.opened(store.sqlite_url(self._layout.database)) as engine:
            return EventStore(engine).count(kind)

    def count(self) -> Tally:
        """What the issuer holds against what the terminal was promised."""
        with store.opened(store.sqlite_url(self._layout.database)) as engine:
            rows = EventStore(engine).read(kind=KIND, last=1_000_000)
        numbers = [bounded.decode(row.payload, limit=16) for row in rows]
        tally = self.tally
        tally.accepted, tally.stored = self._next, len(numbers)
        tally.lost = sorted(set(range(self._next)) - set(numbers))
        tally.doubled = len(numbers) - len(set(numbers))
        tally.repeated = sum(row.deliveries > 1 for row in rows)
        return tally

    def _life(self, *, point: int = 0, last: int | None = None) -> Life:
        seed = self._chance.getrandbits(32)
        return Life(self._folder, self.state, self._url, seed, self._next, point=point, last=last)

    def _note(self, receiver: "multiprocessing.connection.Connection") -> None:
        """Read what the dead agent had told; the next life begins behind it, so that a last burst is put twice."""
        try:
            while receiver.poll():
                self._next = int.from_bytes(receiver.recv_bytes(), "big") + 1
        except EOFError:
            pass
        finally:
            receiver.close()


@contextmanager
def world(root: Path, seed: int) -> Iterator[World]:
    made = World(root, seed)
    try:
        made.start()
        time.sleep(0.5)
        yield made
    finally:
        made.stop()


def _serve(root: Path, url: str) -> None:
    Issuer(root, url).run()
