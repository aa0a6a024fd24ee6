"""`renzheng`: one command a module, loaded when it is called, so that `--help` and completion stay quick."""

import errno
import importlib
import sys
from typing import NoReturn

import click

from agent import __version__
from agent.failures import RenzhengError, lookup

#: name -> (module, attribute, one line for the overview)
COMMANDS: dict[str, tuple[str, str, str]] = {
    "run": ("agent.cli.run", "run", "Serve as a terminal (what systemd starts)."),
    "demo": ("agent.cli.demo", "demo", "Show seven scenarios on simulators."),
    "document": ("agent.cli.document", "document", "Look into a dump of a chip or a SAM-V reply."),
    "trust": ("agent.cli.trust", "trust", "Import and list CSCA certificates, master lists, CRLs."),
    "simulate": ("agent.cli.simulate", "simulate", "Present a simulated document by hand."),
    "models": ("agent.cli.models", "models", "Add, evaluate, calibrate, sign and verify models."),
    "face": ("agent.cli.face", "face", "Compare two pictures, or inspect one."),
    "provision": ("agent.cli.provision", "provision", "Make this terminal known to an issuer."),
    "evidence": ("agent.cli.evidence", "evidence", "Repeat every check of a request, offline."),
    "config": ("agent.cli.config", "config", "Check, sign, show, compare and roll back settings."),
    "kiosk": ("agent.cli.kiosk", "kiosk", "Show the page full-screen on this display."),
    "operator-pin": ("agent.cli.operator_pin", "operator_pin", "Set the PIN of the operator page."),
    "self-test": ("agent.cli.self_test", "self_test", "Test every part of this terminal."),
    "diagnose": ("agent.cli.diagnose", "diagnose", "Make a redacted bundle for a bug report."),
    "audit": ("agent.cli.audit", "audit", "Verify the audit's chain of records."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the table's order."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module that holds the command."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _help = COMMANDS[cmd_name]
        command = getattr(importlib.import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{module}.{attribute} is not a command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The overview, from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_module, _attribute, text) in COMMANDS.items()])


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(__version__, prog_name="renzheng")
def renzheng() -> None:
    """Is this person the one on this document?

    A terminal reads the chip of an identity document, finds a living face before its camera, compares the two, and
    asks a central issuer for a signed decision.
    """


#: What to do about a path that cannot be used, by the system's error; nothing for the rest.
REMEDIES = {
    errno.EACCES: "run it with sudo, or name a place of your own",
    errno.EPERM: "run it with sudo, or name a place of your own",
    errno.ENOENT: "make the folder first, or name one that is there",
    errno.EROFS: "name a place that can be written",
    errno.ENOSPC: "free space on this disk",
}


def main() -> None:
    """Run the command line; an error of ours, or a path that cannot be used, is one message, and exit status 1."""
    try:
        renzheng()
    except RenzhengError as error:
        denied = isinstance(error.__cause__, PermissionError)
        _refuse(str(error), REMEDIES[errno.EACCES] if denied else lookup(error.code).remedy)
    except OSError as error:
        where = error.filename2 or error.filename
        if where is None:
            raise
        _refuse(f"{where}: {error.strerror}", REMEDIES.get(error.errno or 0, ""))


def _refuse(error: str, remedy: str) -> NoReturn:
    click.echo(f"error: {error}", err=True)
    if remedy:
        click.echo(f"  remedy: {remedy}", err=True)
    sys.exit(1)
