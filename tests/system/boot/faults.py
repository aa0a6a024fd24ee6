"""The table of faults: what was done to a booted terminal, and how soon it noticed and served again."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Self

from tests.system.boot.machine import Machine, until

HEAD = """# Faults, and what the terminal does about them

Written by `make test-boot`: each fault was done to a booted Debian root with the package installed (systemd-nspawn;
real systemd, pcscd, polkit, Mosquitto and issuer; simulated card and person; clocks are set for the service alone), and
nobody touched the terminal afterwards. *Detected* counts from the fault, *recovered* from when its cause was gone,
until every part serves; *told* is the line in the journal. The tests then hold a verification against its outcome, the
audit against its chain, and the issuer's count of events against what happened.

| fault | release | detected in | recovered in | what was told |
| --- | --- | --- | --- | --- |
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One fault on one release; seconds."""

    fault: str
    release: str
    detected: float
    recovered: float
    told: str


class FaultPage:
    """Collects rows; writes the page where `FAULTS_PAGE` says.

    A whole run writes it anew; a run of some tests (`FAULTS_KEEP`) renews their rows and keeps the others.
    """

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        target = os.environ.get("FAULTS_PAGE")
        if target and self.rows:
            kept = _rows(Path(target)) if os.environ.get("FAULTS_KEEP") else {}
            lines = kept | {(row.fault, row.release): _line(row) for row in self.rows}
            Path(target).write_text(HEAD + "".join(lines[place] for place in sorted(lines)), "utf-8")


def _rows(page: Path) -> dict[tuple[str, str], str]:
    """The lines of the table on the page, by fault and release."""
    table = page.read_text("utf-8").partition("| --- |")[2].splitlines(keepends=True)[1:]
    cells = {line: [cell.strip() for cell in line.split("|")] for line in table}
    return {(found[1], found[2]): line for line, found in cells.items()}


def _line(row: Row) -> str:
    told = row.told.replace("|", "\\|")
    return f"| {row.fault} | {row.release} | {row.detected:.1f} s | {row.recovered:.1f} s | {told} |\n"


@dataclass(frozen=True, slots=True)
class Trial:
    """One fault in progress."""

    machine: Machine
    page: FaultPage
    release: str

    def run(
        self,
        fault: str,
        *,
        do: Callable[[], object],
        told: str,
        undo: Callable[[], object] = lambda: None,
        well: Callable[[], object] | None = None,
        within: tuple[float, float] = (30.0, 30.0),
    ) -> None:
        """Do it, wait for the line `told`, undo it, wait until all is `well`; asserts both within `within` seconds."""
        before = sum(told in line for line in self._lines())
        start = monotonic()
        do()
        until(lambda: sum(told in line for line in self._lines()) > before, within[0], 0.2)
        detected = monotonic() - start
        undo()
        start = monotonic()
        until(well or self.serving, within[1], 0.2)
        line = next(line for line in reversed(self._lines()) if told in line)
        self.page.rows.append(Row(fault, self.release, detected, monotonic() - start, line))

    def serving(self) -> bool:
        """The process that systemd calls active says that every part serves, the way to the issuer included."""
        state, pid = self.machine.show("ActiveState"), self.machine.show("MainPID")
        try:
            told = json.loads(self.machine.shell("cat /run/renzheng/health.json").stdout)
        except ValueError:
            return False
        up = {part for part, found in told["parts"].items() if found["up"]}
        return state == "active" and str(told["pid"]) == pid and up >= {"camera", "broker", "issuer", "reader passport"}

    def _lines(self) -> list[str]:
        return self.machine.journal().splitlines()
