"""`renzheng provision`: make this terminal known to an issuer, and renew its certificates in time."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import click

from agent.failures import RenzhengError
from agent.wire.keys import Signer

_DEFAULT_HANDLE = 0x81010001


@click.command()
@click.option("--issuer", "url", default="", help="https://host:port of `renzheng-issuer provisioning`.")
@click.option("--code", default="", help="The one-time code that the issuer printed.")
@click.option("--renew", is_flag=True, help="Renew the certificates of an enrolled terminal instead.")
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
@click.option("--within", type=int, default=None, help="With --renew: only if a certificate expires in this many days.")
@click.option(
    "--broker", "brokers", multiple=True, help="With --renew: mqtts://host:port that must let the new ones in."
)
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("identity"),
    show_default=True,
    help="Where keys, certificates and anchors are kept.",
)
@click.option(
    "--key",
    type=click.Choice(["file", "eddsa-file", "tpm", "pkcs11"]),
    default="file",
    show_default=True,
    help="Where the evidence key lives. In a TPM or token it can never be copied.",
)
@click.option("--tpm", "tcti", default="device:/dev/tpmrm0", show_default=True, help="TSS2 TCTI of the TPM.")
@click.option("--handle", type=int, default=_DEFAULT_HANDLE, help="Persistent handle in the TPM [default: 0x81010001].")
@click.option("--module", type=click.Path(exists=True, path_type=Path), help="PKCS#11 library of the token.")
@click.option("--token", default="", help="Label of the token.")
@click.option("--label", default="renzheng", show_default=True, help="Label of the key on the token.")
@click.option("--pin-file", type=click.Path(exists=True, path_type=Path), help="File whose first line is the PIN.")
def provision(
    url: str,
    code: str,
    renew: bool,
    request: Path | None,
    accept: Path | None,
    within: int | None,
    brokers: tuple[str, ...],
    folder: Path,
    key: str,
    tcti: str,
    handle: int,
    module: Path | None,
    token: str,
    label: str,
    pin_file: Path | None,
) -> None:
    """Make this terminal known to an issuer.

    \b
    At the issuer:     renzheng-issuer code FOLDER lobby-1
    At the terminal:   renzheng provision --issuer https://issuer:8443 --code ABCD-...
    Before expiry:     renzheng provision --issuer https://issuer:8443 --renew --broker mqtts://broker:8883
    By hand:           renzheng provision --request FILE; renzheng-issuer sign ...; renzheng provision --accept ANSWER

    The evidence key is made here (or found, after an attempt that failed) and never leaves; the issuer gets requests
    that prove its possession. Renewed certificates take the place of the old ones only after a broker let them in.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if key == "tpm":
        signer = _in_tpm(handle, tcti, make=not renew)
    elif key == "pkcs11":
        if module is None or pin_file is None or not token:
            raise click.UsageError("--key pkcs11 needs --module, --token and --pin-file")
        signer = _on_token(module, token, label, pin_file, make=not renew)
    else:
        signer = _in_file(folder, "EdDSA" if key == "eddsa-file" else "ES256")
    if request is not None or accept is not None:
        _by_hand(folder, signer, request, accept)
        return
    if not url:
        raise click.UsageError("--issuer is missing: https://host:port of `renzheng-issuer provisioning`")
    if renew:
        _renew(url, folder, signer, brokers, within)
    elif not code:
        raise click.UsageError("--code is missing: `renzheng-issuer code` prints one")
    else:
        _enrol(url, code, folder, signer)


def _enrol(url: str, code: str, folder: Path, signer: Signer) -> None:
    from agent.trust import enrolment

    terminal = enrolment.enrol(url, enrolment.read_code(code), folder, signer)
    click.echo(f"this terminal is {terminal}; keys, certificates and anchors are in {folder}")


def _by_hand(folder: Path, signer: Signer, request: Path | None, accept: Path | None) -> None:
    from agent.trust import enrolment

    if request is not None:
        request.write_bytes(enrolment.request_by_hand(folder, signer))
        click.echo(f"{request}: take it to `renzheng-issuer sign`")
    if accept is not None:
        terminal = enrolment.accept(accept.read_bytes(), folder, signer)
        click.echo(f"this terminal is {terminal}; keys, certificates and anchors are in {folder}")


def _renew(url: str, folder: Path, signer: Signer, brokers: tuple[str, ...], within: int | None) -> None:
    from agent.trust import enrolment

    left = enrolment.lifetime_left(folder, datetime.now(UTC)).days
    if within is not None and left > within:
        click.echo(f"nothing to do: the certificates are good for {left} days")
        return
    if not brokers:
        raise click.UsageError("--renew needs --broker: the new certificates must prove themselves before they count")
    enrolment.renew(url, folder, signer)
    asyncio.run(_connect_once(folder, brokers))
    enrolment.promote(folder)
    click.echo(
        "the broker let the new certificates in: TLS uses them from its next connection, evidence from the next start"
    )


async def _connect_once(folder: Path, brokers: tuple[str, ...]) -> None:
    """Connect with the renewed files, and let go at once.

    Raises:
        TransportError: they were not let in; the old ones stay.
    """
    from agent.transport.mqtt import MqttLink, Tls
    from agent.trust import identity
    from agent.trust.enrolment import NEW

    # The issuer's name rules the client id, so a running agent is cut off for a moment and comes back by itself.
    files = (folder / (name + NEW) for name in (identity.TLS_CHAIN, identity.TLS_KEY))
    link = MqttLink(client_id="", brokers=brokers, tls=Tls(folder / identity.TRUST / "broker-ca.pem", *files))
    link.start()
    try:
        await link.wait_connected(5.0)
    finally:
        await link.stop()


def _in_file(folder: Path, kind: str) -> Signer:
    from agent.trust import file_key, identity

    path = folder / identity.DEVICE_KEY
    return file_key.load(path) if path.exists() else file_key.create(path, kind=kind)


def _in_tpm(handle: int, tcti: str, *, make: bool) -> Signer:
    from agent.trust import tpm_key

    return _found_or_made(lambda: tpm_key.TpmSigner(handle, tcti), lambda: tpm_key.create(handle, tcti), make=make)


def _on_token(module: Path, token: str, label: str, pin_file: Path, *, make: bool) -> Signer:
    from agent.trust import pkcs11_key

    return _found_or_made(
        lambda: pkcs11_key.Pkcs11Signer(module, token, label, pin_file),
        lambda: pkcs11_key.create(module, token, label, pin_file),
        make=make,
    )


def _found_or_made(find: Callable[[], Signer], create: Callable[[], Signer], *, make: bool) -> Signer:
    """The key of an earlier attempt, else a new one."""
    try:
        return find()
    except RenzhengError:
        if not make:
            raise
        return create()
