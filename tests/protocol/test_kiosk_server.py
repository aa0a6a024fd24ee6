"""The page's server over real connections: who is let in, what is told, and what never is."""

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
from yarl import URL

from agent.failures import RenzhengError
from agent.kiosk import JoinCode, KioskServer
from agent.kiosk.board import BEAT
from agent.kiosk.pin import FREE_TRIES, hash_pin
from agent.verification.inputs import Inputs
from agent.verification.screen import Screen, Screens, Stage
from firmware_bridge.reader import MrzKey
from tests.system.kiosk.stand import PIN, StandingOperator, joining, portrait_jpeg

SPECIMEN = {"kind": "mrz", "number": "L898902C36", "birth": "7408122", "expiry": "1204159"}


class World:
    """A server and a browser-like client on it."""

    def __init__(self, join: JoinCode | None = None) -> None:
        self.screens, self.inputs = Screens(), Inputs()
        self.asked = 0
        self.fault = ""
        self.operator = StandingOperator(portrait_jpeg)
        self.server = KioskServer(
            self.screens,
            self.inputs,
            self.preview,
            self.operator,
            port=0,
            language="en",
            pin_hash=hash_pin(PIN),
            join=join or joining(),
            fault=lambda: self.fault,
        )

    def preview(self) -> bytes:
        self.asked += 1
        return portrait_jpeg()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    def client(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(self.url, cookie_jar=aiohttp.CookieJar(unsafe=True))


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    await world.server.start()
    yield world
    await world.server.close()


@pytest.fixture
async def page(world: World) -> AsyncIterator[aiohttp.ClientSession]:
    """A client that has loaded the page and holds its cookie."""
    async with world.client() as client:
        async with client.get("/") as answer:
            assert answer.status == 200
        yield client


async def status(client: aiohttp.ClientSession, method: str, path: str, **options: object) -> int:
    async with client.request(method, path, **options) as answer:  # type: ignore[arg-type]  # passed on as they are
        return answer.status


async def test_it_listens_on_loopback_alone(world: World) -> None:
    here = {address[4][0] for address in socket.getaddrinfo(socket.gethostname(), None)} - {"127.0.0.1", "::1"}
    for address in here:
        with socket.socket(socket.AF_INET6 if ":" in str(address) else socket.AF_INET) as probe:
            assert probe.connect_ex((address, world.server.port)) != 0
    sockets = {site.name for site in world.server._runner.sites} if world.server._runner else set()
    assert sockets == {f"http://127.0.0.1:{world.server.port}"}


@pytest.mark.parametrize(
    "path", ["/events", "/preview", "/languages", "/code.svg", "/static/main.js", "/operator/facts"]
)
async def test_without_the_page_there_is_nothing(world: World, path: str) -> None:
    async with world.client() as stranger:
        assert await status(stranger, "GET", path) == 403
    assert world.asked == 0


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "terminal.example"},
        {"Host": "127.0.0.1"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_another_origin_is_kept_out_even_with_the_cookie(
    page: aiohttp.ClientSession, headers: dict[str, str]
) -> None:
    assert await status(page, "GET", "/", headers=headers) == 403
    assert await status(page, "GET", "/events", headers=headers) == 403
    assert await status(page, "POST", "/key", headers=headers, json=SPECIMEN) == 403


async def test_the_staff_is_asked_for_while_a_face_is_wanted_and_not_before(
    world: World, page: aiohttp.ClientSession
) -> None:
    for stage in set(Stage) - {Stage.FACE}:
        world.screens.show(Screen(stage))
        assert await status(page, "POST", "/staff") == 409
    assert not world.inputs.staffed.is_set()
    world.screens.show(Screen(Stage.FACE))
    assert await status(page, "POST", "/staff") == 204
    assert world.inputs.staffed.is_set()
    world.inputs.clear()
    assert not world.inputs.staffed.is_set()


async def test_where_help_is_can_be_told_in_any_language_that_there_is() -> None:
    def serving(**help_at: str) -> KioskServer:
        operator = StandingOperator(portrait_jpeg)
        return KioskServer(
            Screens(), Inputs(), lambda: None, operator, port=0, language="en", pin_hash=None, help_at=help_at
        )

    server = serving(zh="服务台在您左侧。")
    await server.start()
    async with aiohttp.ClientSession(
        f"http://127.0.0.1:{server.port}", cookie_jar=aiohttp.CookieJar(unsafe=True)
    ) as page:
        await page.get("/")
        told = await (await page.get("/languages")).json()
    await server.close()
    assert told["languages"]["zh"]["page"]["staff_body"] == "服务台在您左侧。"
    assert "desk" in told["languages"]["en"]["page"]["staff_body"]
    with pytest.raises(RenzhengError, match="'tlh'"):
        serving(tlh="…")


async def test_every_answer_is_strict_and_none_is_kept(page: aiohttp.ClientSession) -> None:
    for path in ("/", "/operator", "/languages", "/static/page.css", "/preview", "/nothing"):
        async with page.get(path) as answer:
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert "http" not in policy
            assert answer.headers["Cache-Control"] == "no-store"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert not [name for name in answer.headers if name.startswith("Access-Control-")]


async def test_the_cookie_is_for_this_page_alone(world: World) -> None:
    async with world.client() as client, client.get("/") as answer:
        cookie = answer.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie


async def test_each_start_has_a_secret_of_its_own(world: World, page: aiohttp.ClientSession) -> None:
    other = World()
    await other.server.start()
    held = page.cookie_jar.filter_cookies(page._base_url)  # type: ignore[arg-type]  # the client's own address
    async with aiohttp.ClientSession(other.url, cookies={k: m.value for k, m in held.items()}) as old:
        assert await status(old, "GET", "/languages") == 403
    await other.server.close()


@pytest.mark.parametrize(
    "path", ["/static/../server.py", "/static/..%2fserver.py", "/static/%2e%2e/pin.py", "/static/x.js"]
)
async def test_files_outside_the_page_do_not_exist(page: aiohttp.ClientSession, path: str) -> None:
    async with page.get(URL(path, encoded=True)) as answer:
        assert answer.status == 404


async def test_each_event_holds_the_whole_screen(world: World, page: aiohttp.ClientSession) -> None:
    async with page.get("/events") as stream:
        first = await event(stream)
        assert first["stage"] == "idle"
        world.screens.show(Screen(Stage.FACE, document=0.5, step=1, steps=3, held=0.25, light="#ff0000"))
        shown = await event(stream)
        while shown["stage"] == "idle":
            shown = await event(stream)
        assert shown.items() >= {"document": 0.5, "step": 1, "steps": 3, "held": 0.25, "light": "#ff0000"}.items()
        assert shown["serial"] > first["serial"]


async def test_a_still_screen_is_told_again_and_again(page: aiohttp.ClientSession) -> None:
    async with page.get("/events") as stream:
        async with asyncio.timeout(3 * BEAT):
            assert [(await event(stream))["stage"] for _ in range(3)] == ["idle"] * 3


async def test_nobody_is_invited_while_the_terminal_cannot_serve(world: World, page: aiohttp.ClientSession) -> None:
    world.fault = "camera.gone"
    async with page.get("/events") as stream:
        shown = await event(stream)
        assert (shown["stage"], shown["failure"], shown["number"]) == ("out_of_order", "camera.gone", 160)
        async with asyncio.timeout(5 * BEAT):
            world.screens.show(Screen(Stage.READING))
            await until(stream, lambda told: told["stage"] == "reading")
            world.screens.show(Screen(Stage.IDLE))
            told = await until(stream, lambda told: told["stage"] != "reading")
            assert told["stage"] == "out_of_order"
            world.fault = ""
            await until(stream, lambda told: told["stage"] == "idle")


async def test_pages_without_end_are_refused(page: aiohttp.ClientSession) -> None:
    streams = [await page.get("/events") for _ in range(5)]
    for stream in streams[:4]:
        await event(stream)
    assert [stream.status for stream in streams] == [200, 200, 200, 200, 503]
    for stream in streams:
        stream.close()


async def test_the_preview_is_for_the_face_alone(world: World, page: aiohttp.ClientSession) -> None:
    for stage in Stage:
        world.screens.show(Screen(stage))
        expected = 200 if stage is Stage.FACE else 204
        assert await status(page, "GET", "/preview") == expected, stage
    assert world.asked == 1


async def test_a_typed_key_reaches_the_flow(world: World, page: aiohttp.ClientSession) -> None:
    world.screens.show(Screen(Stage.NEED_KEY))
    assert await status(page, "POST", "/key", json=SPECIMEN) == 204
    key = await asyncio.wait_for(world.inputs.take(), 1)
    assert isinstance(key, MrzKey)
    assert key.document_number == "L898902C3"


async def test_a_wrong_check_digit_is_told_by_its_field(page: aiohttp.ClientSession) -> None:
    async with page.post("/key", json=SPECIMEN | {"expiry": "1204158"}) as answer:
        assert answer.status == 422
        assert await answer.json() == {"field": "expiry"}


async def test_a_key_is_taken_only_while_one_helps(world: World, page: aiohttp.ClientSession) -> None:
    world.screens.show(Screen(Stage.DECIDING))
    assert await status(page, "POST", "/key", json=SPECIMEN) == 409


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"kind":"can","can":"1"}', b"\xff" * 40])
async def test_nonsense_is_refused(page: aiohttp.ClientSession, body: bytes) -> None:
    assert await status(page, "POST", "/key", data=body) == 400
    assert await status(page, "POST", "/operator/session", data=body) == 400


async def test_a_large_body_is_refused(page: aiohttp.ClientSession) -> None:
    assert await status(page, "POST", "/key", data=b"x" * 5000) == 413


async def test_a_code_that_cannot_be_signed_is_taken_away_until_one_can() -> None:
    broken = asyncio.Event()

    def sign(claims: bytes) -> bytes:
        if broken.is_set():
            raise RuntimeError("the token has gone")
        return claims + bytes(90)

    world = World(JoinCode("lobby-07", sign, lifetime=0.2))
    await world.server.start()
    async with world.client() as page, asyncio.timeout(20):
        await status(page, "GET", "/")
        async with page.get("/events") as stream:
            first = await until(stream, lambda shown: shown["code"] > 0)
            broken.set()
            await until(stream, lambda shown: shown["code"] == 0)
            assert await status(page, "GET", "/code.svg") == 404
            broken.clear()
            again = await until(stream, lambda shown: shown["code"] > 0)
            assert again["code"] > first["code"]
            assert await status(page, "GET", "/code.svg") == 200
    await world.server.close()


async def test_an_operator_at_work_is_not_sent_out_by_the_browser(page: aiohttp.ClientSession) -> None:
    async with page.post("/operator/session", json={"pin": PIN}) as answer:
        cookie = answer.headers["Set-Cookie"]
    # The server ends a session that nobody uses; a cookie with an age of its own would end one that is used.
    assert "Max-Age" not in cookie
    assert "expires" not in cookie.lower()
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie


async def test_stop_ends_the_verification(world: World, page: aiohttp.ClientSession) -> None:
    assert await status(page, "POST", "/cancel") == 204
    assert world.inputs.cancelled.is_set()


@pytest.mark.parametrize("path", ["facts", "aim", "preview"])
async def test_the_operators_facts_need_the_pin(page: aiohttp.ClientSession, path: str) -> None:
    assert await status(page, "GET", f"/operator/{path}") == 401
    assert await status(page, "POST", "/operator/session", json={"pin": PIN}) == 204
    assert await status(page, "GET", f"/operator/{path}") == 200
    assert await status(page, "POST", "/operator/leave") == 204
    assert await status(page, "GET", f"/operator/{path}") == 401


async def test_guessing_is_locked_out_also_side_by_side(page: aiohttp.ClientSession) -> None:
    guesses = [status(page, "POST", "/operator/session", json={"pin": f"{n:08}"}) for n in range(12)]
    answers = await asyncio.gather(*guesses)
    assert answers.count(401) == FREE_TRIES + 1
    assert answers.count(429) == 12 - FREE_TRIES - 1
    assert await status(page, "POST", "/operator/session", json={"pin": PIN}) == 429


async def test_the_pin_and_the_typed_key_are_in_no_log(
    page: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await status(page, "POST", "/operator/session", json={"pin": PIN})
    await status(page, "POST", "/operator/session", json={"pin": "13572468"})
    await status(page, "POST", "/operator/session", data=b'{"pin": "13572468", "x')
    await status(page, "POST", "/key", json=SPECIMEN)
    await status(page, "POST", "/key", json=SPECIMEN | {"birth": "7408123"})
    for secret in (PIN, "13572468", "L898902C", "740812"):
        assert secret not in caplog.text


async def test_without_a_pin_nothing_opens() -> None:
    world = World()
    server = KioskServer(
        world.screens, world.inputs, world.preview, world.operator, port=0, language="zh", pin_hash=None
    )
    await server.start()
    async with aiohttp.ClientSession(
        f"http://127.0.0.1:{server.port}", cookie_jar=aiohttp.CookieJar(unsafe=True)
    ) as client:
        await status(client, "GET", "/operator")
        assert await status(client, "POST", "/operator/session", json={"pin": PIN}) == 404
        assert await status(client, "GET", "/code.svg") == 404
    await server.close()


async def test_a_taken_port_and_an_unknown_language_are_named(world: World) -> None:
    other = KioskServer(
        world.screens, world.inputs, world.preview, world.operator, port=world.server.port, language="en", pin_hash=None
    )
    with pytest.raises(RenzhengError) as taken:
        await other.start()
    assert taken.value.code == "kiosk.port"
    with pytest.raises(RenzhengError, match=r"'xx'.*en.*zh") as unknown:
        KioskServer(world.screens, world.inputs, world.preview, world.operator, port=0, language="xx", pin_hash=None)
    assert unknown.value.code == "kiosk.language"


async def until(stream: aiohttp.ClientResponse, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The next event that is wanted: a beat or a new code may bring others before it."""
    while not wanted(shown := await event(stream)):
        pass
    return shown


async def event(stream: aiohttp.ClientResponse) -> dict[str, Any]:
    line = await stream.content.readline()
    assert await stream.content.readline() == b"\n"
    shown: dict[str, Any] = json.loads(line.removeprefix(b"data: "))
    return shown
