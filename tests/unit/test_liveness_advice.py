"""Advice: it sees what it looks for, costs a turn at most, and decides nothing."""

from dataclasses import replace
from functools import cache

import cv2
import numpy as np
import pytest

from agent.biometrics.liveness.advice import BORDERS, PASSIVE, TEXTURE, Advice
from agent.biometrics.liveness.borders import Borders, borders_of
from agent.biometrics.liveness.challenge import Challenge, Step
from agent.biometrics.liveness.policy import POLICIES
from agent.biometrics.liveness.texture import FEWEST, EyeTexture
from agent.biometrics.pipeline import FacePipeline
from agent.biometrics.simulator import portraits
from agent.biometrics.simulator.actors import Actor, Holder
from agent.biometrics.simulator.attacks import Paper, Print
from agent.biometrics.simulator.attempt import attempt
from agent.biometrics.simulator.person import Person
from agent.biometrics.simulator.scene import Light, Studio
from agent.biometrics.types import Face, Frame, Guidance, Image, LivenessVerdict, PixelFormat
from agent.evaluation.camera import LOOKS, Living

LIVE, ATTACK, UNSURE = LivenessVerdict.LIVE, LivenessVerdict.ATTACK, LivenessVerdict.INDETERMINATE
BOX = np.array([240.0, 160.0, 400.0, 320.0], np.float32)


@cache
def pipeline() -> FacePipeline:
    return FacePipeline()


def wall() -> Image:
    noise = np.random.default_rng(2).normal(120, 4, (480, 640))
    return np.asarray(cv2.GaussianBlur(noise.astype(np.float32), (0, 0), 1.5), np.uint8)


def sheet(height: int = 350) -> Image:
    """A bright sheet of 1.9 face sides' width around the face, leaning a little."""
    picture = wall()
    turned = cv2.boxPoints(((320, 240), (300, height), 6.0)).astype(np.int32)
    cv2.fillConvexPoly(picture, turned, 200, cv2.LINE_AA)
    return picture


def test_a_sheet_around_the_face_has_edges_on_every_side() -> None:
    borders = borders_of(sheet(), BOX)
    assert min(borders.left, borders.right, borders.above, borders.below) > 1.5
    assert borders.score > 1.5


def test_a_door_frame_is_no_sheet() -> None:
    borders = borders_of(sheet(1400), BOX)
    assert min(borders.left, borders.right) > 1.5
    assert borders.score < 0.5


def test_a_bare_wall_has_none() -> None:
    assert borders_of(wall(), BOX) == Borders()


@pytest.mark.parametrize("box", [(0, 0, 640, 480), (-50, -60, 90, 80), (630, 470, 639, 479), (700, 500, 800, 600)])
def test_a_face_at_the_edge_of_the_picture_is_looked_at_as_well(box: tuple[int, ...]) -> None:
    assert borders_of(sheet(), np.array(box, np.float32)).score >= 0.0


def seen(actor: Actor, count: int) -> list[tuple[Image, Face]]:
    """Some looks at an actor, half a second apart."""
    studio, light = Studio(seed=4), Light()
    looks = []
    for number in range(count):
        picture = actor.picture(studio, light, 0.5 * number)
        face = pipeline().analyse(Frame(picture, PixelFormat.RGB, 0.5 * number, number)).face
        assert face is not None
        looks.append((np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8), face))
    return looks


def person() -> Holder:
    return Holder(Person.of(portraits.shipped(portraits.LIVE), 1), 1)


def test_eyes_that_blink_are_less_frozen_than_those_of_a_picture() -> None:
    scores = []
    for actor in (person(), Print(portraits.shipped(portraits.LIVE), Paper.STILL, seed=1)):
        texture = EyeTexture()
        for grey, face in seen(actor, 12):
            texture.look(grey, face.points)
        assert texture.score is not None
        scores.append(texture.score)
    assert 0.0 <= scores[0] < scores[1] <= 1.0


def test_too_few_looks_say_nothing() -> None:
    texture, advice = EyeTexture(), Advice({TEXTURE: 0.0, BORDERS: 0.0})
    for grey, face in seen(person(), FEWEST - 1)[:2]:
        texture.look(grey, face.points)
        advice.look(grey, face)
    assert texture.score is None
    assert advice.scores == {}
    assert not advice.doubtful
    assert advice.parts() == []


def test_a_site_reads_texture_from_looks_at_one_person_that_lie_apart() -> None:
    living, looks = Living(), seen(person(), 4)
    times = [0.25 * number for number in range(4 * LOOKS)]
    for now, (grey, face) in zip(times, looks * LOOKS, strict=True):
        living.see(Frame(np.dstack([grey] * 3), PixelFormat.RGB, now, 0), face, 0.1)
    assert len(living.passive) == len(living.borders) == 4 * LOOKS
    # Every second frame is near enough to the one before.
    assert len(living.texture) == 2
    elsewhere = [(grey, replace(face, box=face.box + 400.0)) for grey, face in looks]
    for now, (grey, face) in zip((20.0, 20.5, 21.0, 21.5), elsewhere, strict=True):
        living.see(Frame(np.dstack([grey] * 3), PixelFormat.RGB, now, 0), face, 0.1)
    assert len(living.texture) == 2


def test_advice_without_a_limit_says_neither() -> None:
    advice = Advice({})
    advice.passive = 0.9
    assert [part.verdict for part in advice.parts()] == [UNSURE]
    assert not advice.doubtful
    strict = Advice({PASSIVE: 0.5}, passive=0.9)
    assert [(part.verdict, part.required) for part in strict.parts()] == [(ATTACK, False)]
    assert strict.doubtful
    assert [part.verdict for part in Advice({PASSIVE: 0.95}, passive=0.9).parts()] == [LIVE]


def test_a_person_whom_all_advice_speaks_against_does_one_turn_more_and_passes() -> None:
    policy = replace(POLICIES["standard"], limits={BORDERS: -1.0, TEXTURE: -1.0})
    step, more = Step(Guidance.TURN_LEFT, 0.3, 0.1), Step(Guidance.TURN_RIGHT, 0.3, 0.1)
    challenge = Challenge("standard", (step,), (more, step), ())
    evidence = attempt(pipeline(), person(), policy, 3, challenge=challenge).evidence
    assert evidence.liveness.verdict is LIVE
    assert evidence.liveness.challenge == ("turn_left", "turn_right")
    assert {part.name: part.verdict for part in evidence.liveness.parts}[BORDERS] is ATTACK
