"""One person before one camera: fed frames, says what the person should do, ends with evidence.

The order of things: look at the terminal (the first templates are made), turn as asked, look back, and under the policy
`high` watch the colours of the screen.
"""

import hashlib
from dataclasses import dataclass, replace
from operator import itemgetter

from agent.biometrics.liveness.advice import Advice
from agent.biometrics.liveness.challenge import Challenge
from agent.biometrics.liveness.fuse import fuse_parts
from agent.biometrics.liveness.light import LightShow
from agent.biometrics.liveness.parallax import LEAD, Parallax, PointTrack, TurnShape, grey_of, sufficient
from agent.biometrics.liveness.policy import LivenessPolicy
from agent.biometrics.liveness.same_person import SamePerson
from agent.biometrics.liveness.stream import StreamWatch
from agent.biometrics.liveness.track import FaceTrack
from agent.biometrics.liveness.turns import DIRECTIONS, Look, Phase, TurnGate
from agent.biometrics.liveness.two_cameras import DEPTH, pair_part
from agent.biometrics.pipeline import FacePipeline
from agent.biometrics.probe import probe_of
from agent.biometrics.types import (
    STAFFED,
    Face,
    FaceEvidence,
    Frame,
    FrameAnalysis,
    Guidance,
    Image,
    LivenessPart,
    LivenessVerdict,
)

#: What a turning head may look like to the quality gate without anything being wrong.
_TURNED = frozenset({Guidance.LOOK_HERE, Guidance.UNCOVER, Guidance.HOLD_STILL, Guidance.CENTRE})
#: Phases in which nothing is mended: the eyes of a turned head are nearer to each other, its cheek is darker.
_TURNING = frozenset({Phase.ASK, Phase.HOLD, Phase.BACK})
#: Shares of the asked angle at which a turning head is compared on its way out, and on its way back. Further round than
#: that a face has less and less in common with itself.
_OUT, _BACK = ((0.35, 0.6), (0.6, 0.95), (0.95, 1.3)), ((0.35, 0.95),)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the person is: turns done, turns in all, and the share of the present one's time that was held."""

    step: int
    steps: int
    held: float


class FaceSession:
    """The evidence of one presentation. Belongs to one thread; its clock is that of the frames."""

    def __init__(
        self,
        pipeline: FacePipeline,
        policy: LivenessPolicy,
        challenge: Challenge,
        *,
        now: float,
        baseline: tuple[float, float] | None = None,
    ) -> None:
        """`baseline` is the way (right, down; mm) to a second camera, whose frames then come with each `step`."""
        self._pipeline, self._policy, self._challenge = pipeline, policy, challenge
        self._gate = TurnGate(challenge, policy, now)
        self._track = FaceTrack()
        self._person = SamePerson("same_person" in policy.required)
        self._stream = StreamWatch("camera" in policy.required)
        self._parallax = Parallax("parallax" in policy.required)
        self._points: PointTrack | None = None
        #: The shapes of the present turn, each with how far it is from the angle that is asked for.
        self._shapes: list[tuple[float, TurnShape]] = []
        self._show = LightShow(challenge.colours, policy.slot, "light" in policy.required)
        self._advice = Advice(policy.limits)
        self._baseline = baseline
        self._second: Frame | None = None
        self._pairs: list[LivenessPart] = []
        self._quality: dict[str, float] = {}
        self._probe: Image | None = None
        self._sampled: set[tuple[int, Phase, int, float]] = set()
        self._faces = 0
        self._now: float | None = None
        self._failure = ""

    @property
    def done(self) -> bool:
        """Whether no further frame can change anything."""
        if self._failure or self._gate.phase is Phase.FAILED:
            return True
        return self._gate.phase is Phase.PASSED and self._show.over(self._now or 0.0)

    @property
    def light(self) -> str:
        """The colour that the whole screen is to show, as "#rrggbb"; "" for the usual page."""
        return "" if self.done else self._show.colour(self._now or 0.0)

    @property
    def progress(self) -> Progress:
        """How far the person is."""
        return Progress(len(self._gate.done), len(self._gate.steps), self._gate.held)

    def refer_to_staff(self) -> None:
        """The person cannot turn the head: ends the session; a member of the staff goes on."""
        self._failure = STAFFED

    def step(self, frame: Frame, second: Frame | None = None) -> Guidance:
        """Take the next frame, and that of the second camera if there is one; returns what the screen is to say."""
        self._second = second
        if self.done:
            return Guidance.DONE
        if self._now is None:
            self._gate.restart(frame.timestamp)
        self._now = frame.timestamp
        self._stream.see(frame)
        if self._stream.frozen:
            self._failure = "camera.frozen"
            return Guidance.DONE
        if self._gate.phase is Phase.PASSED:
            self._show.begin(frame.timestamp)
        analysis = self._pipeline.analyse(frame)
        obstacle = self._obstacle(analysis)
        unseen = obstacle is Guidance.ONE_PERSON or (obstacle is not None and self._gate.phase is Phase.SETTLE)
        if analysis.face is None or unseen:
            self._gate.miss(frame.timestamp)
            return Guidance.DONE if self.done else obstacle or self._said()
        self._look(frame, analysis, analysis.face, clear=obstacle is None)
        return Guidance.DONE if self.done else obstacle or self._said()

    def evidence(self) -> FaceEvidence:
        """What was proved so far. Before the end, or without a usable face, the verdict is never live."""
        parts = [self._turns_part(), self._person.part(), self._stream.part(), *self._parallax.parts()]
        if self._policy.light:
            parts.append(self._show.part())
        parts.extend(self._advice.parts())
        if self._baseline is not None:
            parts.append(self._pair_part())
        asked = tuple(step.turn.value for step in self._gate.steps)
        binding = hashlib.sha256(self._challenge.binding).digest()
        liveness = replace(fuse_parts(self._policy.name, parts, asked), binding=binding)
        return FaceEvidence(
            liveness=liveness,
            template=self._person.template(),
            quality=dict(self._quality),
            frames=self._stream.frames,
            failure="" if liveness.verdict is LivenessVerdict.LIVE else self._cause(liveness.verdict),
            probe=self._probe,
        )

    def _said(self) -> Guidance:
        return Guidance.WATCH_SCREEN if self._gate.phase is Phase.PASSED else self._gate.guidance

    def _cause(self, verdict: LivenessVerdict) -> str:
        if self._failure:
            return self._failure
        if not self._faces:
            return "face.none"
        if self._gate.failure:
            return self._gate.failure
        return "liveness.attack" if verdict is LivenessVerdict.ATTACK else "liveness.indeterminate"

    def _obstacle(self, analysis: FrameAnalysis) -> Guidance | None:
        """What must be mended before this frame counts; a turned head is no obstacle to a turn."""
        if self._gate.phase is Phase.SETTLE:
            return analysis.guidance
        if self._gate.phase in _TURNING:
            return Guidance.ONE_PERSON if Guidance.ONE_PERSON in analysis.problems else None
        return next((problem for problem in analysis.problems if problem not in _TURNED), None)

    def _look(self, frame: Frame, analysis: FrameAnalysis, face: Face, *, clear: bool) -> None:
        self._faces += 1
        if self._gate.phase is Phase.PASSED:
            self._show.see(frame, face)
            return
        if self._policy.passive and self._advice.passive is None:
            # Slow, and before anything is timed.
            self._advice.passive = self._pipeline.passive(frame, analysis)
        track = self._track.follow(face.box, frame.timestamp)
        look = Look(frame.timestamp, face.pose.yaw, face.pose.pitch, track, clear=clear)
        grey = self._follow_points(frame, look)
        if self._shapes:
            look = replace(look, suffices=sufficient(self._gate.guidance, self._shapes[-1][1].lead))
        before, done = self._gate.phase, len(self._gate.done)
        self._gate.see(look)
        if before is Phase.AHEAD and self._gate.phase is Phase.ASK:
            self._points = PointTrack(grey_of(frame) if grey is None else grey, face)
        elif before is Phase.ASK and self._gate.phase is Phase.HOLD and self._shapes:
            # Nearest to the angle that was asked for: further round, points are lost.
            self._parallax.turns[done:] = [min(self._shapes, key=itemgetter(0))[1]]
        if clear:
            self._compare(frame, analysis, look)
        if self._person.broken:
            self._failure = "liveness.person_changed"

    def _follow_points(self, frame: Frame, look: Look) -> Image | None:
        """Follow the points of a turn that is asked for; the grey picture if one was made."""
        gate = self._gate
        if self._points is None or gate.phase not in (Phase.ASK, Phase.HOLD):
            self._points = None
            self._shapes.clear()
            return None
        grey = grey_of(frame)
        self._points.follow(grey)
        turn = gate.guidance
        share = gate.angle(turn, look)
        if gate.phase is Phase.ASK and max(share, gate.lasting(turn, look)) >= sufficient(turn, LEAD):
            self._shapes.append((abs(share - 1.0), self._points.shape(DIRECTIONS[turn])))
        return grey

    def _compare(self, frame: Frame, analysis: FrameAnalysis, look: Look) -> None:
        """Take a template where the person has to be the same: ahead before each turn, on the way, at its end."""
        gate = self._gate
        if gate.phase in (Phase.AHEAD, Phase.PASSED):
            if gate.frontal(look) and (not self._person.ready or self._first_of()):
                sharp = min(1.0, analysis.quality.get("sharpness", 0.0) * 10)
                self._person.look_ahead(self._pipeline.embed(frame, analysis), 0.1 + sharp)
                self._quality = dict(analysis.quality)
                if analysis.face is not None:
                    self._probe = probe_of(frame, analysis.face)
                self._look_twice(frame, analysis)
                self._be_advised(frame, analysis)
        elif gate.phase in _TURNING:
            turn = gate.done[-1].turn if gate.phase is Phase.BACK else gate.guidance
            # A single picture may read too little, and would then be asked for too much.
            share = max(gate.angle(turn, look), gate.lasting(turn, look))
            bands = {Phase.ASK: _OUT, Phase.BACK: _BACK}.get(gate.phase, ())
            due = any(low <= share < high and self._first_of(low) for low, high in bands)
            # Who turned too fast to be seen on the way is looked at where they are.
            unseen = gate.phase is Phase.HOLD and not any(key[:3] == self._key(Phase.ASK) for key in self._sampled)
            if due or (unseen and self._first_of()):
                self._person.look_aside(self._pipeline.embed(frame, analysis), turn, share)

    def _be_advised(self, frame: Frame, analysis: FrameAnalysis) -> None:
        """Whatever looks odd costs the person one turn more."""
        if analysis.face is not None:
            self._advice.look(grey_of(frame), analysis.face)
        if self._advice.doubtful:
            self._gate.ask_more()

    def _look_twice(self, frame: Frame, analysis: FrameAnalysis) -> None:
        """Hold the second camera's picture of this moment against the first's."""
        if self._baseline is not None and self._second is not None and analysis.face is not None:
            second = self._pipeline.analyse(self._second).face
            required = "two_cameras" in self._policy.required
            pair = pair_part((frame, analysis.face), (self._second, second), self._baseline, required=required)
            self._pairs.append(pair)

    def _pair_part(self) -> LivenessPart:
        """The median of the pairs by depth."""
        if not self._pairs:
            required = "two_cameras" in self._policy.required
            return LivenessPart("two_cameras", LivenessVerdict.INDETERMINATE, 0.0, DEPTH, required)
        return sorted(self._pairs, key=lambda part: part.score)[len(self._pairs) // 2]

    def _first_of(self, band: float = 0.0) -> bool:
        """Whether this is the first frame of its phase (and band of it) in this step of this sequence."""
        key = (*self._key(self._gate.phase), band)
        if key in self._sampled:
            return False
        self._sampled.add(key)
        return True

    def _key(self, phase: Phase) -> tuple[int, Phase, int]:
        return self._gate.mistakes, phase, len(self._gate.done)

    def _turns_part(self) -> LivenessPart:
        gate = self._gate
        # A person who errs is no attacker: a gate that was not passed says nothing more than that.
        verdict = LivenessVerdict.LIVE if gate.phase is Phase.PASSED else LivenessVerdict.INDETERMINATE
        detail = ", ".join(f"{t.turn} {t.peak:.0f}° after {t.reaction:.1f} s" for t in gate.done)
        score = len(gate.done) / len(gate.steps)
        return LivenessPart("turns", verdict, round(score, 3), 1.0, "turns" in self._policy.required, detail)
