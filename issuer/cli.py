"""`renzheng-issuer`: the reference issuer on the command line."""

import json
import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from sqlalchemy.engine import Engine

from agent.wire.evidence import EvidenceRecord
from issuer import broker as broker_module
from issuer import enrolment, pki, policy, store
from issuer.command_cli import command
from issuer.config_cli import config
from issuer.errors import IssuerError
from issuer.events import EventStore
from issuer.layout import Layout
from issuer.retention_cli import retention
from issuer.service import Issuer

_FOLDER = click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
_DATABASE = click.option("--database", default="", help="SQLAlchemy URL; the default is FOLDER/issuer.db (SQLite).")
_JSON = click.option("--json", "as_json", is_flag=True, help="For machines.")


@contextmanager
def _opened(folder: Path, database: str) -> Iterator[Engine]:
    """The database of the issuer in `folder`; a folder without one is told, not filled."""
    policy.load(Layout(folder).policy)
    with store.opened(database or store.sqlite_url(Layout(folder).database)) as engine:
        yield engine


class _Commands(click.Group):
    """Errors of the operator end as one line and status 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except IssuerError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """The reference issuer of renzheng: enrols terminals, verifies their evidence, decides, answers signed.

    \b
    A first deployment on this machine:
      renzheng-issuer init ISSUER --name example
      renzheng-issuer enroll ISSUER lobby-1
      renzheng-issuer broker-config ISSUER --port 8883
      mosquitto -c ISSUER/broker/mosquitto.conf &
      renzheng-issuer run ISSUER --broker mqtts://127.0.0.1:8883
    """


@main.command()
@_FOLDER
@click.option("--name", required=True, help="The issuer's name; terminals pin it.")
@click.option("--host", "hosts", multiple=True, default=("localhost", "127.0.0.1"), help="Names of the broker.")
@click.option("--broker", default="", help="Its URL as terminals see it.  [default: mqtts://HOST:8883]")
def init(folder: Path, name: str, hosts: tuple[str, ...], broker: str) -> None:
    """Make the authorities, keys and default policy of a new issuer in FOLDER."""
    layout = pki.create(folder, name, hosts, broker=broker)
    click.echo(f"issuer {name!r} made; its policy is {layout.policy}")
    click.echo(f"what terminals are told when they enrol: {layout.site_settings}")
    click.echo(f"whose documents they will believe: put certificates and master lists into {layout.site_documents}")


@main.command()
@_FOLDER
@click.option("--name", required=True, help="The issuer's name; terminals pin it.")
@click.option("--terminal", required=True, help="The first terminal to enrol.")
@click.option("--port", type=click.IntRange(1, 65535), required=True, help="Of the broker, on loopback.")
@click.option("--user", default="", help="As for `broker-config`.")
@click.option("--keep", multiple=True, help="A field of the holder that the policy stores.")
def quickstart(folder: Path, name: str, terminal: str, port: int, user: str, keep: tuple[str, ...]) -> None:
    """Do `init`, `enroll` and `broker-config` in one go, for this machine; prints where things are, as JSON."""
    layout = pki.create(folder, name, ("localhost", "127.0.0.1"), broker=f"mqtts://127.0.0.1:{port}")
    if keep:
        policy.keep(layout.policy, keep)
    made = {"terminal": pki.enroll(layout, terminal), "broker": broker_module.config(folder, port, user=user)}
    click.echo(json.dumps({what: str(path) for what, path in made.items()}))


@main.command()
@_FOLDER
@click.argument("terminal")
@_DATABASE
def enroll(folder: Path, terminal: str, database: str) -> None:
    """Make the device folder of TERMINAL, keys included (for development; in the field: `renzheng provision`)."""
    click.echo(pki.enroll(Layout(folder), terminal, database=database))


@main.command()
@_FOLDER
@click.argument("terminal")
@click.option("--hours", type=click.IntRange(1, 24 * 30), default=24, show_default=True, help="How long it is valid.")
@_DATABASE
def code(folder: Path, terminal: str, hours: int, database: str) -> None:
    """Print a one-time code with which a machine becomes TERMINAL: `renzheng provision --code`."""
    layout = Layout(folder)
    with _opened(folder, database) as engine:
        click.echo(enrolment.new_code(layout, engine, terminal, hours * 3600))


@main.command()
@_FOLDER
@click.argument("terminal")
@click.argument("request", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--output", "-o", required=True, type=click.Path(dir_okay=False, path_type=Path), help="File to write.")
@_DATABASE
def sign(folder: Path, terminal: str, request: Path, output: Path, database: str) -> None:
    """Enrol TERMINAL from the file that `renzheng provision --request` wrote, without a network or a code."""
    layout = Layout(folder)
    try:
        body = json.loads(request.read_text("ascii"))
        device, tls = body["device"].encode("ascii"), body["tls"].encode("ascii")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise IssuerError(f"{request} was not written by `renzheng provision --request`") from error
    with _opened(folder, database) as engine:
        output.write_text(json.dumps(enrolment.sign(layout, engine, terminal, device, tls)), "ascii")
    click.echo(f"{output}: take it back to the terminal, `renzheng provision --accept`")


@main.command("provisioning")
@_FOLDER
@click.option("--port", type=click.IntRange(1, 65535), required=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@_DATABASE
def serve_provisioning(folder: Path, port: int, host: str, database: str) -> None:
    """Serve enrolment and renewal over HTTPS. SIGTERM and SIGINT end it."""
    from aiohttp import web

    from issuer import provisioning

    layout = Layout(folder)
    with _opened(folder, database) as engine:
        app = provisioning.application(layout, engine)
        web.run_app(app, host=host, port=port, ssl_context=provisioning.tls_context(layout), print=None)


@main.command()
@_FOLDER
@click.argument("name")
def worker(folder: Path, name: str) -> None:
    """Make the broker identity of one more worker, NAME (issuer-2): it shares the requests with the others.

    Write the broker's configuration anew afterwards. Workers on several machines share one database (--database).
    """
    pki.add_worker(Layout(folder), name)
    click.echo(f"renzheng-issuer run {folder} --worker {name} --broker ...")


@main.command()
@_FOLDER
@click.argument("terminal")
@_DATABASE
def revoke(folder: Path, terminal: str, database: str) -> None:
    """Refuse TERMINAL from its next request on."""
    with _opened(folder, database) as engine:
        if not store.revoke(engine, terminal):
            raise IssuerError(f"{terminal} is not enrolled")
    click.echo(f"{terminal} is revoked")


@main.command("broker-config")
@_FOLDER
@click.option("--port", type=click.IntRange(1, 65535), required=True)
@click.option("--user", default="", help="Account that a Mosquitto started by root changes to; 'root' to stay.")
@click.option("--no-persistence", is_flag=True, help="Keep nothing over a restart of the broker.")
@click.option("--dynamic", is_flag=True, help="Use the dynamic security plug-in, with the terminals enrolled so far.")
@_DATABASE
def broker_config(folder: Path, port: int, user: str, no_persistence: bool, dynamic: bool, database: str) -> None:
    """Write a Mosquitto configuration: loopback only, mutual TLS, each terminal on its own topics."""
    terminals = None
    if dynamic:
        with _opened(folder, database) as engine:
            terminals = store.terminals(engine)
    click.echo(broker_module.config(folder, port, user=user, persistence=not no_persistence, dynamic=terminals))


@main.command()
@_FOLDER
@click.option("--broker", required=True, help="mqtts://host:port")
@click.option("--worker", default="issuer", show_default=True, help="Which worker this is; see `worker`.")
@_DATABASE
@_JSON
def run(folder: Path, broker: str, worker: str, database: str, as_json: bool) -> None:
    """Serve: publish epochs, verify requests, answer. SIGTERM and SIGINT end it."""
    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stderr,
        format='{"time":"%(asctime)s","level":"%(levelname)s","text":"%(message)s"}' if as_json else "%(message)s",
    )
    issuer = Issuer(folder, broker, database=database, worker=worker)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: issuer.stop())
    issuer.run()


@main.command()
@_FOLDER
@click.argument("request_id")
@click.option("--output", "-o", required=True, type=click.Path(dir_okay=False, path_type=Path), help="File to write.")
@_DATABASE
def evidence(folder: Path, request_id: str, output: Path, database: str) -> None:
    """Write the signed record of REQUEST_ID (hex), for `renzheng evidence verify`. Nothing of the holder is in it."""
    with _opened(folder, database) as engine:
        found = store.find_record(engine, request_id)
    if found is None:
        raise IssuerError(f"no decision on request {request_id}: `renzheng-issuer show {folder}` lists the newest")
    token, epoch, decision = found
    output.write_bytes(EvidenceRecord(token=token, epoch=epoch, decision=decision).encode())
    click.echo(output)


@main.command()
@_FOLDER
@_DATABASE
@_JSON
def show(folder: Path, database: str, as_json: bool) -> None:
    """Print counts and the newest decisions (codes and times, nothing of the holder)."""
    with _opened(folder, database) as engine:
        found = {**store.summary(engine), "events": EventStore(engine).counts()}
    if as_json:
        click.echo(json.dumps(found))
        return
    table = Table("time", "terminal", "request", "relying party", "outcome", "reasons")
    for row in found["newest"]:
        reasons = ", ".join(row["reasons"])
        table.add_row(
            f"{datetime.fromtimestamp(row['decided_at'], UTC).astimezone():%Y-%m-%d %H:%M:%S}",
            row["terminal"],
            row["request_id"],
            row["relying_party"],
            row["outcome"],
            reasons,
        )
    console = Console()
    console.print(table)
    console.print("decisions", found["decisions"], "refusals", found["refusals"], "events", found["events"])


main.add_command(config)
main.add_command(command)
main.add_command(retention)


if __name__ == "__main__":
    main()
