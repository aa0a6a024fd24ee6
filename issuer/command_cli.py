"""`renzheng-issuer command`: order something of a terminal by an operator's own key, and wait for the result."""

import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import cbor2
import click
from cryptography.hazmat.primitives import serialization
from rich.console import Console
from rich.progress import Progress

from agent.wire import bounded, commands, topics
from agent.wire.commands import MAX_LIFETIME, Command, CommandProgress, CommandResult
from agent.wire.errors import WireError
from agent.wire.keys import SoftwareSigner, thumbprint
from issuer import certificates, config_outgoing, store
from issuer.errors import IssuerError
from issuer.events import EventStore
from issuer.layout import Layout

_POLL = 0.25


@click.group()
def command() -> None:
    """Order something of a terminal.

    The operator signs, the issuer only carries: the terminal pins the operator's public key with a role.

    \b
      renzheng-issuer command keygen anna
      renzheng-issuer command send ISSUER lobby-1 self-test --key anna.key --wait 30
    """


@command.command()
@click.argument("name", type=click.Path(dir_okay=False, path_type=Path))
def keygen(name: Path) -> None:
    """Make the private key NAME.key, and NAME.pem, the public one, for the terminals' operators.toml."""
    key, public = name.with_suffix(".key"), name.with_suffix(".pem")
    if key.exists() or public.exists():
        raise IssuerError(f"{key} or {public} is there already")
    private = certificates.new_key()
    certificates.save(name, private, [])
    public.write_bytes(
        private.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    click.echo(f"{key}: keep it to yourself\n{public}: goes into operators.toml of the terminals")


@command.command()
@click.argument("folder", type=click.Path(file_okay=False, exists=True, path_type=Path))
@click.argument("terminal")
@click.argument("name")
@click.option("--key", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--argument", default="", help="What the command takes, if it takes anything.")
@click.option("--lifetime", type=click.IntRange(5, MAX_LIFETIME), default=60, show_default=True, help="Seconds.")
@click.option("--wait", type=float, default=0.0, help="Seconds to wait for the result.")
@click.option("--open", "seal", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Sealing key.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Write the result's content here.")
@click.option("--database", default="", help="SQLAlchemy URL; the default is FOLDER/issuer.db (SQLite).")
def send(
    folder: Path,
    terminal: str,
    name: str,
    key: Path,
    argument: str,
    lifetime: int,
    wait: float,
    seal: Path | None,
    output: Path | None,
    database: str,
) -> None:
    """Order NAME of TERMINAL; a running issuer carries it within a second."""
    now = int(time.time())
    order = Command(
        issued_at=now,
        command_id=secrets.token_bytes(16),
        terminal=terminal,
        name=name,
        expires_at=now + lifetime,
        argument=argument,
    )
    signed = commands.sign(order, SoftwareSigner(certificates.load_key(key)))
    with store.opened(database or store.sqlite_url(Layout(folder).database)) as engine:
        config_outgoing.enter(engine, topics.COMMAND, [terminal], signed, expires_at=order.expires_at)
        click.echo(f"{name} for {terminal}: {order.command_id.hex()}")
        if wait:
            result = _wait(EventStore(engine), order, wait)
            _show(order, result, seal, output)


def _wait(events: EventStore, order: Command, seconds: float) -> CommandResult:
    end = time.monotonic() + seconds
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(order.name, total=100)
        while time.monotonic() < end:
            for report in _told(events, order):
                if isinstance(report, CommandResult):
                    return report
                bar.update(task, completed=report.done, description=f"{order.name}: {report.step}")
            time.sleep(_POLL)
    raise IssuerError(f"no result of {order.terminal} in {seconds:g} s: is it connected?")


def _told(events: EventStore, order: Command) -> Iterator[CommandProgress | CommandResult]:
    """What is known of an order, progress first."""
    for kind, model in ((commands.PROGRESS, CommandProgress), (commands.RESULT, CommandResult)):
        for event in events.read(order.terminal, kind=kind, last=100):
            try:
                report = model.decode(event.payload, limit=commands.RESULT_LIMIT + 4096)
            except WireError:
                continue
            if report.command_id == order.command_id and isinstance(report, CommandProgress | CommandResult):
                yield report


def _show(order: Command, result: CommandResult, seal: Path | None, output: Path | None) -> None:
    if result.outcome != "done":
        raise IssuerError(f"{result.outcome}: {result.reason}")
    content = result.content
    if result.sealed and seal is not None:
        private = certificates.load_key(seal)
        keys = {thumbprint(private.public_key()): private}
        try:
            content = commands.open_result(content, keys, terminal=order.terminal, command_id=order.command_id)
        except WireError as error:
            raise IssuerError(f"the result does not open with {seal}: {error}") from error
    click.echo("done")
    if output is not None:
        output.write_bytes(content)
        click.echo(f"{len(content)} bytes in {output}")
    elif content and not (result.sealed and seal is None):
        click.echo(_readable(content))


def _readable(content: bytes) -> str:
    try:
        return str(bounded.decode(content, limit=commands.RESULT_LIMIT))
    except (WireError, cbor2.CBORDecodeError):
        return f"{len(content)} bytes; --output FILE writes them"
