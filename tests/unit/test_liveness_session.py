"""Whole attempts of simulated persons and attackers, rendered and judged by the shipped models."""

from functools import cache

import numpy as np
import pytest

from agent.biometrics.liveness.challenge import Challenge, Step
from agent.biometrics.liveness.policy import POLICIES
from agent.biometrics.liveness.two_cameras import pair_part
from agent.biometrics.pipeline import FacePipeline
from agent.biometrics.session import FaceSession
from agent.biometrics.simulator import portraits
from agent.biometrics.simulator.actors import Actor, Holder, Nobody, Swap
from agent.biometrics.simulator.attacks import Injected, Paper, Print, Replay, record, sheet
from agent.biometrics.simulator.attempt import Attempt, attempt
from agent.biometrics.simulator.camera import SimulatedCamera
from agent.biometrics.simulator.motion import Habits
from agent.biometrics.simulator.person import Person
from agent.biometrics.simulator.scene import Light, Pose, Studio
from agent.biometrics.types import FaceEvidence, Frame, Guidance, LivenessVerdict, PixelFormat

STANDARD = POLICIES["standard"]
LIVE, ATTACK = LivenessVerdict.LIVE, LivenessVerdict.ATTACK


@cache
def pipeline() -> FacePipeline:
    return FacePipeline()


def holder(seed: int = 1, habits: Habits | None = None, *, glasses: bool = False) -> Holder:
    return Holder(Person.of(portraits.shipped(portraits.LIVE), seed, wears_glasses=glasses), seed, habits)


def asked(*turns: Guidance) -> Challenge:
    steps = tuple(Step(turn, 0.3, 0.15) for turn in turns)
    return Challenge("standard", steps, (*steps, Step(Guidance.LOOK_UP, 0.3, 0.1)), ())


def led(actor: Actor, policy: str = "standard", seed: int = 5, **options: object) -> Attempt:
    return attempt(pipeline(), actor, POLICIES[policy], seed, **options)  # type: ignore[arg-type] # options of attempt


def part(evidence: FaceEvidence, name: str) -> LivenessVerdict:
    return next(part.verdict for part in evidence.liveness.parts if part.name == name)


def test_a_person_who_turns_as_asked_is_live_and_is_the_one_on_the_chip() -> None:
    result = led(holder())
    evidence = result.evidence
    assert evidence.liveness.verdict is LIVE, evidence.liveness
    assert evidence.failure == ""
    assert evidence.liveness.challenge == result.challenge.turns
    assert part(evidence, "parallax") is LIVE
    assert part(evidence, "surround") is LIVE
    assert result.seconds < 25
    portrait = pipeline().enroll((portraits.SHIPPED / f"{portraits.CHIP}.jpg").read_bytes())
    assert evidence.template is not None
    assert pipeline().compare(evidence.template, portrait).match
    other = pipeline().enroll((portraits.SHIPPED / f"{portraits.OTHER}.jpg").read_bytes())
    assert not pipeline().compare(evidence.template, other).match


def test_under_the_highest_policy_the_light_of_the_screen_is_seen() -> None:
    result = led(holder(), "high", seed=8)
    assert result.evidence.liveness.verdict is LIVE, result.evidence.liveness
    assert part(result.evidence, "light") is LIVE
    assert Guidance.WATCH_SCREEN in [guidance for _, guidance in result.prompts]


@pytest.mark.parametrize("light", [Light(gain=0.55), Light(lamp=(0.9, -0.2, 0.5))], ids=["dim", "from one side"])
def test_glasses_and_poor_light_do_not_stop_a_person(light: Light) -> None:
    challenge = asked(Guidance.TURN_LEFT, Guidance.LOOK_UP)
    result = led(holder(glasses=True), light=light, challenge=challenge)
    assert result.evidence.liveness.verdict is LIVE, result.evidence.liveness


@pytest.mark.parametrize(
    "actor",
    [
        Print(portraits.shipped(portraits.LIVE), Paper.STILL),
        Print(portraits.shipped(portraits.LIVE), Paper.TILTED),
        Print(portraits.shipped(portraits.LIVE), Paper.BENT, seed=3),
        Print(
            portraits.shipped(portraits.LIVE),
            Paper.BENT,
            behind=Person.of(portraits.shipped(portraits.OTHER)),
            seed=4,
        ),
        Injected(portraits.shipped(portraits.LIVE), noise=True),
    ],
    ids=["still", "tilted", "bent", "holes for the eyes", "injected with noise"],
)
def test_a_portrait_in_any_form_is_refused(actor: Actor) -> None:
    evidence = led(actor).evidence
    assert evidence.liveness.verdict is not LIVE
    assert evidence.failure


def test_an_injected_picture_without_noise_is_no_camera() -> None:
    evidence = led(Injected(portraits.shipped(portraits.LIVE))).evidence
    assert evidence.failure == "camera.frozen"
    assert evidence.liveness.verdict is ATTACK


def test_nobody_turns_for_a_photograph() -> None:
    ahead, turning = (Person.of(portraits.shipped(name), 1) for name in (portraits.LIVE, portraits.OTHER))
    evidence = led(Swap(ahead, turning, 3)).evidence
    assert evidence.failure == "liveness.person_changed"
    assert evidence.liveness.verdict is ATTACK


def test_a_recording_of_other_turns_is_refused() -> None:
    prompts = [(0.8, Guidance.LOOK_UP), (2.4, Guidance.LOOK_HERE), (3.6, Guidance.TURN_RIGHT)]
    recording = record(holder(), Studio(seed=2), [*prompts, (5.2, Guidance.LOOK_HERE)], 6.5, 12.0)
    evidence = led(Replay(recording), challenge=asked(Guidance.TURN_LEFT, Guidance.LOOK_DOWN)).evidence
    assert evidence.liveness.verdict is not LIVE
    assert evidence.failure in {"liveness.wrong_turn", "liveness.timeout", "liveness.person_changed", "face.none"}


@pytest.mark.parametrize(("face_in_both", "verdict"), [(True, LIVE), (False, ATTACK)])
def test_a_second_camera_sees_the_depth_of_a_face(face_in_both: bool, verdict: LivenessVerdict) -> None:
    person, light = Person.of(portraits.shipped(portraits.LIVE), 1), Light()
    studios = Studio(seed=1), Studio(seed=2)
    session = FaceSession(pipeline(), STANDARD, asked(Guidance.TURN_LEFT), now=0.0, baseline=(60.0, 0.0))
    for number in range(16):
        pictures = []
        for studio, side in zip(studios, (30.0, -30.0), strict=True):
            room = studio.empty(light)
            if side > 0 or face_in_both:
                person.draw(studio, room, Pose(x=side, y=-10.0, distance=520.0), light)
            pictures.append(Frame(studio.expose(room, light), PixelFormat.RGB, number / 12, number))
        session.step(*pictures)
    assert part(session.evidence(), "two_cameras") is verdict


def test_two_cameras_see_that_paper_is_flat() -> None:
    portrait, light = portraits.shipped(portraits.LIVE), Light()
    views = []
    for seed, side in ((1, 30.0), (2, -30.0)):
        studio = Studio(seed=seed)
        room = studio.empty(light)
        paper = sheet(portrait.image.shape[:2], 330.0, bend=60.0)
        studio.draw(room, paper, portrait.image, Pose(x=side, y=80.0, distance=500.0), light)
        frame = Frame(studio.expose(room, light), PixelFormat.RGB, 0.0, 0)
        face = pipeline().analyse(frame).face
        assert face is not None
        views.append((frame, face))
    assert pair_part(views[0], views[1], (60.0, 0.0)).verdict is LivenessVerdict.INDETERMINATE


def test_nobody_there() -> None:
    camera = SimulatedCamera(Nobody(), rate=2.0, virtual=True, clock=lambda: 0.0)
    session = FaceSession(pipeline(), STANDARD, asked(Guidance.TURN_LEFT), now=0.0)
    for _ in range(4):
        assert session.step(camera.read(1.0)) is Guidance.LOOK_HERE
    assert session.evidence().failure == "face.none"
    assert session.evidence().template is None


def test_who_walks_away_before_the_light_ends_the_attempt_without_evidence_of_it() -> None:
    person = holder()
    camera = SimulatedCamera(person, rate=12.0, virtual=True, clock=lambda: 0.0)
    steps = (Step(Guidance.TURN_LEFT, 0.3, 0.1),)
    challenge = Challenge("high", steps, steps, ((255, 0, 0), (0, 0, 255), (0, 255, 0)))
    session = FaceSession(pipeline(), POLICIES["high"], challenge, now=0.0)
    for _ in range(200):
        guidance = session.step(camera.read(1.0))
        camera.observe(guidance, session.light)
        if guidance is Guidance.WATCH_SCREEN:
            camera.stage(Nobody())
        if session.done:
            break
    assert session.done
    assert part(session.evidence(), "light") is LivenessVerdict.INDETERMINATE


def test_half_an_attempt_is_no_evidence() -> None:
    camera = SimulatedCamera(holder(), rate=12.0, virtual=True, clock=lambda: 0.0)
    session = FaceSession(pipeline(), STANDARD, asked(Guidance.TURN_LEFT), now=0.0)
    for _ in range(20):
        camera.observe(session.step(camera.read(1.0)), session.light)
    assert not session.done
    assert session.evidence().liveness.verdict is LivenessVerdict.INDETERMINATE
    assert session.evidence().failure == "liveness.indeterminate"


def test_who_cannot_turn_is_led_to_the_staff() -> None:
    camera = SimulatedCamera(holder(), rate=12.0, virtual=True, clock=lambda: 0.0)
    session = FaceSession(pipeline(), STANDARD, asked(Guidance.TURN_LEFT), now=0.0)
    session.step(camera.read(1.0))
    session.refer_to_staff()
    assert session.step(camera.read(1.0)) is Guidance.DONE
    assert session.evidence().failure == "liveness.staffed_path"
    assert session.evidence().liveness.verdict is not LIVE


def test_the_camera_in_real_time_keeps_its_rate() -> None:
    camera = SimulatedCamera(Nobody(), rate=20.0)
    taken = [camera.read(1.0) for _ in range(5)]
    camera.close()
    gaps = np.diff([frame.timestamp for frame in taken])
    assert (gaps >= 0.049).all()
    assert [frame.sequence for frame in taken] == [1, 2, 3, 4, 5]
    assert not np.array_equal(taken[0].pixels, taken[1].pixels)
