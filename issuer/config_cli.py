"""`renzheng-issuer config`: carry documents of the authority to terminals, and see what became of them."""

import json
import time
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from agent.wire import topics
from agent.wire.configuration import DOCUMENT_LIMIT, MANIFEST_LIMIT, REPORT, ChangeReport
from agent.wire.errors import WireError
from issuer import config_outgoing, store
from issuer.config_bundles import BundleFiles
from issuer.errors import IssuerError
from issuer.events import EventStore
from issuer.layout import Layout

_FOLDER = click.argument("folder", type=click.Path(file_okay=False, exists=True, path_type=Path))
_DATABASE = click.option("--database", default="", help="SQLAlchemy URL; the default is FOLDER/issuer.db (SQLite).")
_JSON = click.option("--json", "as_json", is_flag=True, help="For machines.")


@click.group()
def config() -> None:
    """Carry signed configuration to terminals.

    \b
    The authority signs (`renzheng config sign`), the issuer only carries:
      renzheng-issuer config publish ISSUER settings.cose lobby-1
      renzheng-issuer config status ISSUER
    """


@config.command()
@_FOLDER
@click.argument("document", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("terminals", nargs=-1)
@click.option("--all", "everybody", is_flag=True, help="Every enrolled terminal; those it is not for refuse it.")
@_DATABASE
def publish(folder: Path, document: Path, terminals: tuple[str, ...], everybody: bool, database: str) -> None:
    """Publish DOCUMENT (retained) to TERMINALS; a running issuer does so within a second."""
    payload = document.read_bytes()
    if len(payload) > DOCUMENT_LIMIT:
        raise IssuerError(f"{document} is larger than the {DOCUMENT_LIMIT} bytes that terminals take")
    if bool(terminals) == everybody:
        raise IssuerError("name terminals, or say --all")
    with store.opened(database or store.sqlite_url(Layout(folder).database)) as engine:
        names = config_outgoing.all_terminals(engine) if everybody else list(terminals)
        if not names:
            raise IssuerError("no terminal is enrolled: renzheng-issuer enroll FOLDER TERMINAL")
        config_outgoing.enter(engine, topics.CONFIGURATION, names, payload)
    click.echo(f"entered for {', '.join(names)}; see: renzheng-issuer config status {folder}")


@config.command("publish-bundle")
@_FOLDER
@click.argument("manifest", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("terminals", nargs=-1, required=True)
@click.option(
    "--files",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of the bundle's files, which the issuer then hands out over MQTT.",
)
@_DATABASE
def publish_bundle(folder: Path, manifest: Path, terminals: tuple[str, ...], files: Path | None, database: str) -> None:
    """Publish the signed MANIFEST of a model bundle (retained) to TERMINALS."""
    payload = manifest.read_bytes()
    if len(payload) > MANIFEST_LIMIT:
        raise IssuerError(f"{manifest} is larger than the {MANIFEST_LIMIT} bytes that terminals take")
    if files is not None:
        held = BundleFiles(folder)
        for path in sorted(path for path in files.iterdir() if path.is_file()):
            click.echo(f"{held.add(path)}  {path.name}")
    with store.opened(database or store.sqlite_url(Layout(folder).database)) as engine:
        config_outgoing.enter(engine, topics.BUNDLE, list(terminals), payload)
    click.echo(f"entered for {', '.join(terminals)}; see: renzheng-issuer config status {folder}")


@config.command()
@_FOLDER
@_DATABASE
@_JSON
def status(folder: Path, database: str, as_json: bool) -> None:
    """What each terminal has last said about its configuration."""
    with store.opened(database or store.sqlite_url(Layout(folder).database)) as engine:
        rows = last_reports(EventStore(engine))
    if as_json:
        click.echo(json.dumps(rows))
        return
    table = Table("terminal", "of", "number", "state", "reason", "in force", "reported")
    for row in rows:
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(row["received_at"]))
        texts = [str(row[name]) for name in ("terminal", "subject", "number", "state", "reason", "active")]
        table.add_row(*texts, at)
    Console().print(table)


def last_reports(events: EventStore) -> list[dict[str, Any]]:
    """The newest report of each terminal and subject."""
    newest: dict[tuple[str, str], dict[str, Any]] = {}
    for event in events.read(kind=REPORT, last=10_000):
        try:
            report = ChangeReport.decode(event.payload, limit=4096)
        except WireError:
            continue
        newest[event.terminal, report.subject] = {
            "terminal": event.terminal,
            "subject": report.subject,
            "number": report.number,
            "digest": report.digest.hex(),
            "state": report.state,
            "reason": report.reason,
            "active": report.active,
            "received_at": event.received_at,
        }
    return [newest[key] for key in sorted(newest)]
