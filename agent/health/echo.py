"""The self-test's question to the running agent: speak with the issuer now, and say how long it took.

The terminal's name at the broker belongs to the agent, so the self-test cannot ask the issuer itself while one runs. A
socket in the runtime folder, for the service's user and root alone: whoever connects gets one line of JSON.
"""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from agent.failures import RenzhengError
from agent.transport.errors import TransportError

SOCKET = "echo"
_LINE_LIMIT = 4096


@contextlib.asynccontextmanager
async def answering(folder: Path, ask: Callable[[], Awaitable[float]]) -> AsyncIterator[None]:
    """While the context is open, whoever connects to the socket in `folder` gets the result of one `ask`."""

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            told: dict[str, object] = {"seconds": round(await ask(), 4)}
        except RenzhengError as error:
            told = {"code": error.code, "text": str(error)}
        with contextlib.suppress(OSError):
            writer.write(json.dumps(told).encode() + b"\n")
            await writer.drain()
            writer.close()

    path = folder / SOCKET
    path.unlink(missing_ok=True)
    server = await asyncio.start_unix_server(answer, path)
    path.chmod(0o600)
    async with server:
        yield
    path.unlink(missing_ok=True)


def ask(folder: Path, timeout: float) -> float | None:
    """Have the running agent ask the issuer; the seconds it took, None when no agent answers here.

    Raises:
        TransportError: what the agent met, or `issuer.silent` when it said nothing, in time or at all.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(timeout)
        try:
            line.connect(str(folder / SOCKET))
        except PermissionError as error:
            raise TransportError("issuer.silent", f"the agent: {error.strerror}") from error
        except TimeoutError:
            raise TransportError("issuer.silent", "the agent did not answer in time") from None
        except OSError:
            return None
        # From here on there is an agent: whoever signed in beside it would throw it out.
        try:
            answer = json.loads(line.makefile("rb").readline(_LINE_LIMIT))
        except TimeoutError:
            raise TransportError("issuer.silent", "the agent did not answer in time") from None
        except (OSError, ValueError):
            raise TransportError("issuer.silent", "the agent hung up without an answer") from None
    if "code" in answer:
        raise TransportError(str(answer["code"]), str(answer["text"]))
    return float(answer["seconds"])
