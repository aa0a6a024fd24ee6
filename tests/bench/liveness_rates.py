"""What the liveness benchmarks make of outcomes: rates with their intervals, and a table."""

import json
import math
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from agent.evaluation.rates import interval_of_mean


@dataclass(frozen=True, slots=True)
class Outcome:
    """One attempt: the failure code ("" is passed), whose portrait it was, seconds of the camera's clock."""

    failure: str
    subject: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Rate:
    """How often a kind passed: `wilson` takes attempts as independent, `subjects_again` draws subjects."""

    attempts: int
    subjects: int
    passed: int
    wilson: tuple[float, float]
    subjects_again: tuple[float, float]
    seconds: float
    failures: dict[str, int]
    #: Failures of each subject that has any.
    failed: dict[int, int]


def wilson(passed: int, runs: int) -> tuple[float, float]:
    """The 95 % interval of a rate (Wilson's)."""
    if not runs:
        return 0.0, 1.0
    z, rate = 1.96, passed / runs
    middle = rate + z * z / (2 * runs)
    half = z * math.sqrt(rate * (1 - rate) / runs + z * z / (4 * runs * runs))
    scale = 1 + z * z / runs
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


def rate_of(outcomes: list[Outcome]) -> Rate:
    """The rate of some attempts; `seconds` is the median of those that passed, or of all where none did."""
    passed = [outcome for outcome in outcomes if not outcome.failure]
    _, subjects = np.unique([outcome.subject for outcome in outcomes], return_inverse=True)
    low, high = wilson(len(passed), len(outcomes))
    again = interval_of_mean(np.array([float(not outcome.failure) for outcome in outcomes]), subjects)
    return Rate(
        attempts=len(outcomes),
        subjects=int(subjects.max()) + 1,
        passed=len(passed),
        wilson=(round(low, 4), round(high, 4)),
        subjects_again=(round(again[0], 4), round(again[1], 4)),
        seconds=round(float(np.median([outcome.seconds for outcome in passed or outcomes])), 1),
        failures=dict(Counter(outcome.failure for outcome in outcomes if outcome.failure).most_common()),
        failed=dict(sorted(Counter(outcome.subject for outcome in outcomes if outcome.failure).items())),
    )


def show(title: str, rows: dict[str, list[Outcome]]) -> None:
    """Print the rates of each kind."""
    table = Table(
        "presentation", "attempts", "subjects", "passed", "95 %", "by subject", "seconds", "why not", title=title
    )
    for name, outcomes in rows.items():
        rate = rate_of(outcomes)
        table.add_row(
            name,
            str(rate.attempts),
            str(rate.subjects),
            f"{100 * rate.passed / rate.attempts:.1f} %",
            *(f"{100 * low:.1f}–{100 * high:.1f}" for low, high in (rate.wilson, rate.subjects_again)),
            f"{rate.seconds:.1f}",
            ", ".join(f"{code.removeprefix('liveness.')} {count}" for code, count in rate.failures.items()),
        )
    Console(width=150).print(table)


def write(out: Path | None, rows: dict[str, list[Outcome]], **settings: object) -> None:
    """Write the rates as JSON, whole or not at all."""
    if out is None:
        return
    report = {**settings, "species": {name: asdict(rate_of(outcomes)) for name, outcomes in rows.items()}}
    fresh = out.with_suffix(".new")
    fresh.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", "utf-8")
    fresh.replace(out)
