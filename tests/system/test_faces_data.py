"""On real photographs, where they are at hand: they may be measured with and never shipped."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from agent.cli.models import models

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.exists(), reason="../shared/data is not here: research pictures, not shipped")


def report(command: str, option: str, table: str, out: Path, limit: int) -> Any:
    """What `renzheng models` reports on so many rows of the table."""
    arguments = [command, option, str(DATA / table), "--out", str(out), "--limit", str(limit), "--no-cache"]
    result = CliRunner().invoke(models, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    return json.loads((out / "report.json").read_text())


@needs_data
@pytest.mark.slow
def test_frontal_faces_are_told_apart(tmp_path: Path) -> None:
    frontal = report("evaluate", "--pairs", "face_pairs.csv", tmp_path, 168)["sets"]["frontal"]
    assert frontal["failures_to_acquire"] == 0
    # 120 pairs: 99 % on all of them leaves room for four wrong ones here.
    assert frontal["pairs"] == 120
    assert frontal["accuracy_mean"] >= 0.96
    assert frontal["eer"] <= 0.04


@needs_data
@pytest.mark.slow
def test_passive_scores_rank_prints_above_people(tmp_path: Path) -> None:
    found = report("evaluate-pad", "--samples", "pad.csv", tmp_path, 48)
    assert found["per_frame"]["eer"]["print"] <= 0.25
