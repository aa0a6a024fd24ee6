"""What is made of the evidence: fusion, the same person throughout, the track of a face, the lock-out."""

import numpy as np
import pytest

from agent.biometrics.liveness.fuse import fuse_parts
from agent.biometrics.liveness.lockout import Lockout
from agent.biometrics.liveness.same_person import SamePerson
from agent.biometrics.liveness.track import FaceTrack
from agent.biometrics.types import Guidance, LivenessPart, LivenessVerdict, Template

LIVE, ATTACK, UNSURE = LivenessVerdict.LIVE, LivenessVerdict.ATTACK, LivenessVerdict.INDETERMINATE
RNG = np.random.default_rng(3)


def part(verdict: LivenessVerdict, *, required: bool = True) -> LivenessPart:
    return LivenessPart("x", verdict, 0.5, 0.5, required)


# ---- Fusion ----


def test_all_required_parts_must_say_live() -> None:
    assert fuse_parts("p", [part(LIVE), part(LIVE)], ()).verdict is LIVE
    assert fuse_parts("p", [part(LIVE), part(UNSURE)], ()).verdict is UNSURE
    assert fuse_parts("p", [part(UNSURE), part(ATTACK)], ()).verdict is ATTACK


def test_advice_decides_nothing() -> None:
    assert fuse_parts("p", [part(LIVE), part(ATTACK, required=False)], ()).verdict is LIVE
    assert fuse_parts("p", [part(UNSURE), part(LIVE, required=False)], ()).verdict is UNSURE


def test_no_evidence_is_not_live() -> None:
    assert fuse_parts("p", [], ()).verdict is UNSURE
    assert fuse_parts("p", [part(LIVE, required=False)], ()).verdict is UNSURE


# ---- The same person ----


def like(base: np.ndarray, cosine: float) -> Template:
    """A template at a given cosine from another."""
    other = RNG.normal(size=base.shape)
    other -= (other @ base) * base
    other /= np.linalg.norm(other)
    return Template((cosine * base + np.sqrt(1 - cosine**2) * other).astype(np.float32), "m")


@pytest.fixture
def base() -> np.ndarray:
    vector = RNG.normal(size=192)
    return np.asarray(vector / np.linalg.norm(vector))


def known(base: np.ndarray) -> SamePerson:
    person = SamePerson(required=True)
    for _ in range(3):
        person.look_ahead(Template(base.astype(np.float32), "m"), 1.0)
    return person


def test_one_person_throughout(base: np.ndarray) -> None:
    person = known(base)
    person.look_aside(like(base, 0.85), Guidance.TURN_LEFT, 0.5)
    person.look_aside(like(base, 0.62), Guidance.TURN_LEFT, 1.1)
    person.look_ahead(like(base, 0.9), 1.0)
    assert person.part().verdict is LIVE
    template = person.template()
    assert template is not None
    assert float(template.vector @ base) > 0.95


def test_somebody_else_turns(base: np.ndarray) -> None:
    person = known(base)
    person.look_aside(like(base, 0.2), Guidance.TURN_LEFT, 0.5)
    assert person.broken
    assert person.part().verdict is ATTACK


def test_somebody_else_looks_back(base: np.ndarray) -> None:
    person = known(base)
    person.look_ahead(like(base, 0.3), 1.0)
    assert person.part().verdict is ATTACK


def test_a_face_that_is_a_little_too_unlike_is_no_attack(base: np.ndarray) -> None:
    person = known(base)
    person.look_ahead(like(base, 0.5), 1.0)
    assert person.broken
    assert person.part().verdict is UNSURE


def test_less_is_asked_of_a_face_that_is_further_turned(base: np.ndarray) -> None:
    near, far = known(base), known(base)
    near.look_aside(like(base, 0.4), Guidance.TURN_LEFT, 0.4)
    far.look_aside(like(base, 0.4), Guidance.TURN_LEFT, 1.3)
    assert near.broken
    assert not far.broken


def test_one_look_aside_that_is_a_little_too_unlike_is_forgiven_among_others(base: np.ndarray) -> None:
    person = known(base)
    person.look_ahead(like(base, 0.9), 1.0)
    for cosine in (0.8, 0.5, 0.8):
        person.look_aside(like(base, cosine), Guidance.TURN_LEFT, 0.5)
    assert not person.broken
    assert person.part().verdict is UNSURE
    person.look_aside(like(base, 0.8), Guidance.TURN_LEFT, 0.5)
    assert person.part().verdict is LIVE
    person.look_aside(like(base, 0.5), Guidance.TURN_LEFT, 0.5)
    assert person.broken


def test_nobody_seen_is_nobody_proved() -> None:
    assert SamePerson(required=True).part().verdict is UNSURE
    assert SamePerson(required=True).template() is None


# ---- The track ----


def box(x: float, width: float = 100.0) -> np.ndarray:
    return np.array([x, 50.0, x + width, 50.0 + width], np.float32)


def test_a_face_that_moves_stays_one_track() -> None:
    track = FaceTrack()
    assert [track.follow(box(100.0 + 20 * k), k / 15) for k in range(8)] == [0] * 8


def test_a_face_that_jumps_or_swells_is_another() -> None:
    track = FaceTrack()
    track.follow(box(100.0), 0.0)
    assert track.follow(box(260.0), 1 / 15) == 1
    assert track.follow(box(240.0, 190.0), 2 / 15) == 2


# ---- The lock-out ----


def test_three_failures_close_the_terminal_for_a_while_and_then_for_longer() -> None:
    lock = Lockout()
    for now in (0.0, 10.0):
        lock.failed(now)
        assert lock.wait(now) == 0.0
    lock.failed(20.0)
    assert lock.wait(20.0) == pytest.approx(30.0)
    assert lock.wait(50.0) == 0.0
    for now in (60.0, 70.0, 80.0):
        lock.failed(now)
    assert lock.wait(80.0) == pytest.approx(60.0)


def test_failures_of_another_hour_do_not_count() -> None:
    lock = Lockout()
    for now in (0.0, 400.0, 800.0, 1200.0):
        lock.failed(now)
    assert lock.wait(1200.0) == 0.0


def test_a_stranger_who_passes_does_not_reset_an_attacker() -> None:
    lock = Lockout()
    lock.failed(0.0)
    lock.failed(10.0)
    lock.passed(15.0)
    lock.failed(20.0)
    assert lock.wait(20.0) > 0.0
