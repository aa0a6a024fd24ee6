"""Who may talk to the page's server: a page that this server gave out, in a browser on this device, and nobody else.

Loopback alone does not keep out a web page opened in the same browser: its requests carry another Host (DNS rebinding)
or another Origin, and never the cookie, which is SameSite=Strict and new at every start.
"""

import hmac
import ipaddress
import secrets

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

COOKIE = "renzheng-page"
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "Cache-Control": "no-store",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), usb=(), serial=(), hid=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
#: What a browser may load before it holds the cookie.
_OPEN = frozenset({"/", "/operator"})


def guard(port: int) -> Middleware:
    """The middleware for a server on `port`, with a token of its own."""
    token = secrets.token_urlsafe(32)
    hosts = frozenset({f"127.0.0.1:{port}", f"localhost:{port}"})
    origins = frozenset(f"http://{host}" for host in hosts)

    @web.middleware
    async def admit(request: web.Request, handler: Handler) -> web.StreamResponse:
        opening = request.path in _OPEN and request.method == "GET"
        if not _is_from_here(request, hosts, origins) or not (opening or _holds(request, token)):
            return web.Response(status=403, headers=HEADERS)
        try:
            response = await handler(request)
        except web.HTTPException as refused:
            response = web.Response(status=refused.status)
        if not response.prepared:
            response.headers.update(HEADERS)
            if opening:
                response.set_cookie(COOKIE, token, httponly=True, samesite="Strict", path="/")
        return response

    return admit


def _is_from_here(request: web.Request, hosts: frozenset[str], origins: frozenset[str]) -> bool:
    peer = request.remote or ""
    try:
        loopback = ipaddress.ip_address(peer).is_loopback
    except ValueError:
        loopback = False
    origin = request.headers.get("Origin")
    return (
        loopback
        and request.headers.get("Host", "") in hosts
        and (origin is None or origin in origins)
        and request.headers.get("Sec-Fetch-Site", "none") in {"none", "same-origin"}
    )


def _holds(request: web.Request, token: str) -> bool:
    return hmac.compare_digest(request.cookies.get(COOKIE, "").encode(), token.encode())
