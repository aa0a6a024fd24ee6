"""`renzheng audit`: verify the chain of records, and show what it holds."""

import json
import sys
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from agent.cli.run import DEFAULT_SETTINGS
from agent.configuration.load import load
from agent.health.audit import Head, lines_of, parse
from agent.health.audit_check import by_key, verify
from agent.trust.anchors import read_certificates
from agent.trust.identity import DEVICE_CHAIN
from agent.wire.chain import read_attester

_SETTINGS = click.option(
    "--settings",
    type=click.Path(path_type=Path, dir_okay=False, readable=False),
    default=DEFAULT_SETTINGS,
    show_default=True,
    help="The settings file, for the audit's folder and the certificate.",
)
_FOLDER = click.option(
    "--folder", type=click.Path(path_type=Path, file_okay=False, readable=False), help="The audit, if it was copied."
)
_JSON = click.option("--json", "as_json", is_flag=True, help="For machines.")


@click.group()
def audit() -> None:
    """Verify and show the audit: codes, times and digests of every verification, chained and signed. No persons."""


@audit.command("verify")
@_SETTINGS
@_FOLDER
@click.option("--certificate", type=click.Path(path_type=Path, dir_okay=False), help="The device's certificate (PEM).")
@click.option("--head", "known", metavar="SEQ:DIGEST", help="The newest record that the issuer was told of.")
@_JSON
def verify_(settings: Path, folder: Path | None, certificate: Path | None, known: str | None, as_json: bool) -> None:
    """Check every signature and every link. Exit status 0 if the audit holds, 2 if it does not.

    A chain cannot show that its end was cut off: give the newest record that somebody else has seen as --head.
    """
    folder = folder or load(settings).terminal.state / "audit"
    certificate = certificate or load(settings).identity.folder / DEVICE_CHAIN
    _must_be_there(folder)
    report = verify(folder, by_key(read_attester(read_certificates(certificate)[0]).public_key), head=_head(known))
    if as_json:
        click.echo(
            json.dumps(
                {"records": report.records, "first": report.first, "head": str(report.head), "fault": report.fault}
            )
        )
    elif report.fault:
        click.echo(f"the audit does NOT hold: {report.fault}", err=True)
    else:
        click.echo(f"{report.records} records hold, from {report.first} to {report.head}")
    sys.exit(2 if report.fault else 0)


@audit.command("show")
@_SETTINGS
@_FOLDER
@click.option("--last", type=click.IntRange(1), default=20, show_default=True, help="How many records.")
@_JSON
def show(settings: Path, folder: Path | None, last: int, as_json: bool) -> None:
    """Show the newest records."""
    folder = folder or load(settings).terminal.state / "audit"
    _must_be_there(folder)
    records = list(_newest(folder, last))
    if as_json:
        click.echo(json.dumps(records))
        return
    shown = Table()
    for column in ("record", "time (UTC)", "event", "details"):
        shown.add_column(column)
    for record in records:
        seq, at, event = record.pop("seq"), record.pop("time"), record.pop("event")
        record.pop("prev")
        details = "  ".join(f"{name} {value}" for name, value in islice(record.items(), 8) if value != "")
        shown.add_row(str(seq), f"{datetime.fromtimestamp(float(str(at)), UTC):%Y-%m-%d %H:%M:%S}", str(event), details)
    Console().print(shown)


def _must_be_there(folder: Path) -> None:
    if not folder.is_dir():
        raise click.ClickException(f"{folder} is not there: no record has been written, or --settings is another's")


def _newest(folder: Path, last: int) -> Iterator[dict[str, object]]:
    for place, line in deque(lines_of(folder), last):
        try:
            yield parse(line)[0]
        except ValueError:
            raise click.ClickException(f"{place} is not a record; `renzheng audit verify` says what holds") from None


def _head(text: str | None) -> Head | None:
    if text is None:
        return None
    seq, _, digest = text.partition(":")
    if not seq.isdigit() or len(digest) != 64:
        raise click.BadParameter("SEQ:DIGEST, as telemetry and `audit verify` print it", param_hint="--head")
    return Head(int(seq), digest)
