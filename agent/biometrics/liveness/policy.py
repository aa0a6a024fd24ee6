"""Which evidence a policy requires, how far a head must turn, and the time that all of it may take."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class LivenessPolicy:
    """The operating point of the gate. Angles in degrees, times in seconds."""

    name: str
    #: How many turns are asked for, and how many more than that after a mistake.
    turns: int
    #: Mistakes (a wrong turn, a lost track) that are forgiven; each costs a longer, fresh sequence.
    mistakes: int
    yaw: float = 25.0
    pitch: float = 20.0
    #: Frames on end that must show the turn.
    hold_frames: int = 3
    #: How long the turn is to be held, and how long the person looks ahead before the next is asked: drawn from these.
    hold: tuple[float, float] = (0.1, 0.5)
    dwell: tuple[float, float] = (0.3, 1.1)
    #: From the prompt to the turn, and from its end to looking ahead again.
    respond: float = 5.0
    settle: float = 0.4
    timeout: float = 40.0
    #: Play the colours of the screen, and for how long each.
    light: bool = False
    colours: int = 8
    slot: float = 0.3
    #: Ask the passive network (100 ms on a PC) before the first turn.
    passive: bool = False
    #: The limits of advice that were calibrated for this camera, by name; above one of them one turn more is asked for.
    limits: Mapping[str, float] = field(default_factory=dict)
    #: The parts without which a person is not called live.
    required: frozenset[str] = frozenset({"turns", "same_person", "camera"})


POLICIES: Mapping[str, LivenessPolicy] = MappingProxyType(
    {
        policy.name: policy
        for policy in (
            LivenessPolicy("convenience", turns=1, mistakes=1, timeout=25.0),
            LivenessPolicy("standard", turns=4, mistakes=1),
            LivenessPolicy(
                "high",
                turns=5,
                mistakes=0,
                yaw=28.0,
                light=True,
                passive=True,
                required=frozenset({"turns", "same_person", "camera", "parallax"}),
            ),
        )
    }
)
