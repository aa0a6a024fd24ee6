"""One person before one camera: fed frames, says what the person should do, ends with evidence.

The order of things: look at the terminal (the first templates are made), turn as asked, look back, and under the policy
`high` watch the colours of the screen.
"""

from dataclasses import dataclass

from agent.biometrics.liveness.challenge import Challenge
from agent.biometrics.liveness.fuse import fuse_parts
from agent.biometrics.liveness.policy import LivenessPolicy
from agent.biometrics.liveness.same_person import SamePerson
from agent.biometrics.liveness.stream import StreamWatch
from agent.biometrics.liveness.track import FaceTrack
from agent.biometrics.liveness.turns import Look, Phase, TurnGate
from agent.biometrics.pipeline import FacePipeline
from agent.biometrics.types import (
    Face,
    FaceEvidence,
    Frame,
    FrameAnalysis,
    Guidance,
    LivenessPart,
    LivenessVerdict,
)

#: What a turned head may look like to the quality gate without being wrong.
_TURNED = frozenset({Guidance.LOOK_HERE, Guidance.UNCOVER, Guidance.HOLD_STILL, Guidance.CENTRE})
#: Shares of the asked angle between which a head is on its way.
_ON_THE_WAY = (0.35, 0.85)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the person is: turns done, turns in all, and the share of the present one's time that was held."""

    step: int
    steps: int
    held: float


class FaceSession:
    """The evidence of one presentation. Belongs to one thread; its clock is that of the frames."""

    def __init__(self, pipeline: FacePipeline, policy: LivenessPolicy, challenge: Challenge, *, now: float) -> None:
        self._pipeline, self._policy, self._challenge = pipeline, policy, challenge
        self._gate = TurnGate(challenge, policy, now)
        self._started = False
        self._track = FaceTrack()
        self._person = SamePerson("same_person" in policy.required)
        self._stream = StreamWatch("camera" in policy.required)
        self._quality: dict[str, float] = {}
        self._sampled: set[tuple[int, Phase, int]] = set()
        self._faces = 0
        self._failure = ""

    @property
    def done(self) -> bool:
        """Whether no further frame can change anything."""
        return bool(self._failure) or self._gate.over

    @property
    def light(self) -> str:
        """The colour that the whole screen is to show, as "#rrggbb"; "" for the usual page."""
        return ""

    @property
    def progress(self) -> Progress:
        """How far the person is."""
        return Progress(len(self._gate.done), len(self._gate.steps), self._gate.held)

    def refer_to_staff(self) -> None:
        """The person cannot turn the head: ends the session; a member of the staff goes on."""
        self._failure = "liveness.staffed_path"

    def step(self, frame: Frame) -> Guidance:
        """Take the next frame; returns what the screen is to say."""
        if self.done:
            return Guidance.DONE
        if not self._started:
            self._gate.restart(frame.timestamp)
            self._started = True
        self._stream.see(frame)
        if self._stream.frozen:
            self._failure = "camera.frozen"
            return Guidance.DONE
        analysis = self._pipeline.analyse(frame)
        obstacle = self._obstacle(analysis)
        if analysis.face is None or obstacle is not None:
            self._gate.miss(frame.timestamp)
            return Guidance.DONE if self.done else obstacle or Guidance.LOOK_HERE
        self._look(frame, analysis, analysis.face)
        return Guidance.DONE if self.done else self._gate.guidance

    def evidence(self) -> FaceEvidence:
        """What was proved so far. Before the end, or without a usable face, the verdict is never live."""
        parts = (self._turns_part(), self._person.part(), self._stream.part())
        liveness = fuse_parts(self._policy.name, parts, self._challenge.turns)
        return FaceEvidence(
            liveness=liveness,
            template=self._person.template(),
            quality=dict(self._quality),
            frames=self._stream.frames,
            failure="" if liveness.verdict is LivenessVerdict.LIVE else self._cause(liveness.verdict),
        )

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
        return next((problem for problem in analysis.problems if problem not in _TURNED), None)

    def _look(self, frame: Frame, analysis: FrameAnalysis, face: Face) -> None:
        self._faces += 1
        track = self._track.follow(face.box, frame.timestamp)
        look = Look(frame.timestamp, face.pose.yaw, face.pose.pitch, track)
        self._gate.see(look)
        self._compare(frame, analysis, look)
        if self._person.broken:
            self._failure = "liveness.person_changed"

    def _compare(self, frame: Frame, analysis: FrameAnalysis, look: Look) -> None:
        """Take a template where the person has to be the same: ahead before each turn, on the way, at its end."""
        gate = self._gate
        step = len(gate.done)
        ahead = gate.phase in (Phase.AHEAD, Phase.PASSED) and gate.frontal(look)
        if ahead and (not self._person.ready or self._first_of(gate.phase, step)):
            sharp = min(1.0, analysis.quality.get("sharpness", 0.0) * 10)
            self._person.look_ahead(self._pipeline.embed(frame, analysis), 0.1 + sharp)
            self._quality = dict(analysis.quality)
        elif gate.phase is Phase.ASK:
            share = gate.angle(gate.guidance, look)
            if _ON_THE_WAY[0] <= share <= _ON_THE_WAY[1] and self._first_of(gate.phase, step):
                self._person.look_aside(self._pipeline.embed(frame, analysis))
        elif gate.phase is Phase.HOLD and self._first_of(gate.phase, step):
            self._person.look_aside(self._pipeline.embed(frame, analysis))

    def _first_of(self, phase: Phase, step: int) -> bool:
        """Whether this is the first time that `phase` asks for a template in this step of this sequence."""
        key = (self._gate.mistakes, phase, step)
        if key in self._sampled:
            return False
        self._sampled.add(key)
        return True

    def _turns_part(self) -> LivenessPart:
        gate = self._gate
        # A person who errs is no attacker: a gate that was not passed says nothing more than that.
        verdict = LivenessVerdict.LIVE if gate.phase is Phase.PASSED else LivenessVerdict.INDETERMINATE
        detail = ", ".join(f"{t.turn} {t.peak:.0f}° after {t.reaction:.1f} s" for t in gate.done)
        score = len(gate.done) / len(gate.steps)
        return LivenessPart("turns", verdict, round(score, 3), 1.0, "turns" in self._policy.required, detail)
