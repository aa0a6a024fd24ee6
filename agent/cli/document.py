"""`renzheng document`: look into what a chip or a SAM-V module gave, without the chip."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

_STYLE = {"passed": "green", "failed": "bold red", "not_trusted": "red", "not_present": "dim"}


@click.group()
def document() -> None:
    """Look into a dump of a chip or a raw reply of a SAM-V module."""


class Moment(click.ParamType[datetime]):
    """A day or a moment; UTC unless it says otherwise."""

    name = "date"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Parse ISO 8601; a day means its noon."""
        if isinstance(value, datetime):
            return value
        try:
            parsed = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is no date; write 2026-05-31 or 2026-05-31T12:00:00+00:00", param, ctx)
        if len(str(value)) <= len("2026-05-31"):
            parsed = parsed.replace(hour=12)
        return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


@document.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--trust",
    "trust",
    multiple=True,
    type=click.Path(path_type=Path, exists=True),
    help="CSCA certificates, link certificates, CRLs (PEM or DER) or ICAO master lists: files or whole folders.",
)
@click.option("--at", type=Moment(), help="Judge validity on this day.  [default: the signing time, else today]")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.option(
    "--portrait",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the portrait of DG2 to this file, as the chip holds it.",
)
def inspect(folder: Path, trust: tuple[Path, ...], at: datetime | None, as_json: bool, portrait: Path | None) -> None:
    """Parse a chip's files in FOLDER and judge them.

    FOLDER holds EF_COM.bin, EF_SOD.bin, DG1.bin, DG2.bin and so on; any may be missing, other files are ignored.
    Exit status 0 only if passive authentication passed to a CSCA among the --trust files.

    The output holds personal data.
    """
    from firmware_bridge.emrtd import dump as dumps
    from firmware_bridge.emrtd import inspection
    from firmware_bridge.emrtd import portrait as portraits
    from firmware_bridge.emrtd.trust import TrustStore
    from firmware_bridge.errors import DocumentError

    try:
        dump = dumps.load(folder)
        result = inspection.inspect(dump, TrustStore.load(*trust), at=at)
        if portrait is not None and "DG2" in dump.contents:
            portrait.write_bytes(portraits.parse(dump.contents["DG2"]).data)
    except DocumentError as error:
        result = {"kind": "emrtd", "error": {"code": error.code.value, "text": str(error)}}
    if as_json:
        click.echo(json.dumps(result, indent=2, ensure_ascii=False))
    else:
        _show(result)
    passive = result.get("authentication", {}).get("passive_authentication", {})
    sys.exit(0 if passive.get("verdict") == "passed" else 1)


@document.command("decode-samv")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def decode_samv(file: Path, as_json: bool) -> None:
    """Decode a raw reply of a SAM-V module in FILE: a frame as it came over the line.

    A missing preamble and stray bytes around the frame are tolerated, a wrong checksum is not. Exit status 0 if FILE
    is a whole reply that reports success, and a card's number in it has the right check character.

    The output holds personal data.
    """
    from firmware_bridge.errors import BridgeError
    from firmware_bridge.samv import inspection

    try:
        result = inspection.inspect(file.read_bytes())
    except BridgeError as error:
        result = {"kind": "samv", "error": {"code": error.code.value, "text": str(error)}}
    if as_json:
        click.echo(json.dumps(result, indent=2, ensure_ascii=False))
    else:
        _show(result)
    sys.exit(0 if result.get("succeeded") and result.get("card", {}).get("number_valid") is not False else 1)


def _show(result: dict[str, Any]) -> None:
    console = Console()
    if "error" in result:
        console.print(f"[bold red]{result['error']['code']}[/]: {escape(result['error']['text'])}")
        return
    if "authentication" in result:
        table = Table("check", "verdict", "reason", title="Authentication", title_justify="left")
        for name, check in result["authentication"].items():
            verdict = Text(check["verdict"].replace("_", " "), style=_STYLE.get(check["verdict"], ""))
            table.add_row(name.replace("_", " "), verdict, escape(check["reason"]))
        console.print(table)
    rest = {key: value for key, value in result.items() if key not in {"authentication", "kind"}}
    for title, value in rest.items():
        _section(console, title.replace("_", " "), value)


def _section(console: Console, title: str, value: Any, depth: int = 0) -> None:
    indent = "  " * depth
    if isinstance(value, dict):
        console.print(f"{indent}{title}", style="bold", markup=False)
        for name, inner in value.items():
            _section(console, str(name).replace("_", " "), inner, depth + 1)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for number, inner in enumerate(value, start=1):
            _section(console, f"{title} {number}", inner, depth)
    elif value not in (None, "", []):
        shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        console.print(f"{indent}{title}: {shown}", markup=False, highlight=False, soft_wrap=True)
