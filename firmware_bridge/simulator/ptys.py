"""Serial devices that are none: a pseudo terminal behind a path that stays, to be unplugged and plugged in again."""

from __future__ import annotations

import contextlib
import os
import select
import tempfile
import threading
import tty
from collections.abc import Callable
from pathlib import Path
from typing import Self


class PtyDevice:
    """A device that answers what is written to it.

    `path` is a link in a folder of its own; it is gone while the device is unplugged.
    """

    def __init__(self, receive: Callable[[bytes], None] | None = None, path: Path | None = None) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="renzheng-tty-")) if path is None else None
        self.path = path or Path(str(self._folder)) / "tty"
        self._receive = receive
        self._master = -1
        self._slave = -1
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def plug_in(self) -> Self:
        """Make the device appear."""
        self._master, self._slave = os.openpty()
        tty.setraw(self._master)
        tty.setraw(self._slave)
        self.path.unlink(missing_ok=True)
        self.path.symlink_to(os.ttyname(self._slave))
        # Only the reader holds the other end, so that it notices an unplugged device.
        self._stop.clear()
        self._thread = threading.Thread(target=self._serve, name="pty-device", daemon=True)
        self._thread.start()
        return self

    def unplug(self) -> None:
        """Make it vanish; whoever has it open gets an error."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(5)
            self._thread = None
        self.path.unlink(missing_ok=True)
        for descriptor in (self._slave, self._master):
            with contextlib.suppress(OSError):
                os.close(descriptor)
        self._master = self._slave = -1

    def send(self, data: bytes) -> None:
        """Bytes from the device to whoever has it open."""
        while data:
            data = data[os.write(self._master, data) :]

    def close(self) -> None:
        """Unplug and clean up."""
        self.unplug()
        if self._folder is not None:
            with contextlib.suppress(OSError):
                self._folder.rmdir()

    def __enter__(self) -> Self:
        return self.plug_in()

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def _serve(self) -> None:
        while not self._stop.is_set():
            readable, _, _ = select.select([self._master], [], [], 0.05)
            if not readable:
                continue
            try:
                data = os.read(self._master, 4096)
            except OSError:
                return
            if self._receive is not None and data:
                self._receive(data)
