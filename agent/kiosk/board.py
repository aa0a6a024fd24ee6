"""What the page shows now, as one event that holds all of it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

from agent.failures import lookup
from agent.verification.screen import Screen, Screens, Stage

#: A page that hears nothing for a few of these takes the agent for gone.
BEAT = 2.0


def describe(screen: Screen, *, serial: int, visits: int, code: int, page: str) -> bytes:
    """The event's data: the whole screen as JSON.

    `serial` counts events and `visits` people who left; `code` names the join code (0 is none), `page` the files that
    the server has now.
    """
    return json.dumps(
        {
            "serial": serial,
            "visits": visits,
            "stage": screen.stage,
            "document": round(screen.document, 3),
            "guidance": screen.guidance or "",
            "step": screen.step,
            "steps": screen.steps,
            "held": round(screen.held, 3),
            "light": screen.light,
            "failure": screen.failure,
            "number": screen.number,
            "code": code,
            "page": page,
        }
    ).encode()


class Board:
    """Follows the screens and tells each open page; a slow page misses screens in between, never the last."""

    def __init__(self, screens: Screens, page: str, fault: Callable[[], str]) -> None:
        self._screens = screens
        self._page = page
        self._fault = fault
        self._serial = 0
        self._code = 0
        self._pages: set[asyncio.Event] = set()
        self._closed = False

    @property
    def screen(self) -> Screen:
        """The screen that is shown."""
        return self._screens.current

    @property
    def pages(self) -> int:
        """How many pages are open."""
        return len(self._pages)

    async def follow(self) -> None:
        """Tell the pages of each screen, until cancelled."""
        async for _screen in self._screens.watch():
            self._tell()

    def show_code(self, code: int) -> None:
        """Name a new join code."""
        self._code = code
        self._tell()

    async def events(self) -> AsyncIterator[bytes]:
        """The screen now, whenever it changes, and at every beat: server-sent events."""
        changed = asyncio.Event()
        self._pages.add(changed)
        try:
            while not self._closed:
                changed.clear()
                yield b"data: %b\n\n" % self._now()
                with suppress(TimeoutError):
                    async with asyncio.timeout(BEAT):
                        await changed.wait()
        finally:
            self._pages.discard(changed)

    def _now(self) -> bytes:
        return describe(
            self._shown(), serial=self._serial, visits=self._screens.visits, code=self._code, page=self._page
        )

    def _shown(self) -> Screen:
        """Nobody is invited while the terminal cannot serve; the beat alone is soon enough to tell."""
        screen = self._screens.current
        if screen.stage is not Stage.IDLE or not (fault := self._fault()):
            return screen
        return Screen(Stage.OUT_OF_ORDER, failure=fault, number=lookup(fault).number)

    def close(self) -> None:
        """End the pages' streams."""
        self._closed = True
        self._tell()

    def _tell(self) -> None:
        self._serial += 1
        for changed in self._pages:
            changed.set()
