"""Blocking calls with a deadline and a way out: one thread makes them, another waits for as long as it likes.

A card that never answers blocks `SCardTransmit` for ever, and nothing can interrupt it: the thread is then left
behind (it ends when the card leaves or the driver gives up) and its worker is not used again.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from firmware_bridge.errors import Code, DocumentError

Result = TypeVar("Result")
_POLL = 0.05


class Worker:
    """One thread that makes blocking calls, in order."""

    def __init__(self, name: str) -> None:
        self._calls: SimpleQueue[tuple[Callable[..., Any], tuple[Any, ...]] | None] = SimpleQueue()
        self._outcomes: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()
        self.stuck = False
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            function, arguments = call
            try:
                self._outcomes.put((function(*arguments), None))
            except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
                self._outcomes.put((None, error))

    def call(
        self, function: Callable[..., Result], *arguments: Any, timeout: float, cancel: threading.Event | None = None
    ) -> Result:
        """The result of `function(*arguments)`, made in the worker's thread.

        Raises:
            DocumentError: `document.cancelled`, or `document.silent` after `timeout` seconds; the worker is then stuck.
            Exception: whatever the function raises.
        """
        if self.stuck:
            raise DocumentError(Code.DOCUMENT_SILENT, "an earlier call has not come back")
        self._calls.put((function, arguments))
        deadline = time.monotonic() + timeout
        while True:
            left = deadline - time.monotonic()
            try:
                value, error = self._outcomes.get(timeout=max(0.0, min(_POLL, left)))
                break
            except Empty:
                self._give_up(cancel, left)
        if error is not None:
            raise error
        result: Result = value
        return result

    def _give_up(self, cancel: threading.Event | None, left: float) -> None:
        if cancel is not None and cancel.is_set():
            self.stuck = True
            raise DocumentError(Code.DOCUMENT_CANCELLED, "the read was cancelled")
        if left <= 0:
            self.stuck = True
            raise DocumentError(Code.DOCUMENT_SILENT, "no answer in time")

    def finish(self, cleanup: Callable[[], None], timeout: float) -> None:
        """Make one last call and end the thread; a stuck one does both when it comes back."""
        if not self.stuck:
            with contextlib.suppress(DocumentError):
                self.call(cleanup, timeout=timeout)
        else:
            self._calls.put((cleanup, ()))
        self._calls.put(None)
