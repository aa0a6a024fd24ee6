"""Turns the flow's progress into screens: merges what the reader and the camera tell, one screen at a time."""

import asyncio
from dataclasses import replace
from time import monotonic

from agent.biometrics.types import STAFFED, Guidance
from agent.failures import lookup
from agent.verification.camera import Prompt
from agent.verification.outcome import Outcome, Result
from agent.verification.screen import Screen, Screens, Stage
from firmware_bridge.reader import Progress

#: Seconds that each ending stays on the screen: what is to be read stays longer than a tick.
LINGER = {
    Stage.VERIFIED: 6.0,
    Stage.TRY_AGAIN: 10.0,
    Stage.REFUSED: 12.0,
    Stage.OUT_OF_ORDER: 12.0,
    # Until somebody has come.
    Stage.STAFF: 45.0,
}


class Presenter:
    """What the person sees of one verification after the other."""

    def __init__(self, screens: Screens) -> None:
        self._screens = screens
        self._now = Screen(Stage.IDLE)
        self._idle: asyncio.TimerHandle | None = None
        self._face_done = self._document_done = False

    def begin(self, steps: int) -> None:
        """A new person."""
        self._stop_timer()
        self._face_done = self._document_done = False
        self._show(Screen(Stage.READING, steps=steps))

    def need_key(self) -> None:
        """The machine-readable lines are asked for."""
        self._show(replace(self._now, stage=Stage.NEED_KEY))

    def reading(self) -> None:
        """The read has begun."""
        self._show(replace(self._now, stage=Stage.READING))

    def document(self, progress: Progress) -> None:
        """The read has come further."""
        if progress.total and not self._document_done:
            share = min(1.0, progress.done / progress.total)
            self._show(replace(self._now, document=max(self._now.document, share)))

    def document_done(self) -> None:
        """The document can be lifted."""
        self._document_done = True
        self._show(replace(self._now, document=1.0))

    def face(self, prompt: Prompt) -> None:
        """The camera asks for something."""
        if self._face_done or self._now.stage not in (Stage.READING, Stage.FACE):
            return
        self._show(
            replace(
                self._now,
                stage=Stage.FACE,
                guidance=prompt.guidance,
                step=prompt.step,
                steps=prompt.steps,
                held=prompt.held,
                light=prompt.light,
            )
        )

    def face_done(self) -> None:
        """The person may look away; the document may still be read."""
        self._face_done = True
        guidance = Guidance.DONE
        stage = Stage.FACE if self._document_done else Stage.READING
        self._show(replace(self._now, stage=stage, guidance=guidance, light=""))

    def deciding(self) -> None:
        """The issuer has the word."""
        self._show(replace(self._now, stage=Stage.DECIDING, guidance=None, light=""))

    def end(self, outcome: Outcome) -> None:
        """Show how it ended, then return to idle."""
        if outcome.result is Result.VERIFIED:
            self._show(Screen(Stage.VERIFIED))
        else:
            stage = Stage.TRY_AGAIN if outcome.retry else Stage.REFUSED
            if outcome.code == STAFFED:
                stage = Stage.STAFF
            elif outcome.result is Result.FAILED and not outcome.retry:
                stage = Stage.OUT_OF_ORDER
            self._show(Screen(stage, failure=outcome.code, number=lookup(outcome.code).number))
        self._idle = asyncio.get_running_loop().call_later(LINGER[self._now.stage], self._show, Screen(Stage.IDLE))

    def _show(self, screen: Screen) -> None:
        self._now = replace(screen, since=monotonic())
        self._screens.show(self._now)

    def _stop_timer(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
