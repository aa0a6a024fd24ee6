"""What a person is asked to do: drawn afresh for each attempt by the device, and bound into the request.

The turns, the time that each is held, the pause before each and the colours of the screen are all random: a recording
of an earlier attempt has to meet every one of them.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from agent.biometrics.liveness.policy import LivenessPolicy
from agent.biometrics.types import Guidance

T = TypeVar("T")

TURNS = (Guidance.TURN_LEFT, Guidance.TURN_RIGHT, Guidance.LOOK_UP, Guidance.LOOK_DOWN)

#: A colour of the screen: red, green, blue, 0 to 255. Each lights a face in a way that the others do not.
Colour = tuple[int, int, int]
COLOURS: tuple[Colour, ...] = ((255, 40, 40), (40, 255, 40), (40, 40, 255), (255, 255, 255), (20, 20, 20))


class Chooser(Protocol):
    """A source of choices: the module `secrets`, or a seeded `random.Random` in simulations."""

    def choice(self, seq: Sequence[T]) -> T:
        """One of the sequence."""
        ...


@dataclass(frozen=True, slots=True)
class Step:
    """One turn: which, after how long a look ahead, held for how long (seconds)."""

    turn: Guidance
    dwell: float
    hold: float


@dataclass(frozen=True, slots=True)
class Challenge:
    """The steps, those that replace them after a mistake, and the colours of the screen."""

    policy: str
    steps: tuple[Step, ...]
    reserve: tuple[Step, ...]
    colours: tuple[Colour, ...]

    @property
    def turns(self) -> tuple[str, ...]:
        """The turns as asked for at first, e.g. ("turn_left", "look_up", "turn_right")."""
        return tuple(step.turn.value for step in self.steps)

    @property
    def binding(self) -> bytes:
        """The whole challenge in one form: what the request is bound to."""
        steps = ";".join(f"{step.turn} {step.dwell:.3f} {step.hold:.3f}" for step in (*self.steps, *self.reserve))
        colours = " ".join(f"{red:02x}{green:02x}{blue:02x}" for red, green, blue in self.colours)
        return f"renzheng challenge 1|{self.policy}|{len(self.steps)}|{steps}|{colours}".encode()


def draw(policy: LivenessPolicy, previous: Challenge | None = None, rng: Chooser | None = None) -> Challenge:
    """A fresh challenge, not asking for the turns of the previous one.

    `rng` is for simulations that must repeat themselves; without it the choices come from the system.
    """
    source: Chooser = secrets if rng is None else rng
    while True:
        steps = _steps(policy, policy.turns, source)
        if previous is None or tuple(step.turn.value for step in steps) != previous.turns:
            break
    return Challenge(policy.name, steps, _steps(policy, policy.turns + 1, source), _colours(policy, source))


def _steps(policy: LivenessPolicy, count: int, source: Chooser) -> tuple[Step, ...]:
    steps: list[Step] = []
    for _ in range(count):
        turns = [turn for turn in TURNS if not steps or turn is not steps[-1].turn]
        steps.append(Step(source.choice(turns), _between(policy.dwell, source), _between(policy.hold, source)))
    return tuple(steps)


def _between(bounds: tuple[float, float], source: Chooser) -> float:
    """A time between two bounds, to the millisecond."""
    low, high = (round(1000 * bound) for bound in bounds)
    return source.choice(range(low, high + 1)) / 1000


def _colours(policy: LivenessPolicy, source: Chooser) -> tuple[Colour, ...]:
    if not policy.light:
        return ()
    colours: list[Colour] = []
    for _ in range(policy.colours):
        colours.append(source.choice([colour for colour in COLOURS if not colours or colour != colours[-1]]))
    return tuple(colours)
