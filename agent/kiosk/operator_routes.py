"""The operator page's requests: a PIN opens a short session, then facts, self-test and the camera's aim."""

import asyncio
from collections.abc import Callable
from dataclasses import asdict

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent.kiosk.operator import OperatorView
from agent.kiosk.pin import Door, pin_matches

COOKIE = "renzheng-operator"


class _GivenPin(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    pin: str = Field(pattern=r"^[0-9]{8}$", repr=False)


class OperatorRoutes:
    """The routes; without a `pin_hash` the page says that there is none and nothing opens it."""

    def __init__(self, view: OperatorView, pin_hash: str | None, preview: Callable[[], bytes | None]) -> None:
        self._view = view
        self._pin_hash = pin_hash
        self._preview = preview
        self._door = Door()

    def routes(self) -> list[web.RouteDef]:
        """What the server serves under /operator/."""
        return [
            web.get("/operator/session", self._state),
            web.post("/operator/session", self._enter),
            web.post("/operator/leave", self._leave),
            web.get("/operator/facts", self._facts),
            web.post("/operator/self-test", self._self_test),
            web.get("/operator/aim", self._aim),
            web.get("/operator/preview", self._picture),
        ]

    async def _state(self, request: web.Request) -> web.Response:
        return web.json_response(
            {
                "pin": self._pin_hash is not None,
                "open": self._door.admits(request.cookies.get(COOKIE, "")),
                "locked": round(self._door.locked_for()),
            }
        )

    async def _enter(self, request: web.Request) -> web.Response:
        if self._pin_hash is None:
            raise web.HTTPNotFound
        if self._door.locked_for() > 0:
            return web.json_response({"locked": round(self._door.locked_for())}, status=429)
        try:
            given = _GivenPin.model_validate_json(await request.read())
        except ValidationError:
            return web.Response(status=400)
        self._door.begin_try()
        if not await asyncio.to_thread(pin_matches, given.pin, self._pin_hash):
            return web.json_response({"locked": round(self._door.locked_for())}, status=401)
        response = web.Response(status=204)
        # Without an age: the door ends a session that is not used, the browser must not end one that is.
        response.set_cookie(COOKIE, self._door.open(), httponly=True, samesite="Strict", path="/operator")
        return response

    async def _leave(self, request: web.Request) -> web.Response:
        self._admit(request)
        self._door.close()
        return web.Response(status=204)

    async def _facts(self, request: web.Request) -> web.Response:
        self._admit(request)
        return web.json_response(asdict(await self._view.facts()))

    async def _self_test(self, request: web.Request) -> web.Response:
        self._admit(request)
        await self._view.self_test()
        return web.Response(status=204)

    async def _aim(self, request: web.Request) -> web.Response:
        self._admit(request)
        aim = await self._view.aim()
        return web.json_response(None if aim is None else asdict(aim))

    async def _picture(self, request: web.Request) -> web.Response:
        self._admit(request)
        return picture(self._preview())

    def _admit(self, request: web.Request) -> None:
        if not self._door.admits(request.cookies.get(COOKIE, "")):
            raise web.HTTPUnauthorized


def picture(jpeg: bytes | None) -> web.Response:
    """A preview as an answer; empty when there is none."""
    if jpeg is None:
        return web.Response(status=204)
    return web.Response(body=jpeg, content_type="image/jpeg")
