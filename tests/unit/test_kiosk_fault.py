"""An idle terminal says that it is out of order exactly when no verification could succeed."""

import pytest

from agent.health.state import PartState
from agent.kiosk.fault import GRACE, standing_fault

NOW = 1_795_000_000.0
PARTS = ("reader passport", "reader id-card", "camera", "broker", "issuer")
CODES = {"reader passport": "reader.gone", "reader id-card": "reader.gone", "camera": "camera.gone"}


def parts(*down: str, seconds: float = 60.0) -> dict[str, PartState]:
    return {
        name: PartState(name not in down, CODES.get(name, "broker.unreachable") if name in down else "", NOW - seconds)
        for name in PARTS
    }


@pytest.mark.parametrize(
    ("down", "code"),
    [
        ((), ""),
        (("camera",), "camera.gone"),
        (("broker",), "broker.unreachable"),
        (("reader passport",), ""),
        (("reader passport", "reader id-card"), "reader.gone"),
        (("reader passport", "camera"), "camera.gone"),
    ],
)
def test_what_is_down_decides(down: tuple[str, ...], code: str) -> None:
    assert standing_fault(parts(*down), NOW) == code


def test_a_part_that_comes_back_at_once_is_not_told() -> None:
    assert standing_fault(parts("broker", seconds=GRACE - 1), NOW) == ""


def test_a_part_that_fell_before_the_clock_was_set_back_is_told() -> None:
    assert standing_fault(parts("camera", seconds=-3600), NOW) == "camera.gone"


def test_before_any_part_has_spoken_there_is_no_fault() -> None:
    assert standing_fault({}, NOW) == ""
