"""The code that the idle page shows: a phone scans it to join a verification or an issuance at this terminal.

It is a CWT (RFC 8392): issuer (the terminal), expiry, issued-at and a random id, signed by a callable (the device key)
and written in Base32, which QR codes hold in their dense alphanumeric mode (ISO/IEC 18004, 7.4.4).
"""

import asyncio
import base64
import io
import secrets
import time
from collections.abc import Callable

import cbor2
import segno

from agent.wire import cose
from agent.wire.keys import Signer

PREFIX = "RENZHENG:"
_ISSUER, _EXPIRES, _ISSUED, _ID = 1, 4, 6, 7


class JoinCode:
    """Makes short-lived codes; `sign` takes the claims' bytes and gives the signed COSE_Sign1 object."""

    def __init__(self, terminal: str, sign: Callable[[bytes], bytes], *, lifetime: float = 60.0) -> None:
        self._terminal = terminal
        self._sign = sign
        self.lifetime = lifetime

    async def fresh(self) -> bytes:
        """A new code as SVG; the signature is made in a thread, for a TPM takes its time."""
        return await asyncio.to_thread(self._draw)

    def _draw(self) -> bytes:
        return draw(PREFIX + base64.b32encode(self._sign(self._claims())).decode().rstrip("="))

    def _claims(self) -> bytes:
        now = int(time.time())
        return cbor2.dumps(
            {_ISSUER: self._terminal, _EXPIRES: now + int(self.lifetime), _ISSUED: now, _ID: secrets.token_bytes(8)}
        )


def device_join_code(terminal: str, issuer: str, signer: Signer) -> JoinCode:
    """Codes that the device key signs for `issuer`, whose app scans them and knows the terminal's key by its id."""
    context = cose.Context("join", issuer, terminal)
    return JoinCode(terminal, lambda claims: cose.sign(claims, signer, context))


def draw(text: str) -> bytes:
    """`text` as a QR code in SVG with its quiet zone, dark on white, without a size of its own."""
    out = io.BytesIO()
    segno.make_qr(text, error="l", boost_error=True).save(
        out, kind="svg", border=4, dark="#16202e", light="#ffffff", omitsize=True, xmldecl=False
    )
    return out.getvalue()
