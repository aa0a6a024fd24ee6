"""`renzheng trust`: whose documents this terminal believes."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.progress import track
from rich.table import Table

from agent.cli.run import settings_option

_folder = click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="The trust folder.  [default: the settings' documents.trust]",
)
_json = click.option("--json", "as_json", is_flag=True, help="For programs.")


@click.group()
def trust() -> None:
    """Import and list CSCA certificates, link certificates, ICAO master lists and revocation lists."""


def _chosen(folder: Path | None, settings: Path) -> Path:
    if folder is not None:
        return folder
    from agent.configuration.load import load

    return load(settings).documents.trust


@trust.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@_folder
@settings_option
@_json
def import_(files: tuple[Path, ...], folder: Path | None, path: Path, as_json: bool) -> None:
    """Take FILES into the trust folder: certificates and CRLs in PEM or DER, ICAO master lists (.ml).

    A master list's signature is checked, and so is a CRL's against the CSCA that is known by then. Importing a
    certificate means to believe every document that its state signs: compare the digests that `trust list` shows with
    those that the state publishes. Exit status 1 if anything was refused.
    """
    from firmware_bridge.emrtd.trust import TrustStore
    from firmware_bridge.emrtd.trust_import import import_file

    target = _chosen(folder, path)
    store = TrustStore.load(target) if target.exists() else TrustStore()
    console = Console(stderr=True)
    # The service reads them under another user, whatever the mask of whoever imports.
    os.umask(0o022)
    # Certificates before the lists that they sign, whatever the order on the command line.
    ordered = sorted(files, key=lambda file: file.suffix.lower() == ".crl")
    results = [
        import_file(file, target, store)
        for file in track(ordered, "importing", console=console, disable=not console.is_terminal or as_json)
    ]
    if as_json:
        click.echo(json.dumps([asdict(result) for result in results], indent=2))
    else:
        for result in results:
            click.echo(f"{result.file}: {result.kind or 'refused'}, {result.new} new, {result.known} known already")
            for reason in result.refused:
                click.echo(f"  refused: {reason}", err=True)
    sys.exit(1 if any(result.refused for result in results) else 0)


@trust.command("list")
@_folder
@settings_option
@_json
def list_(folder: Path | None, path: Path, as_json: bool) -> None:
    """Show what the trust folder holds, with last days and digests."""
    from firmware_bridge.emrtd.trust import TrustStore
    from firmware_bridge.emrtd.trust_import import entries

    target = _chosen(folder, path)
    store = TrustStore.load(target) if target.exists() else TrustStore()
    found = list(entries(store))
    if as_json:
        rows = [{**asdict(entry), "until": entry.until.isoformat() if entry.until else None} for entry in found]
        click.echo(json.dumps({"folder": str(target), "entries": rows, "rejected": store.rejected}, indent=2))
        return
    table = Table("what", "country", "name", "until", "SHA-256", title=str(target), title_justify="left")
    for entry in found:
        until = f"{entry.until:%Y-%m-%d}" if entry.until else ""
        table.add_row(
            entry.role,
            entry.country,
            entry.name,
            until + (" expired" if entry.expired else ""),
            entry.sha256[:16],
            style="red" if entry.expired else "",
        )
    Console().print(table)
    for text in store.rejected:
        click.echo(f"not usable: {text}", err=True)
