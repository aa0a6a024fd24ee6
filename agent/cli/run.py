"""`renzheng run`: serve as a terminal until SIGTERM."""

import asyncio
import signal
from pathlib import Path

import click

from agent.app import running
from agent.configuration.store import open_store
from agent.health import events, log
from agent.remote import Steward
from agent.renewal import follow

DEFAULT_SETTINGS = Path("/etc/renzheng/renzheng.toml")

settings_option = click.option(
    "--settings",
    "path",
    type=click.Path(path_type=Path, dir_okay=False, readable=False),
    default=DEFAULT_SETTINGS,
    show_default=True,
    help="The settings file.",
)


@click.command()
@settings_option
def run(path: Path) -> None:
    """Serve as a terminal: what the systemd unit starts. Ends cleanly on SIGTERM and SIGINT.

    Settings that the authority sent over MQTT lie over those of the file; `renzheng config show` tells which.
    """
    asyncio.run(_serve(path))


async def _serve(path: Path) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    steward = Steward(path, open_store(path))
    while not stopped.is_set():
        settings = steward.boot()
        log.configure(settings.log.level)
        async with running(settings, steward=steward) as app, follow(steward, app.screens):
            await _either(stopped, steward.again)
            events.emit(events.STOPPED, reason="signal" if stopped.is_set() else "renewal")


async def _either(*wishes: asyncio.Event) -> None:
    waits = [asyncio.create_task(wish.wait()) for wish in wishes]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
