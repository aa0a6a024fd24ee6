"""The self-test's registry and runner: checks with stable ids, each bounded in time, run side by side.

A check measures one thing, holds it against a limit and names the remedy. It builds the part that it looks at and
closes it again; a part that the running agent holds is judged by what the agent says about it.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from time import monotonic

from agent import __version__
from agent.failures import RenzhengError, lookup
from agent.health import log
from firmware_bridge.errors import BridgeError

AS_ROOT = "Only root and the service's user may look there: `sudo renzheng self-test`."


class Status(StrEnum):
    """What a check found. `SKIP` means that there is nothing here to check."""

    PASS = "pass"  # noqa: S105  # a verdict
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check: measured value, limit, and what to do about it."""

    status: Status
    measured: str = ""
    limit: str = ""
    remedy: str = ""
    #: A code of the failure catalogue, if one fits.
    code: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """A finding with the check that made it and its time in seconds."""

    id: str
    title: str
    finding: Finding
    seconds: float


@dataclass(frozen=True, slots=True)
class Check:
    """One check. `run` blocks at most `seconds`, or it has failed."""

    id: str
    title: str
    run: Callable[[], Finding]
    seconds: float = 3.0
    #: What to do when it does not answer in time.
    hangs: str = "The part hangs: check its power and cable."


@dataclass(frozen=True, slots=True)
class Report:
    """All results in the registry's order."""

    results: tuple[Result, ...]
    seconds: float = 0.0

    @property
    def status(self) -> Status:
        """The worst finding."""
        found = {result.finding.status for result in self.results}
        return next((status for status in (Status.FAIL, Status.WARN) if status in found), Status.PASS)

    @property
    def exit_status(self) -> int:
        """0, 1 or 2: pass, warn, fail."""
        return {Status.PASS: 0, Status.WARN: 1}.get(self.status, 2)

    def count(self, status: Status) -> int:
        """How many findings are of `status`."""
        return sum(result.finding.status is status for result in self.results)


@dataclass(slots=True)
class _Running:
    check: Check
    finding: Finding | None = None
    seconds: float = 0.0
    done: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        start = monotonic()
        try:
            self.finding = self.check.run()
        except Exception as error:  # noqa: BLE001  # one broken part must not hide the others
            self.finding = of_error(error)
        self.seconds = monotonic() - start
        self.done.set()


def select(checks: Sequence[Check], patterns: Sequence[str]) -> list[Check]:
    """The checks whose id, or the part of it before the first dot, matches one of the shell patterns; all if none."""
    return [
        check
        for check in checks
        if not patterns or any(fnmatchcase(check.id, p) or fnmatchcase(check.id.partition(".")[0], p) for p in patterns)
    ]


def run(checks: Sequence[Check], told: Callable[[Result], None] = lambda _result: None) -> Report:
    """Run all checks side by side; `told` hears each result as it comes, in order.

    A check that exceeds its time fails; its thread is left behind and never waited for.
    """
    start = monotonic()
    running = [_Running(check) for check in checks]
    for item in running:
        threading.Thread(target=item.run, name=f"check {item.check.id}", daemon=True).start()
    results = []
    for item in running:
        item.done.wait(max(0.0, start + item.check.seconds - monotonic()))
        finding, seconds = item.finding, item.seconds
        if finding is None:
            limit = f"{item.check.seconds:g} s"
            finding, seconds = Finding(Status.FAIL, "no answer", limit, item.check.hangs), 0
        result = Result(item.check.id, item.check.title, finding, seconds or monotonic() - start)
        told(result)
        results.append(result)
    return Report(tuple(results), monotonic() - start)


def document(report: Report) -> dict[str, object]:
    """The report for a machine."""
    return {
        "version": 1,
        "software": __version__,
        "status": report.status,
        "seconds": round(report.seconds, 3),
        "checks": [_row(result) for result in report.results],
    }


def _row(result: Result) -> dict[str, object]:
    finding = result.finding
    return {
        "id": result.id,
        "title": result.title,
        "status": finding.status,
        "measured": finding.measured,
        "limit": finding.limit,
        "remedy": finding.remedy,
        "code": finding.code,
        "seconds": round(result.seconds, 3),
    }


def of_error(error: Exception) -> Finding:
    """A failed finding from what a part raised: our own errors bring their remedy."""
    if isinstance(error, RenzhengError | BridgeError):
        failure = lookup(str(error.code))
        remedy = AS_ROOT if isinstance(error.__cause__, PermissionError) else failure.remedy
        return Finding(Status.FAIL, str(error), remedy=remedy, code=failure.code)
    return Finding(Status.FAIL, log.describe(error), remedy=lookup("internal.error").remedy, code="internal.error")


def passed(measured: str, limit: str = "") -> Finding:
    """All is well."""
    return Finding(Status.PASS, measured, limit)


def warned(measured: str, limit: str, remedy: str, code: str = "") -> Finding:
    """It works, and will not for long."""
    return Finding(Status.WARN, measured, limit, remedy, code)


def failed(measured: str, limit: str, remedy: str, code: str = "") -> Finding:
    """It does not work."""
    return Finding(Status.FAIL, measured, limit, remedy, code)


def skipped(why: str) -> Finding:
    """There is nothing to check."""
    return Finding(Status.SKIP, why)
