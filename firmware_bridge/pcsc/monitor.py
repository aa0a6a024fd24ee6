"""Who comes and goes at one reader: a loop over SCardGetStatusChange that survives everything pcscd does.

A restarted pcscd invalidates every context: the monitor makes a new one, backing off up to `MAX_BACKOFF` seconds, and
tells GONE and BACK once each.
"""

from __future__ import annotations

import threading
import time
from collections import deque

from firmware_bridge.errors import BridgeError
from firmware_bridge.pcsc.context import Context, State, choose_reader
from firmware_bridge.reader import EventKind

MIN_BACKOFF, MAX_BACKOFF = 0.1, 2.0
#: Longest single wait, so that `close` is noticed even if its cancellation came too early.
_SLICE = 1.0
_COUNTER_SHIFT = 16


class Monitor:
    """Events of the first reader that `choose_reader` finds for `match`."""

    def __init__(self, match: str = "") -> None:
        self._match = match
        self._context: Context | None = None
        self._raw = 0
        self._present = False
        self._gone_told = False
        self._backoff = MIN_BACKOFF
        self._pending: deque[EventKind] = deque()
        self._closed = threading.Event()
        self._turn = threading.Lock()
        self.reader: str | None = None

    def wait(self, timeout: float) -> EventKind | None:
        """The next event within `timeout` seconds."""
        with self._turn:
            event = self._next(time.monotonic() + timeout)
        self._tidy()
        return event

    def _next(self, deadline: float) -> EventKind | None:
        while not self._closed.is_set():
            if self._pending:
                return self._pending.popleft()
            try:
                self._watch(deadline)
            except BridgeError:
                self._drop(deadline)
            if not self._pending and time.monotonic() >= deadline:
                return None
        return None

    def close(self) -> None:
        """End a `wait` from any thread, for good."""
        self._closed.set()
        context = self._context
        if context is not None:
            context.cancel()
        self._tidy()

    def _tidy(self) -> None:
        """Give the context back once closed: `wait` on its way out, or `close` if nobody waits."""
        if self._closed.is_set() and self._turn.acquire(blocking=False):
            try:
                self._release()
            finally:
                self._turn.release()

    def _release(self) -> None:
        if self._context is not None:
            self._context.close()
            self._context = None

    def _watch(self, deadline: float) -> None:
        if self._context is None:
            self._context = Context()
        if self.reader is None and not self._find(self._context):
            self._lost()
            self._pause(deadline)
            return
        left = max(0.0, min(deadline - time.monotonic(), _SLICE))
        states = self._context.wait({str(self.reader): self._raw}, int(left * 1000))
        if states is not None:
            self._changed(states[str(self.reader)])

    def _find(self, context: Context) -> bool:
        self.reader = choose_reader(context.readers(), self._match)
        if self.reader is None:
            return False
        self._raw, self._present, self._backoff = 0, False, MIN_BACKOFF
        if self._gone_told:
            self._gone_told = False
            self._pending.append(EventKind.BACK)
        return True

    def _changed(self, state: State) -> None:
        if state.gone:
            self.reader = None
            self._lost()
            return
        events = (state.raw >> _COUNTER_SHIFT) - (self._raw >> _COUNTER_SHIFT)
        swapped = self._raw != 0 and self._present and state.present and events >= 2
        if swapped:
            # One card left and another came between two looks: pcscd counts both.
            self._pending += (EventKind.REMOVED, EventKind.PRESENTED)
        elif state.present != self._present:
            self._pending.append(EventKind.PRESENTED if state.present else EventKind.REMOVED)
        self._raw, self._present = state.raw, state.present

    def _lost(self) -> None:
        self._present = False
        if not self._gone_told:
            self._gone_told = True
            self._pending.append(EventKind.GONE)

    def _drop(self, deadline: float) -> None:
        """The service is away: forget its context and wait before asking again."""
        self._release()
        self.reader = None
        told = self._gone_told
        self._lost()
        if told:
            self._pause(deadline)

    def _pause(self, deadline: float) -> None:
        self._closed.wait(max(0.0, min(self._backoff, deadline - time.monotonic())))
        self._backoff = min(self._backoff * 2, MAX_BACKOFF)
