"""Reports as files: report.json for programs, report.md for people."""

import csv
import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent import __version__
from agent.biometrics.bundle import ModelBundle
from agent.evaluation.errors import EvaluationError


def open_folder(path: Path) -> Path:
    """Make the folder for a report.

    Raises:
        EvaluationError: `evaluation.output`, it cannot be written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EvaluationError("evaluation.output", f"{path}: {error.strerror}") from error
    return path


def heading(bundle: ModelBundle, command: str, source: Path) -> dict[str, Any]:
    """What was measured, by what."""
    return {
        "renzheng": __version__,
        "command": command,
        "samples": source.name,
        "bundle": {"name": bundle.manifest.name, "sha256": bundle.digest},
        "models": {str(role): entry.sha256 for role, entry in bundle.manifest.models.items()},
        "machine": platform.machine(),
        "python": platform.python_version(),
    }


def write(folder: Path, report: Mapping[str, Any], lines: list[str]) -> None:
    """Write report.json and report.md."""
    text = json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False, default=float)
    try:
        (folder / "report.json").write_text(text + "\n", "utf-8")
        (folder / "report.md").write_text("\n".join(lines) + "\n", "utf-8")
    except OSError as error:
        raise EvaluationError("evaluation.output", f"{folder}: {error.strerror}") from error


def write_failures(folder: Path, failures: Mapping[Path, str]) -> None:
    """Write failures.csv: the pictures without a template, and why."""
    try:
        with (folder / "failures.csv").open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(("path", "code"))
            table.writerows(sorted((str(path), code) for path, code in failures.items()))
    except OSError as error:
        raise EvaluationError("evaluation.output", f"{folder}: {error.strerror}") from error


def percent(value: float | None, digits: int = 2) -> str:
    """A rate for people; a dash for what the data does not carry."""
    return "–" if value is None else f"{100 * value:.{digits}f} %"


def verification_lines(sets: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The tables of a verification report."""
    lines = ["# Face verification", ""]
    for name, report in sets.items():
        lines += [f"## Set {name}", ""]
        lines.append(
            f"{report['genuine_pairs']} genuine and {report['impostor_pairs']} impostor pairs, "
            f"{report['failures_to_acquire']} failures to acquire. Equal error rate {percent(report['eer'])}."
        )
        if report.get("accuracy_mean") is not None:
            lines.append(
                f"Accuracy {percent(report['accuracy_mean'])} ± {percent(report['accuracy_std'])} over "
                f"{report['folds']} folds, the threshold chosen on the other folds."
            )
        lines += ["", "| FMR | threshold | FNMR | 95 % interval | without failures | by subject |"]
        lines.append("|---|---|---|---|---|---|")
        for rate, value in report["fnmr_at_fmr"].items():
            threshold, between = report["thresholds"][rate], report["fnmr_at_fmr_interval"][rate]
            span = "–" if between is None else f"{percent(between[0])} to {percent(between[1])}"
            balanced = report.get("fnmr_at_fmr_balanced", {}).get(rate)
            lines.append(
                f"| {rate} | {'–' if threshold is None else f'{threshold:.4f}'} | {percent(value)} | {span} "
                f"| {percent(report['fnmr_at_fmr_without_failures'][rate])} | {percent(balanced)} |"
            )
        lines += ["", f"Intervals: {report['intervals']}."]
        if "not_carried" in report:
            lines.append(report["not_carried"] + ".")
        lines.append("")
    return lines
