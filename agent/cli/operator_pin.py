"""`renzheng operator-pin`: make the file that opens the operator page."""

import os
from pathlib import Path

import click

from agent.kiosk.pin import PIN, hash_pin
from agent.provisioning.account import service_account

DEFAULT_FILE = Path("/etc/renzheng/operator-pin")


@click.command("operator-pin")
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=DEFAULT_FILE,
    show_default=True,
    help="Where the hash goes; `kiosk.operator_pin_file` of the settings names it.",
)
def operator_pin(*, output: Path) -> None:
    """Ask for the operator's PIN, eight digits, and keep its scrypt hash.

    The PIN itself is stored nowhere. Restart the service afterwards; without the file the operator page stays closed.
    """
    pin = click.prompt("PIN, eight digits", hide_input=True, confirmation_prompt="Once more", value_proc=_digits)
    try:
        _write(output, hash_pin(pin))
    except OSError as error:
        raise click.ClickException(f"{output} cannot be written: {error.strerror}") from error
    click.echo(f"written: {output}")


def _digits(text: str) -> str:
    if not PIN.fullmatch(text):
        raise click.BadParameter("a PIN has eight digits")
    return text


def _write(path: Path, line: str) -> None:
    """Whole or not at all, for its owner and group alone; root gives it to the service's group, which reads it."""
    account = service_account()
    new = path.with_name(f"{path.name}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        os.fchmod(descriptor, 0o640)
        if account is not None:
            os.fchown(descriptor, 0, account.group)
        file.write(line + "\n")
        file.flush()
        os.fsync(descriptor)
    new.replace(path)
