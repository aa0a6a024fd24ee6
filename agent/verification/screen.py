"""What the screen shows, as data: the flow publishes, the kiosk page and the demo subscribe.

A screen never carries personal data; the holder's picture and name do not pass here.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from time import monotonic

from agent.biometrics.types import Guidance


class Stage(StrEnum):
    """The states of the page."""

    IDLE = "idle"
    NEED_KEY = "need_key"
    READING = "reading"
    FACE = "face"
    DECIDING = "deciding"
    VERIFIED = "verified"
    REFUSED = "refused"
    TRY_AGAIN = "try_again"
    #: Somebody asked for the staff.
    STAFF = "staff"
    OUT_OF_ORDER = "out_of_order"


@dataclass(frozen=True, slots=True)
class Screen:
    """One moment of the page. `since` is monotonic, for measuring how soon a screen reaches the glass."""

    stage: Stage
    #: Chip bytes read of those expected, 0..1; stays at its last value while the face is looked for.
    document: float = 0.0
    guidance: Guidance | None = None
    #: Challenge steps done and in all.
    step: int = 0
    steps: int = 0
    #: How long the asked pose has been held, 0..1.
    held: float = 0.0
    #: sRGB colour that the page lights the face with ("#rrggbb"), or "" for none.
    light: str = ""
    #: Failure code and number, for REFUSED, TRY_AGAIN, STAFF and OUT_OF_ORDER.
    failure: str = ""
    number: int = 0
    since: float = field(default_factory=monotonic)


class Screens:
    """The current screen and those who watch it; a slow watcher misses intermediate screens, never the last."""

    def __init__(self) -> None:
        self.current = Screen(Stage.IDLE)
        #: How many people have come and gone: who misses screens in between still knows that the next one stands there.
        self.visits = 0
        self._watchers: set[asyncio.Queue[Screen]] = set()
        self._listeners: set[Callable[[Screen], None]] = set()

    def show(self, screen: Screen) -> None:
        """Publish `screen` (call it on the loop)."""
        # Who was verified is done; after any other ending the same person may try again at once.
        ends = screen.stage is Stage.IDLE or self.current.stage is Stage.VERIFIED
        if ends and screen.stage is not self.current.stage:
            self.visits += 1
        self.current = screen
        for listener in self._listeners:
            listener(screen)
        for queue in self._watchers:
            with suppress(asyncio.QueueEmpty):
                queue.get_nowait()
            queue.put_nowait(screen)

    def listen(self, listener: Callable[[Screen], None]) -> None:
        """Call `listener` on the loop for each screen (a simulated person reads the screen this way)."""
        self._listeners.add(listener)

    async def watch(self) -> AsyncIterator[Screen]:
        """The current screen, then each that follows."""
        queue: asyncio.Queue[Screen] = asyncio.Queue(1)
        queue.put_nowait(self.current)
        self._watchers.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._watchers.discard(queue)
