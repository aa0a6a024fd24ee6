"""`renzheng demo`: the whole system on simulators, in a namespace of its own."""

import asyncio
import json
import signal
import sys

import click

from agent.failures import RenzhengError
from firmware_bridge.errors import BridgeError


@click.command()
@click.option("--keep", is_flag=True, help="Leave it running afterwards, until Ctrl-C.")
@click.option(
    "--liveness",
    type=click.Choice(["convenience", "standard", "high"]),
    default="convenience",
    show_default=True,
    help="How much is asked of the face; more takes longer.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of tables.")
def demo(*, keep: bool, liveness: str, as_json: bool) -> None:
    """Show a verification and five ways in which one must not succeed.

    Everything is real but the plastic and the person: pcscd with a virtual reader, a chip that follows ICAO 9303, a
    rendered person before a camera, quantized models, Mosquitto with mutual TLS, the reference issuer. The reader's
    service runs in a namespace of its own, which needs root; no service of this machine is used or disturbed.

    Exit status 0 only if every outcome is the expected one.
    """
    from agent.demo.play import play

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        report = asyncio.run(play(liveness=liveness, keep=keep, quiet=as_json))
    except KeyboardInterrupt:
        sys.exit(130)
    except BridgeError as error:
        raise RenzhengError(error.code, str(error)) from error
    if as_json:
        click.echo(json.dumps(report, indent=2))
    sys.exit(0 if report["agrees"] else 1)
