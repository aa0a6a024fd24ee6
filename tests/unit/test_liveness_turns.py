"""The turn gate sees angles and times: people pass it, recordings and guesses do not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.biometrics.liveness.challenge import Challenge, Step, draw
from agent.biometrics.liveness.parallax import sufficient
from agent.biometrics.liveness.policy import POLICIES, LivenessPolicy
from agent.biometrics.liveness.turns import DIRECTIONS, OPPOSITE, Look, Phase, TurnGate
from agent.biometrics.simulator.attempt import seeded
from agent.biometrics.simulator.motion import Habits, Mover
from agent.biometrics.types import Guidance

STANDARD = POLICIES["standard"]
RATE = 15.0
LEFT, RIGHT, UP, DOWN = DIRECTIONS


def challenge(*turns: Guidance, policy: LivenessPolicy = STANDARD) -> Challenge:
    steps = tuple(Step(turn, 0.4, 0.3) for turn in turns)
    reserve = tuple(Step(turn, 0.4, 0.3) for turn in (UP, LEFT, UP, LEFT, UP))
    return Challenge(policy.name, steps, reserve, ())


class Performer:
    """Feeds a gate with poses that are held for some seconds, 15 frames a second."""

    def __init__(self, gate: TurnGate) -> None:
        self.gate, self.now, self.track = gate, 0.0, 0

    def hold(self, seconds: float, yaw: float = 0.0, pitch: float = 0.0) -> None:
        for _ in range(round(seconds * RATE)):
            self.now += 1 / RATE
            self.gate.see(Look(self.now, yaw, pitch, self.track))

    def until(self, phase: Phase, yaw: float = 0.0, pitch: float = 0.0) -> None:
        for _ in range(200):
            if self.gate.phase is phase:
                return
            self.hold(1 / RATE, yaw, pitch)
        pytest.fail(f"the gate never reached {phase}")

    def do(self, turn: Guidance, degrees: float = 32.0) -> None:
        right, down = DIRECTIONS[turn]
        self.until(Phase.ASK)
        self.hold(1.0, yaw=right * degrees, pitch=-down * degrees)
        self.hold(0.5)


def at(*turns: Guidance, policy: LivenessPolicy = STANDARD) -> Performer:
    return Performer(TurnGate(challenge(*turns, policy=policy), policy, 0.0))


def led(policy: LivenessPolicy, seed: int, habits: Habits) -> TurnGate:
    gate = TurnGate(draw(policy, rng=seeded(seed)), policy, 0.0)
    mover = Mover(np.random.default_rng(seed), habits)
    for index in range(int(policy.timeout * RATE) + 2):
        pose = mover.pose(index / RATE)
        gate.see(Look(index / RATE, pose.yaw, pose.pitch, 0))
        if gate.over:
            break
        mover.observe(gate.guidance, index / RATE)
    return gate


@pytest.mark.parametrize("turn", [LEFT, RIGHT, UP, DOWN])
def test_a_turn_done_as_asked_passes(turn: Guidance) -> None:
    person = at(turn)
    person.do(turn)
    assert person.gate.phase is Phase.PASSED
    assert person.gate.done[0].turn is turn
    assert person.gate.done[0].peak == pytest.approx(32.0)


@pytest.mark.parametrize("policy", POLICIES.values(), ids=list(POLICIES))
def test_people_pass(policy: LivenessPolicy) -> None:
    gates = [led(policy, seed, Habits()) for seed in range(60)]
    assert sum(gate.phase is Phase.PASSED for gate in gates) >= 58


def test_people_who_are_slow_pass() -> None:
    gates = [led(STANDARD, seed, Habits(reaction=(1.6, 0.4), turning=(1.1, 0.2))) for seed in range(40)]
    assert sum(gate.phase is Phase.PASSED for gate in gates) >= 38


def test_a_turn_that_stops_short_does_not_pass() -> None:
    person = at(LEFT)
    person.until(Phase.ASK)
    person.hold(STANDARD.respond + 0.2, yaw=STANDARD.yaw - 1.0)
    assert person.gate.failure == "liveness.timeout"


def test_two_frames_at_the_angle_are_a_misfit_and_not_a_turn() -> None:
    person = at(LEFT)
    person.until(Phase.ASK)
    for _ in range(5):
        person.hold(2 / RATE, yaw=40.0)
        person.hold(2 / RATE)
    assert person.gate.phase is Phase.ASK


def test_sides_mistaken_once_cost_a_longer_sequence() -> None:
    person = at(LEFT, UP)
    person.do(RIGHT)
    assert person.gate.mistakes == 1
    assert len(person.gate.steps) == 5
    for turn in (UP, LEFT, UP, LEFT, UP):
        person.do(turn)
    assert person.gate.phase is Phase.PASSED


def test_sides_mistaken_twice_end_the_attempt() -> None:
    person = at(LEFT)
    person.do(RIGHT)
    person.do(OPPOSITE[UP])
    assert person.gate.failure == "liveness.wrong_turn"


def test_a_turn_on_the_other_axis_ends_the_attempt_at_once() -> None:
    person = at(LEFT)
    person.do(UP)
    assert person.gate.failure == "liveness.wrong_turn"


@pytest.mark.parametrize("asked", [LEFT, UP])
def test_a_slanted_turn_is_one_turn_and_not_two(asked: Guidance) -> None:
    """Nobody who is asked for one turn does two at once: a recording that did would be right half of the time."""
    person = at(asked)
    person.until(Phase.ASK)
    person.hold(1.0, yaw=32.0, pitch=30.0)
    person.hold(0.5)
    # 32° aside are 1.3 of what is asked for, 30° up are 1.5.
    assert (person.gate.phase is Phase.PASSED) is (asked is UP)
    assert person.gate.mistakes == (0 if asked is UP else 1)


def test_a_slant_on_the_way_costs_nothing() -> None:
    person = at(LEFT)
    person.until(Phase.ASK)
    person.hold(0.5, yaw=12.0, pitch=-17.0)
    person.hold(1.0, yaw=33.0, pitch=-21.0)
    person.hold(0.4)
    assert person.gate.phase is Phase.PASSED


def test_a_loop_of_slanted_turns_hardly_passes() -> None:
    rng, passed = np.random.default_rng(7), 0
    for seed in range(200):
        gate = TurnGate(draw(STANDARD, rng=seeded(seed)), STANDARD, 0.0)
        begin, index = rng.uniform(0, 6), 0
        while not gate.over:
            into = (begin + index / RATE) % 6
            out = min(1.0, into % 3 / 0.3, max(0.0, 1.2 - into % 3) / 0.3) * (1 if into < 3 else -1)
            gate.see(Look(index / RATE, 32 * out + rng.normal(0, 1.5), 27 * out + rng.normal(0, 1.5), 0))
            index += 1
        passed += gate.phase is Phase.PASSED
    # While a slant counted as either of its turns, 25 of these passed.
    assert passed < 7


def test_no_mistake_is_forgiven_under_the_highest_policy() -> None:
    person = at(LEFT, policy=POLICIES["high"])
    person.do(RIGHT)
    assert person.gate.failure == "liveness.wrong_turn"


def test_drifting_the_wrong_way_is_forgiven() -> None:
    person = at(LEFT)
    person.until(Phase.ASK)
    person.hold(0.5, yaw=-18.0)
    person.hold(1.0, yaw=33.0)
    person.hold(0.4)
    assert person.gate.phase is Phase.PASSED


def test_one_glance_at_the_document_is_forgiven_and_a_second_is_a_mistake() -> None:
    person = at(LEFT, UP)
    person.until(Phase.AHEAD)
    person.hold(0.4, pitch=-30.0)
    person.hold(0.2)
    assert person.gate.mistakes == 0
    person.hold(0.4, pitch=-30.0)
    assert person.gate.mistakes == 1


def test_the_next_prompt_waits_for_a_head_that_looks_ahead() -> None:
    person = at(LEFT)
    person.until(Phase.AHEAD)
    person.hold(2.0, yaw=16.0)
    assert person.gate.phase is Phase.AHEAD
    person.until(Phase.ASK)
    assert person.gate.guidance is LEFT


def test_a_turn_that_ends_before_its_time_is_asked_for_again() -> None:
    person = at(LEFT)
    person.until(Phase.ASK)
    person.hold(4 / RATE, yaw=30.0)
    person.hold(3 / RATE)
    assert person.gate.phase is Phase.ASK
    assert person.gate.guidance is LEFT


def test_another_track_in_the_middle_is_another_presentation() -> None:
    person = at(LEFT, policy=POLICIES["high"])
    person.until(Phase.ASK)
    person.track = 1
    person.hold(0.1)
    assert person.gate.failure == "liveness.person_changed"


def test_a_face_that_was_away_is_another_presentation() -> None:
    person = at(LEFT, policy=POLICIES["high"])
    person.until(Phase.ASK)
    person.now += 0.6
    person.hold(0.1)
    assert person.gate.failure == "liveness.person_changed"


def test_nobody_there_times_out() -> None:
    gate = TurnGate(challenge(LEFT), STANDARD, 0.0)
    gate.miss(STANDARD.timeout + 0.1)
    assert gate.failure == "liveness.timeout"


def test_a_head_that_never_looks_ahead_is_never_asked() -> None:
    person = at(LEFT)
    person.hold(5.0, yaw=20.0)
    assert person.gate.phase is Phase.SETTLE


def test_pitch_counts_from_where_this_person_looks_ahead() -> None:
    person = at(UP)
    person.hold(0.8, pitch=-14.0)
    person.until(Phase.ASK, pitch=-14.0)
    person.hold(0.8, pitch=7.0)
    person.hold(0.4, pitch=-14.0)
    assert person.gate.phase is Phase.PASSED


@pytest.mark.parametrize(
    ("lead", "yaw", "passes"),
    [(0.12, 14.0, True), (0.12, 11.0, False), (0.08, 22.0, True), (0.08, 19.0, False), (0.05, 24.0, False)],
)
def test_where_points_show_depth_the_mesh_only_has_to_agree(lead: float, yaw: float, passes: bool) -> None:
    person = at(LEFT)
    person.until(Phase.ASK)
    enough = sufficient(LEFT, lead)
    for number in range(15):
        # One frame in four is misread.
        shown = 4.0 if number % 4 == 3 else yaw
        person.now += 1 / RATE
        person.gate.see(Look(person.now, shown, 0.0, 0, suffices=enough))
    assert (person.gate.phase is not Phase.ASK) is passes


def test_a_lead_that_is_not_known_changes_nothing() -> None:
    assert sufficient(UP, float("nan")) == 1.0


def test_one_turn_more_is_asked_when_something_looked_odd_at_any_time_and_once() -> None:
    person = at(LEFT)
    person.until(Phase.ASK)
    for _ in range(3):
        person.gate.ask_more()
    first, second = (step.turn for step in person.gate.steps)
    assert first is not second
    person.hold(0.8, yaw=32.0)
    person.hold(0.5)
    assert len(person.gate.done) == 1
    person.do(second)
    assert person.gate.phase is Phase.PASSED


def test_recordings_of_earlier_attempts_hardly_pass() -> None:
    passed = 0
    for seed in range(200):
        recorded = draw(STANDARD, rng=seeded(seed))
        gate = TurnGate(recorded, STANDARD, 0.0)
        trace: list[tuple[float, float]] = []
        mover = Mover(np.random.default_rng(seed), Habits())
        while not gate.over:
            now = len(trace) / RATE
            pose = mover.pose(now)
            trace.append((pose.yaw, pose.pitch))
            gate.see(Look(now, pose.yaw, pose.pitch, 0))
            mover.observe(gate.guidance, now)
        fresh = TurnGate(draw(STANDARD, rng=seeded(10_000 + seed)), STANDARD, 0.0)
        index = 0
        while not fresh.over:
            yaw, pitch = trace[index % len(trace)]
            fresh.see(Look(index / RATE, yaw, pitch, 0))
            index += 1
        passed += fresh.phase is Phase.PASSED
    # 0.8 % in 3000 runs (docs/liveness.md): seven of two hundred would be a gate that has broken.
    assert passed < 7


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-80, 80), st.floats(-60, 60), st.integers(0, 2), st.floats(0.0, 0.5)), max_size=120),
    st.integers(0, 1000),
)
def test_whatever_it_sees_it_never_passes_without_every_turn(
    looks: list[tuple[float, float, int, float]], seed: int
) -> None:
    gate = TurnGate(draw(STANDARD, rng=seeded(seed)), STANDARD, 0.0)
    now = 0.0
    for yaw, pitch, track, elapsed in looks:
        now += elapsed
        gate.see(Look(now, yaw, pitch, track))
    if gate.phase is Phase.PASSED:
        assert [turn.turn for turn in gate.done] == [step.turn for step in gate.steps]
    assert (gate.phase is Phase.FAILED) == bool(gate.failure)
