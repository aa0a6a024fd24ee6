"""Programs that the demonstration runs beside itself: started with a log, waited for, stopped by their own pid."""

import asyncio
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from agent.failures import RenzhengError

STOP_TIMEOUT = 3.0


class Program:
    """One program of the demonstration. Stopping it twice does nothing."""

    def __init__(self, name: str, command: Sequence[str], log: Path) -> None:
        self.name, self._command, self._log = name, command, log
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it; what it says goes to its log."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log
            )

    async def listening(self, port: int, seconds: float = 10.0) -> None:
        """Wait until it accepts connections on a loopback port.

        Raises:
            RenzhengError: it ended, or did not listen in time; the text holds the end of its log.
        """
        end = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < end:
            self.check()
            with suppress(OSError):
                _reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                await writer.wait_closed()
                return
            await asyncio.sleep(0.02)
        raise RenzhengError("internal.error", f"{self.name} does not listen on port {port}\n{self._tail()}")

    def check(self) -> None:
        """Raise if the program has ended by itself."""
        if self._process is None or self._process.returncode is not None:
            raise RenzhengError("internal.error", f"{self.name} has ended\n{self._tail()}")

    async def stop(self) -> None:
        """End it: SIGTERM, and SIGKILL for one that does not listen."""
        process, self._process = self._process, None
        if process is None:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            if process.returncode is not None:
                return
            with suppress(ProcessLookupError):
                process.send_signal(number)
            with suppress(TimeoutError):
                async with asyncio.timeout(STOP_TIMEOUT):
                    await process.wait()

    def _tail(self) -> str:
        lines = self._log.read_text("utf-8", "replace").splitlines()
        return "\n".join(f"  {self.name}: {line}" for line in lines[-8:])


@asynccontextmanager
async def running(program: Program) -> AsyncIterator[Program]:
    """The program, stopped at the end whatever happens."""
    await program.start()
    try:
        yield program
    finally:
        await program.stop()


async def output(command: Sequence[str]) -> str:
    """What a program prints that ends by itself.

    Raises:
        RenzhengError: it failed; the text holds what it said.
    """
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    printed, errors = await process.communicate()
    if process.returncode:
        raise RenzhengError(
            "internal.error", f"{command[0]} failed: {errors.decode('utf-8', 'replace').strip()[-400:]}"
        )
    return printed.decode("utf-8")
