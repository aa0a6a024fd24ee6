"""`renzheng diagnose`: a redacted bundle for a bug report."""

from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console

from agent.cli.run import settings_option
from agent.health.check import document, run
from agent.health.checks import checks
from agent.health.diagnosis import bundle


@click.command()
@settings_option
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), help="Where to write it. Default: here, dated."
)
def diagnose(path: Path, output: Path | None) -> None:
    """Make a redacted bundle for a bug report: versions, settings, self-test, the journal, counts of the audit.

    Persons, pictures, keys and numbers of documents are taken out; look into it before you send it all the same.
    """
    name = f"renzheng-diagnosis-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.tar.gz"
    target = output or Path(name)
    with Console(stderr=True).status("testing and collecting ..."):
        content = bundle(path, document(run(checks(path))))
    try:
        target.write_bytes(content)
        target.chmod(0o600)
    except OSError as error:
        raise click.ClickException(f"{target}: {error.strerror}") from error
    click.echo(f"{target} ({len(content) / 1024:.0f} KiB)")
