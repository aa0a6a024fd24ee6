"""What the demonstration prints: a live line while it plays, a table of outcomes and a table of phases at the end."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table

from agent.biometrics.types import Guidance
from agent.demo.scenario import Scenario, Seen
from agent.verification.screen import Screen, Stage

#: The phases of a verification in their order, as the table's columns name them.
PHASES = ("document", "face", "compare", "decision", "whole")

_SAYS = {
    Stage.NEED_KEY: "scan the machine-readable lines",
    Stage.READING: "reading the chip",
    Stage.DECIDING: "asking the issuer",
    Stage.VERIFIED: "verified",
    Stage.REFUSED: "refused",
    Stage.TRY_AGAIN: "try again",
    Stage.STAFF: "the staff is asked for",
    Stage.OUT_OF_ORDER: "out of order",
    Stage.IDLE: "idle",
}


class Show:
    """The progress display of a run."""

    def __init__(self, console: Console, titles: Sequence[str]) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=12),
            TextColumn("{task.fields[says]}"),
            console=console,
            transient=False,
        )
        self._tasks = [self._progress.add_task(title, total=1.0, start=False, says="") for title in titles]
        self._current = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Draw while the context is open."""
        with self._progress:
            yield

    def begin(self, number: int) -> None:
        """Scenario `number` starts."""
        self._current = number
        self._progress.start_task(self._tasks[number])

    def end(self, number: int, seen: Seen, *, agrees: bool) -> None:
        """Scenario `number` has ended."""
        mark = "[green]✓[/]" if agrees else "[red]✗ not as expected[/]"
        self._progress.update(self._tasks[number], completed=1.0, says=f"{seen.text}  {mark}")
        self._progress.stop_task(self._tasks[number])

    def screen(self, screen: Screen) -> None:
        """The terminal's screen has changed."""
        turns = screen.step / screen.steps if screen.steps else 0.0
        self._progress.update(
            self._tasks[self._current], completed=min(0.95, 0.4 * screen.document + 0.5 * turns), says=_words(screen)
        )


def _words(screen: Screen) -> str:
    if screen.stage is Stage.FACE:
        guidance = screen.guidance or Guidance.LOOK_HERE
        return guidance.value.replace("_", " ")
    return _SAYS[screen.stage]


def outcomes(scenarios: Sequence[Scenario], seen: Sequence[Seen]) -> Table:
    """Expected against seen."""
    table = Table(title="Outcomes", title_justify="left")
    for heading in ("scenario", "expected", "seen", ""):
        table.add_column(heading)
    for scenario, one in zip(scenarios, seen, strict=False):
        agrees = scenario.agrees(one)
        table.add_row(scenario.title, scenario.expected, one.text, "[green]✓[/]" if agrees else "[red]✗[/]")
    return table


def phases(scenarios: Sequence[Scenario], seen: Sequence[Seen]) -> Table:
    """Seconds in each phase; the document and the face run side by side."""
    table = Table(title="Seconds in each phase (document and face side by side)", title_justify="left")
    table.add_column("scenario")
    for heading in PHASES:
        table.add_column(heading, justify="right")
    for scenario, one in zip(scenarios, seen, strict=False):
        cells = (f"{one.phases[phase]:.3f}" if phase in one.phases else "" for phase in PHASES)
        table.add_row(scenario.title, *cells)
    return table
