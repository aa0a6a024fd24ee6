"""Challenges are fresh, even and bound into the request."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest

from agent.biometrics.liveness.challenge import TURNS, draw
from agent.biometrics.liveness.policy import POLICIES, LivenessPolicy
from agent.biometrics.simulator.attempt import seeded


@pytest.mark.parametrize("policy", POLICIES.values(), ids=list(POLICIES))
def test_no_turn_comes_twice_in_a_row(policy: LivenessPolicy) -> None:
    for _ in range(200):
        challenge = draw(policy)
        assert len(challenge.steps) == policy.turns
        assert len(challenge.reserve) == policy.turns + 1
        for steps in (challenge.steps, challenge.reserve):
            assert all(a.turn is not b.turn for a, b in pairwise(steps))


def test_the_next_challenge_differs_from_the_last() -> None:
    previous = draw(POLICIES["convenience"])
    for _ in range(100):
        challenge = draw(POLICIES["convenience"], previous)
        assert challenge.turns != previous.turns
        previous = challenge


def test_every_sequence_is_as_likely_as_any_other() -> None:
    drawn = Counter(draw(POLICIES["standard"], rng=seeded(seed)).turns for seed in range(5400))
    assert len(drawn) == 4 * 3 * 3 * 3
    # 50 expected of each: five standard deviations are 35.
    assert min(drawn.values()) >= 15
    assert max(drawn.values()) <= 90


def test_times_lie_within_the_policy() -> None:
    policy = POLICIES["standard"]
    for seed in range(300):
        for step in draw(policy, rng=seeded(seed)).steps:
            assert step.turn in TURNS
            assert policy.dwell[0] <= step.dwell <= policy.dwell[1]
            assert policy.hold[0] <= step.hold <= policy.hold[1]


def test_colours_belong_to_the_policies_with_light() -> None:
    assert draw(POLICIES["standard"]).colours == ()
    colours = draw(POLICIES["high"]).colours
    assert len(colours) == POLICIES["high"].colours
    assert all(a != b for a, b in pairwise(colours))


def test_the_binding_changes_with_every_part_of_the_challenge() -> None:
    challenge = draw(POLICIES["high"], rng=seeded(1))
    first = challenge.steps[0]
    others = [
        replace(challenge, policy="standard"),
        replace(challenge, steps=challenge.steps[::-1]),
        replace(challenge, steps=(replace(first, hold=first.hold + 0.001), *challenge.steps[1:])),
        replace(challenge, steps=(replace(first, dwell=first.dwell + 0.001), *challenge.steps[1:])),
        replace(challenge, reserve=challenge.reserve[::-1]),
        replace(challenge, colours=challenge.colours[::-1]),
        # The border between steps and reserve is part of it.
        replace(challenge, steps=challenge.steps[:-1], reserve=(challenge.steps[-1], *challenge.reserve)),
    ]
    assert len({challenge.binding, *(other.binding for other in others)}) == 1 + len(others)


def test_the_same_challenge_has_one_binding() -> None:
    assert draw(POLICIES["high"], rng=seeded(3)).binding == draw(POLICIES["high"], rng=seeded(3)).binding
