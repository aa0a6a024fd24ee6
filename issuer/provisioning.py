"""The HTTPS end of enrolment. Apart from `run`: it can be stopped when no terminal is being set up."""

import json
import ssl
from collections.abc import Awaitable, Callable

from aiohttp import web
from sqlalchemy.engine import Engine

from agent.wire.enrolment import ENROL_PATH, RENEW_PATH
from issuer import enrolment, policy
from issuer.errors import IssuerError
from issuer.layout import Layout

_BODY_LIMIT = 32 * 1024

_Answer = Callable[[dict[str, str]], dict[str, str]]


def application(layout: Layout, engine: Engine) -> web.Application:
    """The two resources; every error of a terminal is a 403 with one line of text."""
    name = policy.load(layout.policy).name

    def enrol(body: dict[str, str]) -> dict[str, str]:
        device, tls = body["device"].encode(), body["tls"].encode()
        return enrolment.enrol(layout, engine, bytes.fromhex(body["secret"]), device, tls)

    def renew(body: dict[str, str]) -> dict[str, str]:
        return enrolment.renew(layout, engine, name, bytes.fromhex(body["signed"]))

    app = web.Application(client_max_size=_BODY_LIMIT)
    app.add_routes([web.post(ENROL_PATH, _handler(enrol)), web.post(RENEW_PATH, _handler(renew))])
    return app


def tls_context(layout: Layout) -> ssl.SSLContext:
    """TLS 1.3 with the certificate whose digest the codes hold."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    key = layout.key("provisioning")
    context.load_cert_chain(key.with_suffix(".pem"), key.with_suffix(".key"))
    return context


def _handler(answer: _Answer) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        try:
            body = await request.json()
            return web.json_response(answer(body))
        except (json.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError):
            return web.json_response({"error": "not a request of this contract"}, status=400)
        except IssuerError as error:
            return web.json_response({"error": str(error)}, status=403)

    return handle
