"""`renzheng simulate`: present a simulated document by hand, to whatever reads."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from firmware_bridge.simulator.personalise import Personalisation
    from firmware_bridge.simulator.pki import IssuingState
    from firmware_bridge.simulator.vpcd import CardSide

VARIANTS = ("genuine", "clone", "hidden", "altered", "untrusted", "expired-csca")
FAULTS = ("pulled", "silent", "garbage", "wrong-mac", "lying-length")


@click.group()
def simulate() -> None:
    """Present a simulated passport, resident card or code.

    A passport lies in a virtual reader behind a pcscd of its own; a resident card lies on a SAM-V module, a code comes
    from a scanner, both on a pseudo terminal. The person is fictional.
    """


def _wait(seconds: float | None) -> None:
    """Until Ctrl-C or SIGTERM, or for so many seconds."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        if seconds is None:
            signal.pause()
        else:
            signal.sigtimedwait({signal.SIGTERM, signal.SIGINT}, seconds)
    except KeyboardInterrupt:
        pass


_seconds = click.option("--for", "seconds", type=float, help="Take it away after so many seconds.  [default: Ctrl-C]")


@simulate.command()
@click.option(
    "--folder", type=click.Path(path_type=Path, exists=True, file_okay=False), help="Personalise from this folder."
)
@click.option(
    "--variant", type=click.Choice(VARIANTS), default="genuine", show_default=True, help="What is false in it."
)
@click.option("--pace", multiple=True, metavar="'ECDH-GM AES-128 12'", help="What PACE it offers; may be repeated.")
@click.option("--no-pace", is_flag=True, help="A chip with basic access control only.")
@click.option("--fault", type=click.Choice(FAULTS), help="Misbehave …")
@click.option("--at", "command", type=click.IntRange(1), default=10, show_default=True, help="… at this command.")
@click.option("--rate", type=click.Choice(["106", "212", "424", "848"]), help="Behave as on a link of so many kbit/s.")
@click.option(
    "--trust", type=click.Path(path_type=Path, file_okay=False), help="Write the CSCA certificate into this folder."
)
@click.option("--dump", type=click.Path(path_type=Path, file_okay=False), help="Write the chip's files there and end.")
@_seconds
@click.argument("reading_command", nargs=-1, metavar="[-- COMMAND …]", type=click.UNPROCESSED)
def passport(
    folder: Path | None,
    variant: str,
    pace: tuple[str, ...],
    no_pace: bool,
    fault: str | None,
    command: int,
    rate: str | None,
    trust: Path | None,
    dump: Path | None,
    seconds: float | None,
    reading_command: tuple[str, ...],
) -> None:
    """Lay a passport into a virtual reader (root).

    The folder holds person.toml and portrait.jpg or .jp2; without it the specimen of Doc 9303 is presented. COMMAND is
    run with an environment that leads it to the virtual reader, and its exit status is returned; without it the
    passport lies there until Ctrl-C and the variables to set are printed.

        renzheng simulate passport --trust trust -- renzheng run --settings demo.toml
    """
    from firmware_bridge.errors import ReaderError
    from firmware_bridge.simulator import CardStack
    from firmware_bridge.simulator.folder import FolderError, export
    from firmware_bridge.simulator.stack import STACK_VARIABLE, card_in_stack

    try:
        memory, state = _memory(folder, variant, pace, no_pace=no_pace)
    except FolderError as error:
        raise click.ClickException(str(error)) from error
    if trust is not None and variant != "untrusted":
        click.echo(f"CSCA certificate: {state.write_trust(trust)}", err=True)
    if dump is not None:
        export(memory, dump)
        return
    card = _card(memory, fault, command, rate)
    stack: AbstractContextManager[Any] = nullcontext() if STACK_VARIABLE in os.environ else CardStack()
    try:
        with stack as running, card_in_stack(card):
            if reading_command:
                sys.exit(_run(reading_command))
            if running is not None:
                for name, value in running.environment().items():
                    click.echo(f"export {name}={value}")
            click.echo("the passport lies on the reader; Ctrl-C takes it away", err=True)
            _wait(seconds)
    except ReaderError as error:
        raise click.ClickException(str(error)) from error


def _run(command: tuple[str, ...]) -> int:
    import subprocess

    return subprocess.run(command, check=False).returncode


def _memory(
    folder: Path | None, variant: str, offers: tuple[str, ...], *, no_pace: bool
) -> tuple[Personalisation, IssuingState]:
    from dataclasses import replace
    from datetime import UTC, datetime, timedelta

    from firmware_bridge.simulator import IssuingState, Person, Profile, personalise, portraits, variants
    from firmware_bridge.simulator.folder import load, parse_pace

    person, profile, image = load(folder) if folder else (Person(), Profile(), b"")
    image = image or portraits.jpeg2000(portraits.HOLDER_CHIP)
    if offers or no_pace:
        profile = replace(profile, pace=tuple(parse_pace(text) for text in offers))
    begin = datetime.now(UTC) - timedelta(days=365 * 20) if variant == "expired-csca" else None
    state = IssuingState.create(begin=begin)
    memory = personalise(person, image, state, profile)
    changes: dict[str, Callable[[Personalisation], Personalisation]] = {
        "clone": variants.cloned,
        "hidden": variants.hidden,
        "altered": lambda held: variants.altered(held, portraits.jpeg2000(portraits.OTHER)),
    }
    change = changes.get(variant)
    return (change(memory) if change else memory), state


def _card(memory: Personalisation, fault: str | None, command: int, rate: str | None) -> CardSide:
    from firmware_bridge.simulator import PassportChip
    from firmware_bridge.simulator.faults import At, Fault, FaultyCard
    from firmware_bridge.simulator.link import Link, LinkedCard

    card: CardSide = PassportChip(memory)
    if rate is not None:
        card = LinkedCard(card, Link(bit_rate=int(rate) * 1000.0))
    if fault is not None:
        card = FaultyCard(card, At(Fault(fault), command))
    return card


CARDS = ("resident", "permit", "foreigner-2017", "foreigner-2023")
LINE_FAULTS = ("noise-before", "stray-byte", "half-frame", "flipped-bit", "silence", "endless-noise")


@simulate.command("id-card")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--card", "kind", type=click.Choice(CARDS), default="resident", show_default=True, help="Which layout.")
@click.option("--fault", type=click.Choice(LINE_FAULTS), help="What the line does to the first answers …")
@click.option("--count", type=click.IntRange(1), default=1, show_default=True, help="… and to how many.")
@_seconds
def id_card(path: Path, kind: str, fault: str | None, count: int, seconds: float | None) -> None:
    """Lay a resident card onto a SAM-V module whose serial port is PATH (a link that is made, and removed at the end).

    renzheng simulate id-card ./samv        # and `port = "./samv"` in the settings
    """
    from firmware_bridge.simulator import samv

    makers = {
        "resident": samv.resident,
        "permit": samv.permit,
        "foreigner-2017": samv.foreigner_2017,
        "foreigner-2023": samv.foreigner_2023,
    }
    with samv.SimulatedSamv(path=path) as module:
        if fault is not None:
            module.disturb(samv.LineFault(fault), count)
        module.insert(makers[kind]())
        click.echo(f"the card lies on the module at {path}; Ctrl-C takes it away", err=True)
        _wait(seconds)


@simulate.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.argument("text", required=False)
@click.option("--terminator", default="\\r", show_default=True, help="What ends a code; escapes as in Python.")
@click.option("--prefix", default="", help="What the scanner puts before a code.")
def scanner(path: Path, text: str | None, terminator: str, prefix: str) -> None:
    r"""Be a serial scanner at PATH (a link that is made, and removed at the end).

    TEXT is scanned once a second until Ctrl-C; without it every line of standard input is scanned. The specimen's zone
    is written as `mrz`.
    """
    import time

    from firmware_bridge.simulator import Person
    from firmware_bridge.simulator.scanner import SimulatedScanner

    def meant(line: str) -> str:
        zone = Person().zone()
        return f"{zone[:44]}\n{zone[44:]}" if line == "mrz" else line

    ending = terminator.encode("latin-1").decode("unicode_escape")
    with SimulatedScanner(terminator=ending, prefix=prefix, path=path) as device:
        click.echo(f"the scanner is at {path}; Ctrl-C ends it", err=True)
        try:
            if text is None:
                for line in sys.stdin:
                    device.scan(meant(line.rstrip("\n")))
            while text is not None:
                device.scan(meant(text))
                time.sleep(1)
        except KeyboardInterrupt:
            pass
