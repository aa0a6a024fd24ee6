"""Files of a bundle, fetched over MQTT in pieces or by HTTPS from an allowed origin, and resumed after a cut.

What has arrived lies in a `.part` file under the digest that it must have in the end; its size says where to go on. A
whole file with another digest is thrown away: whoever sent it decides nothing.
"""

import asyncio
import hashlib
import logging
import os
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from http import HTTPStatus
from pathlib import Path
from typing import Protocol

import aiohttp

from agent import durable
from agent.failures import RenzhengError
from agent.transport import backoff
from agent.transport.mqtt import Incoming, MqttLink
from agent.wire import topics
from agent.wire.configuration import CHUNK_LIMIT, CHUNK_SIZE, BundleFile, Chunk, Fetch
from agent.wire.errors import WireError

_LOG = logging.getLogger(__name__)

#: Attempts in a row that bring nothing, before the fetch is given up for now.
_ATTEMPTS = 6
_PATIENCE = 10.0
#: Bytes between syncs: what a power cut may cost.
_SYNC = 4 * 1024 * 1024


class Source(Protocol):
    """Where files come from."""

    def pieces(self, file: BundleFile, offset: int) -> AsyncIterator[bytes]:
        """The bytes of `file` from `offset` on, in pieces of any size; may end early, or raise RenzhengError."""


class MqttSource:
    """Files from the issuer, one question and one answer at a time. Make it before the link is started."""

    def __init__(self, link: MqttLink, terminal: str) -> None:
        self._link = link
        self._terminal = terminal
        self._waiting: tuple[bytes, int, asyncio.Future[bytes]] | None = None
        link.handle(topics.CHUNK.of(terminal), self.take)

    def take(self, message: Incoming) -> None:
        """A message on the chunk topic."""
        if self._waiting is None:
            return
        sha256, offset, future = self._waiting
        try:
            chunk = Chunk.decode(message.payload, limit=CHUNK_LIMIT)
        except WireError as error:
            _LOG.warning("a chunk was refused: %s", error)
            return
        if (chunk.sha256, chunk.offset) == (sha256, offset) and not future.done():
            future.set_result(chunk.data)

    async def pieces(self, file: BundleFile, offset: int) -> AsyncIterator[bytes]:
        """As `Source.pieces`."""
        while offset < file.size:
            piece = await self._ask(file, offset)
            if not piece:
                return
            yield piece
            offset += len(piece)

    async def _ask(self, file: BundleFile, offset: int) -> bytes:
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting = (file.sha256, offset, future)
        question = Fetch(terminal=self._terminal, sha256=file.sha256, offset=offset).encode()
        try:
            await self._link.wait_connected(_PATIENCE, urgent=False)
            await self._link.publish(
                topics.FETCH.of(self._terminal), question, expiry=topics.FETCH.expiry, timeout=_PATIENCE
            )
            async with asyncio.timeout(_PATIENCE):
                return await future
        except TimeoutError:
            raise RenzhengError("bundle.unreachable", "the issuer did not send a piece in time") from None
        finally:
            self._waiting = None


class HttpsSource:
    """Files by HTTPS from `origin`, which must be one of `allowed`. Redirects are not followed.

    Raises:
        RenzhengError: `bundle.origin`.
    """

    def __init__(self, origin: str, allowed: Sequence[str], *, tls: ssl.SSLContext | None = None) -> None:
        if origin not in allowed:
            raise RenzhengError("bundle.origin", "the manifest names an origin that this terminal does not allow")
        self._origin = origin
        self._tls = tls or ssl.create_default_context()

    async def pieces(self, file: BundleFile, offset: int) -> AsyncIterator[bytes]:
        """As `Source.pieces`."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_PATIENCE, sock_read=_PATIENCE)
        headers = {"Range": f"bytes={offset}-", "Accept-Encoding": "identity"}
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(
                    f"{self._origin}{file.name}", headers=headers, ssl=self._tls, allow_redirects=False
                ) as response,
            ):
                if response.status != HTTPStatus.PARTIAL_CONTENT and (offset or response.status != HTTPStatus.OK):
                    raise RenzhengError("bundle.unreachable", f"the origin answered {response.status}")
                async for piece in response.content.iter_chunked(CHUNK_SIZE):
                    yield piece
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise RenzhengError("bundle.unreachable", f"the origin: {type(error).__name__}") from error


async def download(source: Source, file: BundleFile, folder: Path) -> Path:
    """The file in `folder`, under its digest, fetched as far as it is missing.

    Raises:
        RenzhengError: `bundle.unreachable` (what has arrived stays for the next time), `bundle.digest`.
        OSError: the disk.
    """
    whole = folder / file.sha256.hex()
    if whole.exists():
        return whole
    part = whole.with_suffix(".part")
    waits = backoff.delays(first=0.2, cap=_PATIENCE)
    idle = 0
    while (before := _size(part)) < file.size:
        try:
            await _append(source, file, part)
        except RenzhengError as error:
            if error.code != "bundle.unreachable" and not error.code.startswith("broker."):
                raise
            _LOG.info("a piece of %s did not come: %s", file.name, error)
        idle = 0 if _size(part) > before else idle + 1
        if idle >= _ATTEMPTS:
            raise RenzhengError("bundle.unreachable", f"{file.name}: {before} of {file.size} bytes have come")
        if idle:
            await asyncio.sleep(next(waits))
    await asyncio.to_thread(_finish, part, whole, file)
    return whole


def is_whole(path: Path, file: BundleFile) -> bool:
    """Whether the file at `path` is the one that the manifest names.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").digest() == file.sha256


async def _append(source: Source, file: BundleFile, part: Path) -> None:
    offset = _size(part)
    descriptor = await asyncio.to_thread(_open, part)
    unsynced = 0
    try:
        async with aclosing(source.pieces(file, offset)) as pieces:  # type: ignore[type-var]  # every source is a generator
            async for piece in pieces:
                offset += len(piece)
                if offset > file.size:
                    await asyncio.to_thread(part.unlink)
                    raise RenzhengError("bundle.digest", f"{file.name} is longer than its manifest says")
                unsynced += await asyncio.to_thread(_write, descriptor, piece)
                if unsynced >= _SYNC:
                    await asyncio.to_thread(os.fsync, descriptor)
                    unsynced = 0
    finally:
        os.close(descriptor)


def _finish(part: Path, whole: Path, file: BundleFile) -> None:
    if not is_whole(part, file):
        part.unlink()
        raise RenzhengError("bundle.digest", f"{file.name} is not what its manifest says")
    with part.open("rb+") as content:
        os.fsync(content.fileno())
    part.rename(whole)
    durable.sync_folder(whole.parent)


def _open(part: Path) -> int:
    part.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return os.open(part, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def _write(descriptor: int, piece: bytes) -> int:
    view = memoryview(piece)
    while view:
        view = view[os.write(descriptor, view) :]
    return len(piece)


def _size(part: Path) -> int:
    try:
        return part.stat().st_size
    except FileNotFoundError:
        return 0
