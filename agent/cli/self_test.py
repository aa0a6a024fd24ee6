"""`renzheng self-test`: every part of this terminal, measured and held against its limit."""

import json
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from agent import __version__
from agent.cli.run import settings_option
from agent.configuration.load import load
from agent.health.check import Report, Status, document, run, select
from agent.health.checks import checks
from agent.health.held import held, wait_for_release

STYLE = {Status.PASS: "green", Status.WARN: "yellow", Status.FAIL: "bold red", Status.SKIP: "dim"}

#: Seconds; a key that is held longer is stuck.
LONGEST_HOLD = 60.0


@click.command("self-test")
@settings_option
@click.option(
    "--json", "as_json", is_flag=True, help="For machines: one document (agent/health/self_test.schema.json)."
)
@click.option("--only", multiple=True, metavar="ID", help="Run these checks: an id, or `reader.*`; may be repeated.")
@click.option("--fix-hints", is_flag=True, help="Show the remedy of everything that did not pass.")
@click.option(
    "--if-held",
    is_flag=True,
    help="Only if somebody holds a key, a button or a finger on the touch screen now; stay until it is let go.",
)
@click.option("--list", "listed", is_flag=True, help="List the checks and their ids, and run none.")
def self_test(path: Path, as_json: bool, only: tuple[str, ...], fix_hints: bool, if_held: bool, listed: bool) -> None:
    """Test every part of this terminal: settings, keys, trust, clock, broker, readers, camera, models, disk, power.

    The exit status is 0 when all pass, 1 with warnings, 2 with failures. It disturbs nobody: what the running agent
    holds is judged by what the agent says of it.
    """
    if if_held and not held():
        return
    known = checks(path)
    chosen = select(known, only)
    if unknown := [name for name in only if not select(known, [name])]:
        # Without settings there are only the checks of the machine: say first why there are no settings.
        load(path)
        raise click.BadParameter(f"no check is called {', '.join(unknown)}; `--list` shows them", param_hint="--only")
    if listed:
        for check in chosen:
            click.echo(f"{check.id:20} {check.title}")
        return
    console = Console(stderr=as_json)
    with console.status("testing ..."):
        report = run(chosen)
    if as_json:
        click.echo(json.dumps(document(report), ensure_ascii=False))
    else:
        Console().print(table(report, fix_hints=fix_hints))
    if if_held:
        wait_for_release(LONGEST_HOLD)
    sys.exit(report.exit_status)


def table(report: Report, *, fix_hints: bool) -> Table:
    """The report for a person."""
    shown = Table(
        title=f"renzheng {__version__}: {report.status.upper()} in {report.seconds:.1f} s", title_justify="left"
    )
    for column in ("check", "", "measured", "limit"):
        shown.add_column(column, no_wrap=not column)
    for result in report.results:
        finding = result.finding
        measured = finding.measured
        if fix_hints and finding.status in (Status.WARN, Status.FAIL):
            measured += f"\n[italic]→ {finding.remedy}[/italic]"
        style = STYLE[finding.status]
        shown.add_row(result.id, f"[{style}]{finding.status.upper()}[/{style}]", measured, finding.limit)
    return shown
