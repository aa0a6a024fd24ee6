"""`renzheng kiosk`: the page full-screen on this terminal's display (what renzheng-kiosk.service starts)."""

import os
import shutil
import socket
import time
from pathlib import Path

import click

#: The compositor for one program, what it cannot start without, and the browser.
PROGRAMS = {"cage": "cage", "Xwayland": "xwayland", "chromium": "chromium"}
#: Chromium can reach this device and nothing else, keeps nothing, and offers nothing but the page.
FLAGS = (
    "--kiosk",
    "--ozone-platform=wayland",
    "--incognito",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--no-proxy-server",
    "--disable-quic",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-breakpad",
    "--disable-logging",
    "--disable-features=Translate,MediaRouter,OptimizationHints,OverscrollHistoryNavigation",
    "--disable-pinch",
    "--overscroll-history-navigation=0",
    "--hide-crash-restore-bubble",
    "--noerrdialogs",
    "--password-store=basic",
    "--autoplay-policy=no-user-gesture-required",
)


@click.command()
@click.option(
    "--port", default=8471, show_default=True, envvar="RENZHENG_KIOSK_PORT", help="`kiosk.port` of the settings."
)
@click.option(
    "--turn",
    type=click.IntRange(0, 3),
    default=0,
    show_default=True,
    envvar="RENZHENG_KIOSK_TURN",
    help="Quarter turns clockwise, for a panel that is mounted upright.",
)
@click.option("--flag", "flags", multiple=True, envvar="RENZHENG_KIOSK_FLAGS", help="A further flag for Chromium.")
def kiosk(*, port: int, turn: int, flags: tuple[str, ...]) -> None:
    """Show the page full-screen: Chromium in the Wayland compositor cage.

    Waits for the agent, then becomes the compositor. It needs a seat: a session of logind, or WLR_BACKENDS=headless.
    """
    absent = [package for program, package in PROGRAMS.items() if shutil.which(program) is None]
    if absent:
        install = f"apt-get install --no-install-recommends {' '.join(absent)}"
        raise click.ClickException(f"programs are missing; remedy: {install}")
    profile = _profile()
    _wait(port)
    command = ["cage", "-d", *["-r"] * turn, "--", "chromium", f"--user-data-dir={profile}", *FLAGS, *flags]
    os.execvp(command[0], [*command, f"http://127.0.0.1:{port}/"])  # noqa: S606  # no shell is wanted here


def _profile() -> Path:
    """A new folder in memory for what the browser writes: the service's, or the session's."""
    for variable in ("RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR"):
        if folder := os.environ.get(variable):
            profile = Path(folder) / "chromium"
            shutil.rmtree(profile, ignore_errors=True)
            return profile
    raise click.ClickException("neither RUNTIME_DIRECTORY nor XDG_RUNTIME_DIR is set: start renzheng-kiosk.service")


def _wait(port: int) -> None:
    """Chromium does not come back from a page that was not there when it started; the page comes back from the rest."""
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.5)
        else:
            return
