"""`renzheng config`: the settings in force, documents of the configuration authority, and the way back."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from agent.cli.run import settings_option
from agent.configuration import signing
from agent.configuration.load import load
from agent.configuration.remote import ROLLED_BACK
from agent.configuration.schema import Settings
from agent.configuration.store import ConfigurationStore, InForce, open_store
from agent.trust import file_key
from agent.wire import configuration as wire

_DOCUMENT = click.argument("document", type=click.Path(exists=True, dir_okay=False, path_type=Path))
_OPTIONAL_DOCUMENT = click.argument(
    "document", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
_JSON = click.option("--json", "as_json", is_flag=True, help="For machines.")


@click.group()
def config() -> None:
    """Check, sign, show, compare and roll back settings.

    A terminal has a settings file of its own. The configuration authority changes settings from afar by signed
    documents that are laid over it: each is tried, and kept only when the terminal still works with it.

    \b
      renzheng config keygen authority.key                    # once, on the authority's own machine
      renzheng config sign evening.toml --key authority.key --number 4 --target group:lobby
      renzheng config check evening.cose                      # on a terminal: would it be taken?
      renzheng config diff evening.cose                       # and what would it change?
    """


@config.command()
@settings_option
@_OPTIONAL_DOCUMENT
def check(path: Path, document: Path | None) -> None:
    """Check the terminal's own file or, with DOCUMENT, whether this terminal could take that document."""
    if document is None:
        load(path)
        click.echo(f"{path}: good")
        return
    store = open_store(path)
    opened = signing.open_document(document.read_bytes(), store.authority)
    store.settings_with(opened)
    highest = store.journal.read().highest
    kind, _, group = opened.target.partition(":")
    objections = [
        f"not newer than {highest}" if opened.number <= highest else "",
        "this terminal is not in that group" if kind == "group" and group not in load(path).terminal.groups else "",
    ]
    refused = "".join(f"; {objection}: it would be refused" for objection in objections if objection)
    click.echo(f"{document}: good, number {opened.number} for {opened.target}{refused}")


@config.command()
@click.argument("key", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--kind", type=click.Choice(["ES256", "EdDSA"]), default="ES256", show_default=True)
def keygen(key: Path, kind: str) -> None:
    """Make the authority's private KEY, and beside it the public one that terminals pin as trust/authority.pem."""
    signer = file_key.create(key, kind=kind)
    public = key.with_suffix(".pub.pem")
    public.write_bytes(signing.public_pem(signer.public_key))
    click.echo(f"{key}: keep it off every terminal and issuer\n{public}: pin it as identity/trust/{signing.AUTHORITY}")


@config.command()
@click.argument("text", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--key", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--number", required=True, type=click.IntRange(1), help="Higher than any before for these terminals.")
@click.option("--target", required=True, help="terminal:ID or group:NAME")
@click.option(
    "--valid-from", type=click.DateTime(["%Y-%m-%dT%H:%M:%S"]), help="Local time before which it waits; now if absent."
)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Default: TEXT with .cose")
def sign(text: Path, key: Path, number: int, target: str, valid_from: Any, output: Path | None) -> None:
    """Sign the settings in TEXT (TOML: only what differs from the terminals' own files) with the authority's key."""
    document = signing.unsigned_document(
        text.read_text("utf-8"),
        number=number,
        target=target,
        valid_from=int(valid_from.timestamp()) if valid_from else 0,
    )
    signed = wire.sign_document(document, file_key.load(key))
    output = output or text.with_suffix(".cose")
    output.write_bytes(signed)
    click.echo(f"{output}: number {number} for {target}, {len(signed)} bytes, digest {wire.digest(signed).hex()}")


@config.command("sign-bundle")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--key", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--number", required=True, type=click.IntRange(1), help="Higher than any before for these terminals.")
@click.option("--target", required=True, help="terminal:ID or group:NAME")
@click.option("--origin", "origins", multiple=True, help="https://host/path/ where the files lie; without: over MQTT.")
@click.option("--output", required=True, type=click.Path(dir_okay=False, path_type=Path))
def sign_bundle(folder: Path, key: Path, number: int, target: str, origins: tuple[str, ...], output: Path) -> None:
    """Sign a manifest of the model bundle in FOLDER: every file with its size and digest."""
    manifest = signing.unsigned_manifest(folder, number=number, target=target, origins=origins)
    signed = wire.sign_manifest(manifest, file_key.load(key))
    output.write_bytes(signed)
    total = sum(file.size for file in manifest.files)
    click.echo(f"{output}: number {number} for {target}, {len(manifest.files)} files of {total} bytes")


@config.command()
@settings_option
@_OPTIONAL_DOCUMENT
@_JSON
def show(path: Path, document: Path | None, as_json: bool) -> None:
    """Show the settings in force or, with DOCUMENT, those that would be."""
    in_force = _with(open_store(path), document)
    if as_json:
        values = in_force.settings.model_dump(mode="json")
        head = {"number": in_force.number, "digest": in_force.digest.hex(), "trial": in_force.trial}
        click.echo(json.dumps({**head, "settings": values}, ensure_ascii=False))
        return
    trial = ", on trial" if in_force.trial else ""
    source = "the terminal's own file" if in_force.number == 0 else f"document {in_force.number}{trial}"
    table = Table("setting", "value", title=f"{source}, digest {in_force.digest.hex()[:16]}", title_justify="left")
    for name, value in _flat(in_force.settings):
        table.add_row(name, _text(value))
    Console().print(table)


@config.command()
@settings_option
@_DOCUMENT
@click.argument("other", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_JSON
def diff(path: Path, document: Path, other: Path | None, as_json: bool) -> None:
    """Show what DOCUMENT would change of the settings in force or, with OTHER, what changes from one to the other."""
    store = open_store(path)
    before = _with(store, document if other else None)
    after = _with(store, other or document)
    old, new = dict(_flat(before.settings)), dict(_flat(after.settings))
    changed = [(name, old.get(name), new.get(name)) for name in {**old, **new} if old.get(name) != new.get(name)]
    if as_json:
        click.echo(json.dumps([{"setting": n, "from": a, "to": b} for n, a, b in changed], ensure_ascii=False))
        return
    if not changed:
        click.echo("no difference")
        return
    table = Table("setting", f"number {before.number}", f"number {after.number}")
    for name, a, b in changed:
        table.add_row(name, _text(a), _text(b))
    Console().print(table)


@config.command()
@settings_option
@_JSON
def history(path: Path, as_json: bool) -> None:
    """Show what became of every document, oldest first."""
    state = open_store(path).journal.read()
    if as_json:
        click.echo(state.model_dump_json())
        return
    table = Table("time", "number", "digest", "state", "reason")
    for step in state.history:
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(step.at))
        table.add_row(at, str(step.revision.number), step.revision.digest[:16], step.state, step.reason)
    console = Console()
    console.print(table)
    active = state.active.number if state.active else 0
    console.print(f"in force: {active}, highest taken: {state.highest}, phase: {state.phase}")


@config.command("roll-back")
@settings_option
@click.option("--yes", is_flag=True, help="Do not ask.")
def roll_back(path: Path, yes: bool) -> None:
    """Go back to the configuration before the one in force; it counts from the agent's next start on.

    The one that is left is not taken again, not even when the broker still holds it: send a document with a higher
    number to go forward.
    """
    store = open_store(path)
    state = store.journal.read()
    if state.active is not None and not yes:
        to = state.previous.number if state.previous else 0
        click.confirm(f"go back from number {state.active.number} to {to or 'the own file'}?", abort=True)
    state = store.journal.back_to_previous(ROLLED_BACK)
    click.echo(f"number {state.active.number if state.active else 0} is in force from the next start on:")
    click.echo("  systemctl restart renzheng")


def _with(store: ConfigurationStore, document: Path | None) -> InForce:
    if document is None:
        return store.active()
    opened = signing.open_document(document.read_bytes(), store.authority)
    return InForce(store.settings_with(opened), opened.number, opened.digest)


def _flat(settings: Settings) -> Iterator[tuple[str, Any]]:
    """Dotted names and plain values."""
    yield from _walk("", settings.model_dump(mode="json"))


def _walk(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict | list) and value:
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in items:
            yield from _walk(f"{prefix}.{key}" if prefix else str(key), inner)
    else:
        yield prefix, value


def _text(value: Any) -> str:
    return "-" if value is None else json.dumps(value, ensure_ascii=False)
