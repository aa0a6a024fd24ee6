"""The turn gate: asks for one turn after another and says whether each was done when and as it was asked.

It sees angles and times, never pixels. A recording cannot pass it by showing every turn: a wrong turn, a turn before it
is asked, or a turn that ends before its random time is up, all cost a fresh and longer sequence, and soon the attempt.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from types import MappingProxyType

from agent.biometrics.liveness.challenge import TURNS, Challenge, Step
from agent.biometrics.liveness.policy import LivenessPolicy
from agent.biometrics.types import Guidance

#: A head within these angles of straight ahead looks at the terminal.
FRONTAL_YAW, FRONTAL_PITCH = 12.0, 11.0
#: How far up or down the camera may see a person who looks ahead: it may hang high or stand low.
NEUTRAL_PITCH = 28.0
#: A turn goes on while it stays above this share of its angle; another turn is surely wrong if the asked one is below.
_KEEP, _CLEARLY_NOT = 0.6, 0.6
#: A turn for which less than the whole angle suffices goes on above this share of what does.
_KEEP_OF_LESS = 0.8
#: Where each turn moves a face in the picture: right, down.
DIRECTIONS: Mapping[Guidance, tuple[float, float]] = MappingProxyType(
    {
        Guidance.TURN_LEFT: (1.0, 0.0),
        Guidance.TURN_RIGHT: (-1.0, 0.0),
        Guidance.LOOK_UP: (0.0, -1.0),
        Guidance.LOOK_DOWN: (0.0, 1.0),
    }
)
#: What each turn is taken for by somebody who mistakes sides.
OPPOSITE: Mapping[Guidance, Guidance] = MappingProxyType(
    {
        Guidance.TURN_LEFT: Guidance.TURN_RIGHT,
        Guidance.TURN_RIGHT: Guidance.TURN_LEFT,
        Guidance.LOOK_UP: Guidance.LOOK_DOWN,
        Guidance.LOOK_DOWN: Guidance.LOOK_UP,
    }
)
#: Frames looking ahead that end a turn.
_FRONTAL_FRAMES = 2
#: A face that is not seen for this long is another presentation.
LOST = 0.45


@dataclass(frozen=True, slots=True)
class Look:
    """Where a head points at a time, in degrees: yaw to the person's own left, pitch up; and its track's number."""

    time: float
    yaw: float
    pitch: float
    track: int
    #: The share of the angle that suffices, in the median of three looks: less than 1 where tracked points show depth.
    suffices: float = 1.0
    #: Whether the picture is good enough to ask for something.
    clear: bool = True


class Phase(Enum):
    """Where the gate is."""

    SETTLE = auto()
    AHEAD = auto()
    ASK = auto()
    HOLD = auto()
    BACK = auto()
    PASSED = auto()
    FAILED = auto()


@dataclass(frozen=True, slots=True)
class Turned:
    """A turn that was done: which, how long after the prompt its angle was reached, its largest angle."""

    turn: Guidance
    reaction: float
    peak: float


@dataclass(slots=True)
class TurnGate:
    """Feed it looks with `see` and gaps with `miss`; read `guidance`, `phase` and, at the end, `failure`."""

    challenge: Challenge
    policy: LivenessPolicy
    start: float
    phase: Phase = Phase.SETTLE
    failure: str = ""
    mistakes: int = 0
    glances: int = 0
    done: list[Turned] = field(default_factory=list)
    _steps: tuple[Step, ...] = field(init=False)
    _since: float = field(init=False)
    _asked: float = 0.0
    _run: int = 0
    _off: dict[Guidance, int] = field(default_factory=dict)
    _ahead: int = 0
    _peak: float = 0.0
    _held_since: float = 0.0
    _last: Look | None = None
    #: The looks that `lasting` goes by, the newest last.
    _recent: deque[Look] = field(default_factory=lambda: deque(maxlen=3))
    _pitches: list[float] = field(default_factory=list)
    _neutral: float = 0.0
    #: A turn that was already counted as a mistake goes on until the head is back.
    _excused: bool = False

    def __post_init__(self) -> None:
        self._steps = self.challenge.steps
        self._since = self.start

    @property
    def over(self) -> bool:
        """Whether the gate has decided."""
        return self.phase in (Phase.PASSED, Phase.FAILED)

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps now asked for: the first ones, or the reserve after a mistake."""
        return self._steps

    @property
    def guidance(self) -> Guidance:
        """What the screen is to say."""
        if self.phase in (Phase.ASK, Phase.HOLD):
            return self._steps[len(self.done)].turn
        return Guidance.DONE if self.over else Guidance.LOOK_HERE

    @property
    def held(self) -> float:
        """The share of the present turn's time that has been held, 0 to 1."""
        if self.phase is not Phase.HOLD or self._last is None:
            return 0.0
        return min(1.0, (self._last.time - self._held_since) / max(self._steps[len(self.done)].hold, 1e-3))

    def angle(self, turn: Guidance, look: Look) -> float:
        """How far, in shares of the angle that the policy asks for, `look` goes in the direction of `turn`."""
        pitch = look.pitch - self._neutral
        return {
            Guidance.TURN_LEFT: look.yaw / self.policy.yaw,
            Guidance.TURN_RIGHT: -look.yaw / self.policy.yaw,
            Guidance.LOOK_UP: pitch / self.policy.pitch,
            Guidance.LOOK_DOWN: -pitch / self.policy.pitch,
        }[turn]

    def lasting(self, turn: Guidance, look: Look) -> float:
        """`angle` without what the mesh gets wrong in single pictures: the median of `look` and the two before it."""
        before = [each for each in self._recent if each is not look]
        shares = sorted(self.angle(turn, each) for each in (*before[-2:], look))
        return shares[(len(shares) - 1) // 2]

    def furthest(self, look: Look) -> Guidance:
        """The one turn that `look` can count for: a slanted head is no answer to two."""
        return max(TURNS, key=lambda turn: self.lasting(turn, look))

    def frontal(self, look: Look) -> bool:
        """Whether `look` goes at the terminal."""
        return abs(look.yaw) <= FRONTAL_YAW and abs(look.pitch - self._neutral) <= FRONTAL_PITCH

    def restart(self, now: float) -> None:
        """Start the clock anew, as the first frame tells it."""
        self.start = self._since = now

    def ask_more(self) -> None:
        """Ask for one turn more, once: something looked odd, though not odd enough to refuse."""
        if self.over or self.mistakes or len(self._steps) > len(self.challenge.steps):
            return
        last = self._steps[-1].turn
        self._steps += (next(step for step in self.challenge.reserve if step.turn is not last),)

    def miss(self, now: float) -> None:
        """No usable face in the frame at `now`."""
        self._check_time(now)

    def see(self, look: Look) -> None:
        """A tracked face."""
        if self.over:
            return
        last, self._last = self._last, look
        broken = last is not None and (look.track != last.track or look.time - last.time > LOST)
        if broken:
            self._recent.clear()
        if broken and self.phase is not Phase.SETTLE:
            self._mistake("liveness.person_changed", look.time)
            return
        self._check_time(look.time)
        handler = {
            Phase.SETTLE: self._settle,
            Phase.AHEAD: self._look_ahead,
            Phase.ASK: self._ask,
            Phase.HOLD: self._hold,
            Phase.BACK: self._come_back,
        }.get(self.phase)
        if handler is not None:
            handler(look)
        self._recent.append(look)

    def _check_time(self, now: float) -> None:
        waiting = self.phase in (Phase.ASK, Phase.HOLD, Phase.BACK)
        late = waiting and now - self._asked > self.policy.respond
        if not self.over and (late or now - self.start > self.policy.timeout):
            self._fail("liveness.timeout")

    def _settle(self, look: Look) -> None:
        if abs(look.yaw) > FRONTAL_YAW or abs(look.pitch) > NEUTRAL_PITCH:
            self._pitches.clear()
            self._since = look.time
            return
        self._pitches.append(look.pitch)
        if look.time - self._since >= self.policy.settle and len(self._pitches) >= self.policy.hold_frames:
            self._neutral = sorted(self._pitches)[len(self._pitches) // 2]
            self._to(Phase.AHEAD, look.time)

    def _look_ahead(self, look: Look) -> None:
        if self._sustained_other(look, None) is not None:
            # Once is a glance at the document; a recording that runs ahead does it again.
            self.glances += 1
            self._excused = True
            if self.glances > 1:
                self._mistake("liveness.wrong_turn", look.time)
            return
        if not self.frontal(look) or not look.clear:
            self._since = look.time
        elif look.time - self._since >= self._steps[len(self.done)].dwell:
            self._asked = look.time
            self._to(Phase.ASK, look.time)

    def _ask(self, look: Look) -> None:
        turn = self._steps[len(self.done)].turn
        share = self.angle(turn, look)
        far = share >= 1.0 or (look.suffices < 1.0 and self.lasting(turn, look) >= look.suffices)
        right = self.furthest(look) is turn
        self._run = self._run + 1 if far and right else 0
        self._peak = max(self._peak, share)
        other = self._sustained_other(look, turn, right=right)
        if other is not None:
            # People take left for right, or turn aslant. Nobody takes left for up: that is somebody else's sequence.
            forgivable = other is OPPOSITE[turn] or share >= _CLEARLY_NOT
            self._mistake("liveness.wrong_turn", look.time, forgivable=forgivable)
        elif self._run >= self.policy.hold_frames:
            self._held_since = look.time
            self._to(Phase.HOLD, look.time)

    def _hold(self, look: Look) -> None:
        step = self._steps[len(self.done)]
        share = self.angle(step.turn, look)
        self._peak = max(self._peak, share)
        less = _KEEP_OF_LESS * look.suffices
        if share < _KEEP and not (less < _KEEP and self.lasting(step.turn, look) >= less):
            # Back too early: the turn is still asked for, within the same time.
            self._run = 0
            self.phase = Phase.ASK
        elif look.time - self._held_since >= step.hold:
            scale = self.policy.yaw if step.turn in (Guidance.TURN_LEFT, Guidance.TURN_RIGHT) else self.policy.pitch
            self.done.append(Turned(step.turn, self._held_since - self._asked, self._peak * scale))
            self._asked = look.time
            self._to(Phase.BACK, look.time)

    def _come_back(self, look: Look) -> None:
        turn = self.done[-1].turn
        if self._sustained_other(look, turn, right=self.angle(turn, look) >= _CLEARLY_NOT) is not None:
            self._mistake("liveness.wrong_turn", look.time, forgivable=False)
            return
        self._ahead = self._ahead + 1 if self.frontal(look) else 0
        if self._ahead >= _FRONTAL_FRAMES:
            self._to(Phase.PASSED if len(self.done) == len(self._steps) else Phase.AHEAD, look.time)

    def _sustained_other(self, look: Look, asked: Guidance | None, *, right: bool = False) -> Guidance | None:
        """The turn that is not asked for and has lasted long enough to be meant; none while the asked is `right`."""
        if self._excused and self.frontal(look):
            self._excused = False
        if self._excused or right:
            self._off.clear()
            return None
        for turn in TURNS:
            self._off[turn] = self._off.get(turn, 0) + 1 if turn is not asked and self.angle(turn, look) >= 1.0 else 0
        return next((turn for turn, frames in self._off.items() if frames >= self.policy.hold_frames), None)

    def _mistake(self, code: str, now: float, *, forgivable: bool = True) -> None:
        self.mistakes += 1
        if self.mistakes > self.policy.mistakes or not forgivable:
            self._fail(code)
            return
        self._steps = self.challenge.reserve
        self.done.clear()
        self.glances = 0
        self._excused = True
        self._to(Phase.AHEAD, now)

    def _fail(self, code: str) -> None:
        self.failure = code
        self.phase = Phase.FAILED

    def _to(self, phase: Phase, now: float) -> None:
        self.phase = phase
        self._since = now
        self._run = self._ahead = 0
        self._peak = 0.0
        self._off.clear()
