"""A private pcscd with virtual readers, in a network and a mount namespace of its own.

It needs root (for the namespaces) and Debian's `pcscd` and `vsmartcard-vpcd`; it uses no service of the machine, is
seen by nobody else, and several can run side by side. From a shell:

    python -m firmware_bridge.simulator.stack -- COMMAND …

runs COMMAND with the environment that leads its PC/SC calls here.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import select
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Self

from firmware_bridge.errors import Code, ReaderError
from firmware_bridge.simulator.vpcd import DEFAULT_PORT, CardSide, VirtualCard

#: libpcsclite looks here for its daemon; read once in the life of a process.
SOCKET_VARIABLE = "PCSCLITE_CSOCK_NAME"
#: Tells `VirtualCard`s in child processes which process's namespace holds the readers.
STACK_VARIABLE = "RENZHENG_CARD_STACK"
SLOTS = 2
_DRIVERS = ("/usr/lib/pcsc/drivers/serial/libifdvpcd.so",)
_READY_SECONDS = 20.0


def reader_names() -> list[str]:
    """The names that pcscd gives to the virtual readers, by slot."""
    return [f"Virtual PCD 00 {slot:02d}" for slot in range(SLOTS)]


def missing() -> str:
    """What keeps a stack from starting, with the command that mends it; empty if nothing does."""
    if os.geteuid() != 0:
        return "virtual readers need root for their namespaces: run it with sudo"
    if _pcscd() is None or not Path(_DRIVERS[0]).exists():
        return "pcscd or the virtual reader driver is missing: apt-get install pcscd vsmartcard-vpcd"
    if shutil.which("unshare") is None:
        return "unshare is missing: apt-get install util-linux"
    return ""


def _pcscd() -> str | None:
    return shutil.which("pcscd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def _without_polkit() -> list[str]:
    """The option that keeps a private pcscd from asking the machine's polkit; pcscd 1.9 of Debian 12 has none."""
    known = subprocess.run([str(_pcscd()), "--help"], capture_output=True, text=True, check=False)
    return ["--disable-polkit"] if "--disable-polkit" in known.stdout + known.stderr else []


class _Folder:
    """The one folder of this process: libpcsclite remembers the first socket path that it saw."""

    path: Path | None = None

    @classmethod
    def get(cls) -> Path:
        if cls.path is None:
            cls.path = Path(tempfile.mkdtemp(prefix="renzheng-pcscd-"))
            atexit.register(shutil.rmtree, cls.path, ignore_errors=True)
        return cls.path


def reserve() -> None:
    """Lead this process's PC/SC calls to the place where its stacks will be, before any other call settles it.

    Until a stack runs there, a call finds no service; the machine's own pcscd is not reached any more.
    """
    os.environ[SOCKET_VARIABLE] = str(_Folder.get() / "pcscd.comm")


class CardStack:
    """pcscd with `SLOTS` virtual readers, for as long as the `with` block lasts.

    While it runs, this process and the children that it starts reach these readers and no others.
    """

    def __init__(self) -> None:
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._folder = _Folder.get()
        self._before: dict[str, str | None] = {}

    @property
    def log(self) -> Path:
        """pcscd's own log."""
        return self._folder / "pcscd.log"

    @property
    def namespace(self) -> int:
        """Process id whose namespaces hold the stack."""
        if self._supervisor is None:
            raise ReaderError(Code.READER_SERVICE, "the card stack is not running")
        return self._supervisor.pid

    def start(self) -> Self:
        """Start it.

        Raises:
            ReaderError: `reader.service`, naming the command that mends it.
        """
        problem = missing()
        if problem:
            raise ReaderError(Code.READER_SERVICE, problem)
        configuration = self._folder / "reader.conf.d"
        configuration.mkdir(exist_ok=True)
        (configuration / "vpcd").write_text(
            f'FRIENDLYNAME "Virtual PCD"\nDEVICENAME /dev/null:0x{DEFAULT_PORT:X}\n'
            f"LIBPATH {_DRIVERS[0]}\nCHANNELID 0x{DEFAULT_PORT:X}\n"
        )
        pcscd = [str(_pcscd()), "--config", str(configuration), "--foreground", "--info", *_without_polkit()]
        supervisor = [sys.executable, "-m", "firmware_bridge.simulator.supervisor", str(self._folder), str(SLOTS)]
        self._supervisor = subprocess.Popen(
            ["unshare", "--net", "--mount", "--", *supervisor, *pcscd],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self._before = {name: os.environ.get(name) for name in (SOCKET_VARIABLE, STACK_VARIABLE)}
        try:
            self._await_ready()
        except BaseException:
            self.stop()
            raise
        os.environ.update(self.environment())
        return self

    def environment(self) -> dict[str, str]:
        """What a child process needs in its environment to use these readers."""
        return {SOCKET_VARIABLE: str(self._folder / "pcscd.comm"), STACK_VARIABLE: str(self.namespace)}

    def stop(self) -> None:
        """Stop what was started; harmless if nothing runs."""
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is None:
            return
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        with contextlib.suppress(BrokenPipeError):
            if supervisor.stdin is not None:
                supervisor.stdin.write(b"quit\n")
                supervisor.stdin.close()
        try:
            supervisor.wait(10)
        except subprocess.TimeoutExpired:
            supervisor.kill()
            supervisor.wait()
        if supervisor.stdout is not None:
            supervisor.stdout.close()

    def stop_service(self) -> None:
        """Take pcscd away and leave the rest: what a restart of the service looks like to a reader."""
        self._order("stop")

    def start_service(self) -> None:
        """Bring pcscd back. Cards that were inserted are gone."""
        self._order("start")

    def card(self, card: CardSide, slot: int = 0) -> VirtualCard:
        """A card for the reader in `slot`, not inserted yet."""
        return VirtualCard(card, DEFAULT_PORT + slot, self.namespace)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    def _order(self, word: str) -> None:
        if self._supervisor is None or self._supervisor.stdin is None:
            raise ReaderError(Code.READER_SERVICE, "the card stack is not running")
        self._supervisor.stdin.write(f"{word}\n".encode())
        self._supervisor.stdin.flush()
        self._await_ready()

    def _await_ready(self) -> None:
        assert self._supervisor is not None  # noqa: S101 - both callers have just used it
        output = self._supervisor.stdout
        assert output is not None  # noqa: S101 - opened as a pipe
        readable, _, _ = select.select([output], [], [], _READY_SECONDS)
        line = output.readline().decode() if readable else "error no answer"
        if line.strip() != "ready":
            reason = line.removeprefix("error ").strip() or "the namespaces could not be made"
            raise ReaderError(Code.READER_SERVICE, f"the virtual readers did not start: {reason}")


def card_in_stack(card: CardSide, slot: int = 0) -> VirtualCard:
    """A card for the stack that a parent process runs (or for a vpcd of the machine if there is none)."""
    namespace = os.environ.get(STACK_VARIABLE)
    return VirtualCard(card, DEFAULT_PORT + slot, int(namespace) if namespace else None)


def main() -> int:
    """Run a command with virtual readers around it; its exit status."""
    command = sys.argv[1:]
    if command[:1] == ["--"]:
        command = command[1:]
    if not command:
        sys.stderr.write("usage: python -m firmware_bridge.simulator.stack -- COMMAND …\n")
        return 2
    try:
        with CardStack():
            return subprocess.run(command, check=False).returncode
    except ReaderError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
