"""A terminal's page without its terminal: the real server on a loop of its own, driven screen by screen."""

import asyncio
import io
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from PIL import Image

from agent.kiosk import JoinCode, KioskServer
from agent.kiosk.aim import Aim, measure
from agent.kiosk.operator import Facts, Health, Outcome, Part
from agent.kiosk.pin import hash_pin
from agent.verification.inputs import Inputs
from agent.verification.screen import Screen, Screens
from firmware_bridge.reader import AccessKey

PIN = "40711953"
PORTRAITS = Path(__file__).parents[3] / "firmware_bridge/simulator/portraits"
Result = TypeVar("Result")


def portrait_jpeg() -> bytes:
    """The shipped public-domain portrait as a preview picture."""
    with Image.open(PORTRAITS / "holder-live.jpg") as picture:
        scene = Image.new("RGB", (320, 240), (214, 208, 198))
        face = picture.convert("RGB")
        face.thumbnail((300, 232))
        scene.paste(face, ((320 - face.width) // 2, 240 - face.height))
    out = io.BytesIO()
    scene.save(out, "JPEG", quality=80)
    return out.getvalue()


class StandingOperator:
    """Facts as a healthy terminal with one old error would give them; counts the self-tests."""

    def __init__(self, preview: Callable[[], bytes | None]) -> None:
        self._preview = preview
        self.self_tests = 0

    async def facts(self) -> Facts:
        return Facts(
            terminal="lobby-07",
            version="0.1.0",
            uptime=93_784.0,
            temperature=51.5,
            devices=(
                Part("passport", Health.GOOD, "ready"),
                Part("id-card", Health.BAD, "/dev/ttyUSB0 is absent", "reader.gone"),
                Part("camera", Health.GOOD, "15.0 frames/s"),
            ),
            network=(Part("broker", Health.GOOD, "connected"), Part("queue", Health.DEGRADED, "3 messages wait")),
            checks=(
                Part("device key", Health.GOOD, "TPM 2.0"),
                Part("models", Health.GOOD, "digests hold"),
                Part("clock", Health.GOOD, "synchronised"),
            ),
            outcomes=(
                Outcome(1_795_000_000.0, 4.2),
                Outcome(1_794_999_000.0, 9.8, "face.mismatch"),
                Outcome(1_794_998_000.0, 3.9),
                Outcome(1_794_997_000.0, 2.1, "document.removed"),
            ),
        )

    async def self_test(self) -> None:
        self.self_tests += 1

    async def aim(self) -> Aim | None:
        jpeg = self._preview()
        return None if jpeg is None else measure(jpeg)


class Stand:
    """The server in a thread; `show` publishes a screen as the flow would."""

    def __init__(self, language: str = "en", **options: Any) -> None:
        self.screens = Screens()
        self.inputs = Inputs()
        self.picture: bytes | None = portrait_jpeg()
        self.operator = StandingOperator(lambda: self.picture)
        self.keys: list[AccessKey] = []
        self._language = language
        self._options = {"pin_hash": hash_pin(PIN), "port": 0, **options}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="stand", daemon=True)
        self._thread.start()
        self._start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    def show(self, *screens: Screen) -> None:
        """Publish `screens` in one turn of the loop: pages are told of the last one only."""

        def publish() -> None:
            for screen in screens:
                self.screens.show(screen)

        self._loop.call_soon_threadsafe(publish)

    def taken_key(self) -> AccessKey:
        return self.run(asyncio.wait_for(self.inputs.take(), 5))

    def stop(self) -> None:
        """The agent goes away; `restart` brings it back on the same port, with new secrets."""
        self._options["port"] = self.server.port
        self.run(self.server.close())

    def restart(self) -> None:
        self._start()

    def close(self) -> None:
        self.run(self.server.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def _start(self) -> None:
        self.server = self.run(self._serve())

    async def _serve(self) -> KioskServer:
        server = KioskServer(
            self.screens,
            self.inputs,
            lambda: self.picture,
            self.operator,
            language=self._language,
            **self._options,
        )
        await server.start()
        return server


def joining() -> JoinCode:
    """A join code whose signature has the size of a COSE_Sign1 with ES256."""
    return JoinCode("lobby-07", lambda claims: claims + bytes(90), lifetime=60.0)
