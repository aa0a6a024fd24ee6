"""What a service tells systemd (sd_notify(3)): a few lines over a datagram socket, no library."""

import os
import socket
from collections.abc import Mapping
from contextlib import suppress


class Notifier:
    """Sends service states; outside systemd it sends nothing."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        # A leading @ stands for the abstract namespace; elsewhere it is part of a path.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self.watchdog = _watchdog_seconds(environment)

    @property
    def wired(self) -> bool:
        """Whether somebody listens."""
        return bool(self._address)

    def ready(self, status: str) -> None:
        """Start-up is over."""
        self._send(f"READY=1\nSTATUS={status}")

    def status(self, status: str) -> None:
        """One line for `systemctl status`."""
        self._send(f"STATUS={status}")

    def alive(self) -> None:
        """Feed the watchdog."""
        self._send("WATCHDOG=1")

    def trigger(self) -> None:
        """Ask for the watchdog's action at once: waiting for its time-out would only cost the person's time."""
        self._send("WATCHDOG=trigger")

    def stopping(self) -> None:
        """The service is on its way out."""
        self._send("STOPPING=1")

    def _send(self, state: str) -> None:
        if not self._address:
            return
        # A manager that does not listen must not hold up the loop; it hears the next word.
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender, suppress(BlockingIOError):
            sender.sendto(state.encode(), socket.MSG_DONTWAIT, self._address)


def _watchdog_seconds(environment: Mapping[str, str]) -> float:
    """The time-out that the unit sets, 0 for none or when it is meant for another process (sd_watchdog_enabled(3))."""
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0
    text = environment.get("WATCHDOG_USEC", "")
    return int(text) / 1e6 if text.isdigit() else 0.0
