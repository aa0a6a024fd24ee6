"""`renzheng-issuer retention`: what is held, and forgetting it now."""

import json
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from issuer import policy, store
from issuer import retention as rules
from issuer.layout import Layout
from issuer.retention import Holding

_FOLDER = click.argument("folder", type=click.Path(file_okay=False, exists=True, path_type=Path))
_DATABASE = click.option("--database", default="", help="SQLAlchemy URL; the default is FOLDER/issuer.db (SQLite).")
_JSON = click.option("--json", "as_json", is_flag=True, help="For machines.")


@click.group()
def retention() -> None:
    """See what the issuer holds, and make it forget what is due.

    The days are those of [retention] in issuer.toml. A running issuer forgets by itself, every hour.
    """


@retention.command()
@_FOLDER
@_DATABASE
@_JSON
def show(folder: Path, database: str, as_json: bool) -> None:
    """Print how much is held of each kind, since when, and how much of it is due."""
    layout = Layout(folder)
    settings = policy.load(layout.policy)
    with store.opened(database or store.sqlite_url(layout.database)) as engine:
        found = rules.survey(engine, settings.retention, time.time())
    if as_json:
        click.echo(json.dumps([asdict(holding) for holding in found]))
        return
    table = Table("what", "kept for", "held", "oldest", "due")
    for holding in found:
        table.add_row(holding.name, _days(holding.days), str(holding.held), _oldest(holding), str(holding.due))
    Console().print(table)


@retention.command()
@_FOLDER
@_DATABASE
@_JSON
@click.option("--yes", is_flag=True, help="Do not ask.")
def purge(folder: Path, database: str, as_json: bool, yes: bool) -> None:
    """Forget what is due, now. It cannot be undone; what guards against replay is never touched."""
    layout = Layout(folder)
    settings = policy.load(layout.policy)
    with store.opened(database or store.sqlite_url(layout.database)) as engine:
        now = time.time()
        due = {holding.name: holding.due for holding in rules.survey(engine, settings.retention, now)}
        told = ", ".join(f"{number} {name}" for name, number in due.items() if number) or "nothing"
        if any(due.values()) and not yes:
            ahead = " THE CLOCK IS FAR AHEAD OF THE NEWEST RECORD." if rules.is_far_ahead(engine, now) else ""
            click.confirm(f"forget {told}?{ahead}", abort=True)
        done = rules.sweep(engine, settings.retention, now)
    click.echo(json.dumps(done) if as_json else f"forgotten: {told}")


def _days(days: int) -> str:
    return f"{days} days" if days else "ever"


def _oldest(holding: Holding) -> str:
    if holding.oldest is None:
        return ""
    return f"{datetime.fromtimestamp(holding.oldest, UTC).astimezone():%Y-%m-%d}"
