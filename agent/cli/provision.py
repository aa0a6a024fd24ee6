"""`renzheng provision`: make this terminal known to an issuer, have it serve, and renew its certificates in time."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from agent.cli.run import DEFAULT_SETTINGS
from agent.provisioning.keys import DEFAULT_HANDLE, KINDS, KeyWish
from agent.wire.keys import Signer

if TYPE_CHECKING:
    from agent.provisioning.provision import Wish
    from agent.trust.enrolment import Code

DEFAULT_STATE = Path("/var/lib/renzheng")

_Command = Callable[..., None]


def _key_options(command: _Command) -> _Command:
    for option in reversed(
        (
            click.option(
                "--key", type=click.Choice(KINDS), default="auto", show_default=True,
                help="Where the device key lives; auto: in the TPM if there is one, else in a file.",
            ),
            click.option("--tpm", "tcti", default="device:/dev/tpmrm0", show_default=True, help="Its TSS2 TCTI."),
            click.option(
                "--handle", type=int, default=DEFAULT_HANDLE, help="Handle in the TPM.  [default: 0x81010001]"
            ),
            click.option("--module", type=click.Path(exists=True, path_type=Path), help="PKCS#11 library."),
            click.option("--token", default="", help="Label of the token."),
            click.option("--label", default="renzheng", show_default=True, help="Label of the key on the token."),
            click.option(
                "--pin-file", type=click.Path(exists=True, path_type=Path), help="File whose first line is the PIN."
            ),
        )
    ):  # fmt: skip
        command = option(command)
    return command


@click.command()
@click.option("--issuer", "url", default="", help="Host, host:port or URL of `renzheng-issuer provisioning`.")
@click.option("--code", default="", help="The one-time code that the issuer printed; - asks for it, unseen by others.")
@click.option(
    "--settings",
    "path",
    type=click.Path(dir_okay=False, path_type=Path, readable=False),
    default=DEFAULT_SETTINGS,
    show_default=True,
    help="The settings file: written if absent, else left as it is.",
)
@click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path, readable=False),
    default=DEFAULT_STATE,
    show_default=True,
    help="Folder for everything durable.",
)
@click.option(
    "--folder", type=click.Path(file_okay=False, path_type=Path), help="Of the identity.  [default: STATE/identity]"
)
@click.option("--relying-party", default="", help="Who receives the decisions, if not as the issuer says.")
@click.option(
    "--broker",
    "brokers",
    multiple=True,
    help="mqtts://host:port, if not as the issuer or the settings say.",
)
@_key_options
@click.option("--again", is_flag=True, help="Enrol anew what is enrolled already: another issuer, another name.")
@click.option("--identity-only", is_flag=True, help="Make key and certificates, and nothing else of this machine.")
@click.option("--no-service", is_flag=True, help="Do not touch systemd.")
@click.option("--renew", is_flag=True, help="Renew the certificates of an enrolled terminal.")
@click.option("--within", type=int, default=None, help="With --renew: only if a certificate expires in this many days.")
@click.option(
    "--request",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Without a network: write what `renzheng-issuer sign` wants to FILE.",
)
@click.option(
    "--accept",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Without a network: take the answer of `renzheng-issuer sign` from FILE.",
)
@click.option("--json", "as_json", is_flag=True, help="For machines: one document on standard output.")
def provision(
    url: str,
    code: str,
    path: Path,
    state: Path,
    folder: Path | None,
    relying_party: str,
    brokers: tuple[str, ...],
    again: bool,
    identity_only: bool,
    no_service: bool,
    renew: bool,
    within: int | None,
    request: Path | None,
    accept: Path | None,
    as_json: bool,
    **key: Any,
) -> None:
    """Make this terminal known to an issuer, and have it serve.

    \b
    At the issuer:     renzheng-issuer code FOLDER lobby-1
    At the terminal:   sudo renzheng provision --issuer issuer.example --code ABCD-...

    That is all. It makes the device key (in the TPM, if there is one), fetches certificates for it, pins the issuer,
    takes the certificates of states and the site's settings that the issuer hands out, looks which reader and camera
    are there, writes the settings, starts the service, lets it speak with the broker alone, and tests every part.

    The code holds the head of the digest of the issuer's certificate: no other server gets the code, and nothing is
    trusted on first sight. Done twice, it changes nothing: it finds what is done and does the rest. Settings that are
    there are never written over.

    \b
    Another issuer:    renzheng provision --issuer other.example --code ... --again
    Without a network: renzheng provision --request FILE; renzheng-issuer sign ...; renzheng provision --accept ANSWER
    Before expiry:     nothing; renzheng-renew.timer does `renzheng provision --renew --within 30` every night

    The exit status is 0 when the terminal is provisioned, 1 when it is not, 2 when it is and the self-test fails.
    """
    from agent.provisioning.provision import Wish, address

    wanted = KeyWish(kind=key.pop("key"), **key)
    if wanted.kind == "pkcs11" and (wanted.module is None or wanted.pin_file is None or not wanted.token):
        raise click.UsageError("--key pkcs11 needs --module, --token and --pin-file")
    if within is not None and not renew:
        raise click.UsageError("--within goes with --renew")
    if as_json and (renew or request or identity_only):
        raise click.UsageError("--json goes with a whole provisioning, not with --renew, --request or --identity-only")
    where = (folder or state / "identity").absolute()
    url = address(url) if url else ""
    if renew:
        _renew(url, path, folder, wanted, brokers, within)
        return
    if request is not None:
        _request(where, wanted, request)
        return
    wish = Wish(
        path=path.absolute(),
        state=state.absolute(),
        folder=where,
        url=url,
        code=_code(code),
        key=wanted,
        said=_said(relying_party, brokers),
        again=again,
        serve=not no_service,
        answer=b"" if accept is None else accept.read_bytes(),
    )
    if identity_only:
        _identity_only(wish)
    else:
        _whole(wish, as_json=as_json)


def _code(text: str) -> "Code | None":
    from agent.trust.enrolment import read_code

    if text == "-":
        text = click.prompt("Code", hide_input=True, err=True)
    return read_code(text) if text else None


def _said(relying_party: str, brokers: tuple[str, ...]) -> dict[str, Any]:
    """The tables of settings that the command line names."""
    said: dict[str, Any] = {"terminal": {"relying_party": relying_party}} if relying_party else {}
    return said | ({"broker": {"urls": list(brokers)}} if brokers else {})


def _whole(wish: "Wish", *, as_json: bool) -> None:
    from agent.health import check
    from agent.provisioning.provision import Step
    from agent.provisioning.provision import provision as run

    def told(step: Step) -> None:
        mark = click.style("!", fg="yellow") if step.warn else click.style("✓", fg="green")
        click.echo(f" {mark} {step.id:10} {step.text}", err=as_json)

    outcome = run(wish, told)
    if as_json:
        steps = [{"id": step.id, "text": step.text, "warn": step.warn} for step in outcome.steps]
        document = {"version": 1, "terminal": outcome.terminal, "serving": outcome.serving, "steps": steps}
        click.echo(json.dumps({**document, "self_test": check.document(outcome.report)}, ensure_ascii=False))
    else:
        _show(outcome.report)
        click.echo(_next(outcome.terminal, wish.path, serving=outcome.serving))
    sys.exit(2 if outcome.report.status is check.Status.FAIL else 0)


def _show(report: Any) -> None:
    """The self-test in a line, and what did not pass with its remedy."""
    from agent.cli.self_test import table
    from agent.health.check import Status

    counts = ", ".join(f"{report.count(status)} {status}" for status in Status if report.count(status))
    good = report.status is Status.PASS
    mark = click.style("✓", fg="green") if good else click.style("!", fg="yellow")
    click.echo(f" {mark} {'self-test':10} {counts}")
    open_ones = tuple(result for result in report.results if result.finding.status in (Status.WARN, Status.FAIL))
    if open_ones:
        Console().print(table(replace(report, results=open_ones), fix_hints=True))


def _next(terminal: str, path: Path, *, serving: bool) -> str:
    begin = (
        f"{terminal} serves. It starts at every boot, heals itself and renews its certificates."
        if serving
        else f"{terminal} is ready. Start it: renzheng run --settings {path}"
    )
    return (
        f"\n{begin}"
        "\n  look        renzheng self-test --fix-hints; systemctl status renzheng; journalctl -u renzheng -x"
        f"\n  settings    {path}, then: renzheng config check; systemctl restart renzheng"
        "\n  documents   renzheng trust list; renzheng trust import FILE"
        "\n  screen      systemctl enable --now renzheng-kiosk  (needs cage and chromium)"
    )


def _identity_only(wish: "Wish") -> None:
    from agent.trust import enrolment

    if not wish.answer and (wish.code is None or not wish.url):
        raise click.UsageError("--issuer and --code are needed: `renzheng-issuer code` prints one")
    signer = _signer(wish.folder, wish.key)
    if wish.answer or wish.code is None:
        terminal = enrolment.accept(wish.answer, wish.folder, signer)
    else:
        terminal = enrolment.enrol(wish.url, wish.code, wish.folder, signer)
    click.echo(f"this terminal is {terminal}; keys, certificates and anchors are in {wish.folder}")


def _request(folder: Path, key: KeyWish, target: Path) -> None:
    from agent.provisioning.account import acting_as, make_folder, service_account
    from agent.trust import enrolment

    account = service_account()
    make_folder(folder.parent, account)
    make_folder(folder, account)
    with acting_as(account):
        content = enrolment.request_by_hand(folder, _signer(folder, key))
    target.write_bytes(content)
    click.echo(f"{target}: take it to `renzheng-issuer sign`, and its answer back to `renzheng provision --accept`")


def _signer(folder: Path, key: KeyWish) -> Signer:
    from agent.provisioning import keys

    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return keys.signer(keys.choose(key), folder, make=True)


def _renew(
    url: str, path: Path, folder: Path | None, key: KeyWish, brokers: tuple[str, ...], within: int | None
) -> None:
    """Renew by the settings, or by the command line alone when it names the folder."""
    from agent.provisioning import renewal

    where = renewal.of_settings(path) if folder is None else renewal.Place(folder, url, brokers, key)
    where = replace(where, url=url or where.url, brokers=brokers or where.brokers)
    left = renewal.days_left(where)
    if within is not None and left > within:
        click.echo(f"nothing to do: the certificates are good for {left} days")
        return
    if not where.url or not where.brokers:
        missing = "--broker" if where.url else "--issuer"
        raise click.UsageError(f"--renew needs {missing}: the settings do not name it")
    renewal.renew(where)
    click.echo("the broker let the new certificates in: they are in use as soon as nobody is being served")
