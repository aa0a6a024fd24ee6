"""`renzheng run`: serve as a terminal until SIGTERM."""

import asyncio
import signal
from pathlib import Path

import click

from agent.app import running
from agent.configuration.load import load
from agent.configuration.schema import Settings
from agent.health import log

DEFAULT_SETTINGS = Path("/etc/renzheng/renzheng.toml")

settings_option = click.option(
    "--settings",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    default=DEFAULT_SETTINGS,
    show_default=True,
    help="The settings file.",
)


@click.command()
@settings_option
def run(path: Path) -> None:
    """Serve as a terminal: what the systemd unit starts. Ends cleanly on SIGTERM and SIGINT."""
    settings = load(path)
    log.configure(settings.log.level)
    asyncio.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    async with running(settings):
        await stopped.wait()
