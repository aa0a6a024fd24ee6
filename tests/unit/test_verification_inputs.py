"""The box for keys, and the screens that people see."""

import asyncio
from datetime import date

import pytest

from agent.biometrics.types import Guidance
from agent.verification.camera import Prompt
from agent.verification.inputs import Inputs
from agent.verification.outcome import Outcome, Result
from agent.verification.presenter import LINGER, Presenter
from agent.verification.screen import Screen, Screens, Stage
from firmware_bridge.reader import MrzKey, Progress

KEY = MrzKey("X0000000", date(1980, 1, 1), date(2030, 1, 1))


async def test_a_key_given_before_or_after_is_taken_once() -> None:
    inputs = Inputs()
    inputs.give(KEY)
    assert await inputs.take() is KEY
    waiting = asyncio.create_task(inputs.take())
    await asyncio.sleep(0)
    assert not waiting.done()
    inputs.give(KEY)
    assert await waiting is KEY


async def test_who_asked_for_the_staff_sees_where_help_is_and_not_that_anything_is_broken() -> None:
    screens = Screens()
    shown: list[Stage] = []
    screens.listen(lambda screen: shown.append(screen.stage))
    presenter = Presenter(screens)
    presenter.begin(4)
    presenter.end(Outcome(Result.FAILED, "liveness.staffed_path"))
    presenter.begin(4)
    assert shown == [Stage.READING, Stage.STAFF, Stage.READING]


async def test_an_old_key_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.verification.inputs.KEY_LIFETIME", 0.01)
    inputs = Inputs()
    inputs.give(KEY)
    inputs.give(KEY)
    await asyncio.sleep(0.02)
    # Not only refused: a terminal that waits all night does not keep somebody's number and birthday.
    assert inputs._key is None
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(inputs.take(), 0.05)


async def test_a_new_person_finds_nothing_of_the_last() -> None:
    inputs = Inputs()
    inputs.give(KEY)
    inputs.cancel()
    inputs.clear()
    assert not inputs.cancelled.is_set()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(inputs.take(), 0.05)


def staged(screens: Screens) -> list[Screen]:
    seen: list[Screen] = []
    screens.listen(seen.append)
    return seen


async def test_the_screens_of_a_verification_come_in_order() -> None:
    screens = Screens()
    seen = staged(screens)
    presenter = Presenter(screens)
    presenter.begin(3)
    presenter.document(Progress("DG2", 50, 100))
    presenter.face(Prompt(Guidance.TURN_LEFT, 1, 3, 0.5, ""))
    presenter.document(Progress("DG2", 25, 100))
    presenter.document_done()
    presenter.face_done()
    presenter.deciding()
    presenter.end(Outcome(Result.VERIFIED))
    stages = [screen.stage for screen in seen]
    assert stages[0] is Stage.READING
    assert stages[-3:] == [Stage.FACE, Stage.DECIDING, Stage.VERIFIED]
    progress = [screen.document for screen in seen[:-1]]
    assert progress == sorted(progress), "the bar never goes back"


@pytest.mark.parametrize(
    ("code", "stage"),
    [
        ("document.cloned", Stage.REFUSED),
        ("document.removed", Stage.TRY_AGAIN),
        ("camera.gone", Stage.OUT_OF_ORDER),
    ],
)
async def test_each_ending_has_its_screen_and_number(code: str, stage: Stage) -> None:
    screens = Screens()
    result = Result.REFUSED if code == "document.cloned" else Result.FAILED
    Presenter(screens).end(Outcome(result, code))
    assert (screens.current.stage, screens.current.failure) == (stage, code)
    assert screens.current.number > 0


async def test_an_ending_returns_to_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LINGER, Stage.VERIFIED, 0.02)
    screens = Screens()
    Presenter(screens).end(Outcome(Result.VERIFIED))
    await asyncio.sleep(0.05)
    assert screens.current.stage is Stage.IDLE


async def test_a_slow_watcher_sees_the_newest_screen() -> None:
    screens = Screens()
    watching = screens.watch()
    assert (await anext(watching)).stage is Stage.IDLE
    for stage in (Stage.READING, Stage.FACE, Stage.DECIDING):
        screens.show(Screen(stage))
    assert (await anext(watching)).stage is Stage.DECIDING
    await watching.aclose()  # type: ignore[attr-defined]  # an async generator behind its interface
