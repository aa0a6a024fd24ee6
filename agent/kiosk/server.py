"""The server of the page that the person looks at: on loopback, with all that the page needs and no other host."""

import asyncio
import hashlib
import json
import logging
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from importlib import resources
from importlib.resources.abc import Traversable
from types import MappingProxyType

from aiohttp import web
from pydantic import ValidationError

from agent.failures import RenzhengError
from agent.kiosk.board import Board
from agent.kiosk.entry import Typed, WrongFieldError, key_from
from agent.kiosk.guard import HEADERS, guard
from agent.kiosk.join import JoinCode
from agent.kiosk.language import load_languages
from agent.kiosk.operator import OperatorView
from agent.kiosk.operator_routes import OperatorRoutes, picture
from agent.verification.inputs import Inputs
from agent.verification.screen import Screens, Stage

log = logging.getLogger(__name__)

#: Pages that may be open at once: the kiosk, the operator's look at it, and one that reloads.
MOST_PAGES = 4
MOST_BODY = 1024
#: Where a typed key still helps: before the chip is open.
_WANTS_KEY = frozenset({Stage.IDLE, Stage.NEED_KEY, Stage.READING})
_TYPES = {"css": "text/css", "html": "text/html", "js": "text/javascript", "svg": "image/svg+xml"}


class KioskServer:
    """Serves the page on 127.0.0.1 from `start` to `close`.

    Args:
        screens: what to show.
        inputs: where typed keys and the wish to stop go.
        preview: the newest small picture of the camera as JPEG, mirrored, or None; asked only while a face is wanted.
        operator: facts for the operator page.
        port: 0 takes a free one, see `port`.
        language: code of the language that the page starts with.
        pin_hash: as `agent.kiosk.pin.hash_pin` makes it; None closes the operator page.
        join: makes the code that a phone scans; None shows none.
        fault: the failure code that keeps the terminal from serving, or "": told instead of the idle screen.
        help_at: where the staff is, by language; languages that it leaves out say that the staff is at the desk.
        languages: folder of language files; the shipped ones by default.

    Raises:
        RenzhengError: `kiosk.language`, the language, or one of `help_at`, has no file.
    """

    def __init__(
        self,
        screens: Screens,
        inputs: Inputs,
        preview: Callable[[], bytes | None],
        operator: OperatorView,
        *,
        port: int,
        language: str,
        pin_hash: str | None,
        join: JoinCode | None = None,
        fault: Callable[[], str] = str,
        help_at: Mapping[str, str] = MappingProxyType({}),
        languages: Traversable | None = None,
    ) -> None:
        self._inputs = inputs
        self._preview = preview
        self._operator = OperatorRoutes(operator, pin_hash, preview)
        self._join = join
        self._svg = b""
        self.port = port
        known = load_languages(languages)
        for code in (language, *help_at):
            if code not in known:
                raise RenzhengError("kiosk.language", f"no language file for {code!r}; there are {sorted(known)}")
        self._languages = {
            "first": language,
            "languages": {code: known[code].telling(help_at.get(code, "")).model_dump() for code in sorted(known)},
        }
        self._files = _static_files()
        self._board = Board(screens, _digest(self._files, self._languages), fault)
        self._runner: web.AppRunner | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Listen on 127.0.0.1.

        Raises:
            RenzhengError: `kiosk.port`, another program has the port.
        """
        try:
            sock = socket.create_server(("127.0.0.1", self.port))
        except OSError as error:
            raise RenzhengError("kiosk.port", f"port {self.port} of 127.0.0.1: {error.strerror}") from error
        self.port = sock.getsockname()[1]
        app = web.Application(middlewares=[guard(self.port)], client_max_size=MOST_BODY)
        app.add_routes([*self._routes(), *self._operator.routes()])
        # No access log: a line for each preview picture helps nobody. Pages are told to end by the board.
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.SockSite(self._runner, sock).start()
        self._tasks = [asyncio.create_task(self._board.follow(), name="kiosk-board")]
        if self._join is not None:
            self._tasks.append(asyncio.create_task(self._renew_code(self._join), name="kiosk-code"))

    async def close(self) -> None:
        """Stop serving; open pages show that the terminal is not ready."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._board.close()
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def pages(self) -> int:
        """How many pages are open; 0 means that nobody can see the terminal."""
        return self._board.pages

    def _routes(self) -> list[web.RouteDef]:
        return [
            web.get("/", self._index),
            web.get("/operator", self._index),
            web.get("/static/{name}", self._static),
            web.get("/languages", self._say_languages),
            web.get("/events", self._events),
            web.get("/preview", self._picture),
            web.get("/code.svg", self._code),
            web.post("/key", self._take_key),
            web.post("/cancel", self._cancel),
            web.post("/staff", self._ask_for_staff),
        ]

    async def _index(self, request: web.Request) -> web.Response:
        return self._file("operator.html" if request.path == "/operator" else "index.html")

    async def _static(self, request: web.Request) -> web.Response:
        return self._file(request.match_info["name"])

    def _file(self, name: str) -> web.Response:
        if name not in self._files:
            raise web.HTTPNotFound
        return web.Response(body=self._files[name], content_type=_TYPES[name.rpartition(".")[2]], charset="utf-8")

    async def _say_languages(self, request: web.Request) -> web.Response:
        return web.json_response(self._languages)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        if self._board.pages >= MOST_PAGES:
            return web.Response(status=503)
        stream = web.StreamResponse(headers={**HEADERS, "Content-Type": "text/event-stream"})
        await stream.prepare(request)
        with suppress(ConnectionResetError):
            async for event in self._board.events():
                await stream.write(event)
        return stream

    async def _picture(self, request: web.Request) -> web.Response:
        wanted = self._board.screen.stage is Stage.FACE
        return picture(self._preview() if wanted else None)

    async def _code(self, request: web.Request) -> web.Response:
        if not self._svg:
            raise web.HTTPNotFound
        return web.Response(body=self._svg, content_type="image/svg+xml")

    async def _take_key(self, request: web.Request) -> web.Response:
        if self._board.screen.stage not in _WANTS_KEY:
            return web.Response(status=409)
        try:
            typed = Typed.validate_json(await request.read())
            key = key_from(typed, datetime.now(UTC).date())
        except ValidationError:
            return web.Response(status=400)
        except WrongFieldError as wrong:
            return web.json_response({"field": wrong.field}, status=422)
        self._inputs.give(key)
        return web.Response(status=204)

    async def _cancel(self, request: web.Request) -> web.Response:
        self._inputs.cancel()
        return web.Response(status=204)

    async def _ask_for_staff(self, request: web.Request) -> web.Response:
        if self._board.screen.stage is not Stage.FACE:
            return web.Response(status=409)
        self._inputs.ask_for_staff()
        return web.Response(status=204)

    async def _renew_code(self, join: JoinCode) -> None:
        serial = 0
        while True:
            try:
                self._svg = await join.fresh()
            except Exception as error:  # noqa: BLE001  # the driver of a token raises what it likes; the page goes on
                log.warning("no code can be signed for phones: %s", type(error).__name__)
                self._svg = b""
                self._board.show_code(0)
            else:
                serial += 1
                self._board.show_code(serial)
            # A phone that scans at the last moment still has half of the code's life to use it.
            await asyncio.sleep(join.lifetime / 2)


def _digest(files: Mapping[str, bytes], languages: Mapping[str, object]) -> str:
    """Tells a page that was loaded before an upgrade that it is an old one."""
    parts = [*(files[name] for name in sorted(files)), json.dumps(languages, sort_keys=True).encode()]
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]


def _static_files() -> dict[str, bytes]:
    folder = resources.files(__package__).joinpath("static")
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.name.rpartition(".")[2] in _TYPES}
