"""One whole attempt in virtual time: an actor before a camera, led by a face session."""

import random
from dataclasses import dataclass

from agent.biometrics.liveness.challenge import Challenge, draw
from agent.biometrics.liveness.policy import LivenessPolicy
from agent.biometrics.pipeline import FacePipeline
from agent.biometrics.session import FaceSession
from agent.biometrics.simulator.actors import Actor
from agent.biometrics.simulator.camera import SimulatedCamera
from agent.biometrics.simulator.scene import Light, Studio
from agent.biometrics.types import FaceEvidence, Guidance


@dataclass(frozen=True, slots=True, eq=False)
class Attempt:
    """How it ended, after how many seconds of the camera's clock, and what the screen said when."""

    evidence: FaceEvidence
    challenge: Challenge
    seconds: float
    prompts: tuple[tuple[float, Guidance], ...]


def seeded(seed: int) -> random.Random:
    """Choices that repeat themselves: for simulations, where nothing is secret."""
    return random.Random(seed)  # noqa: S311


def attempt(
    pipeline: FacePipeline,
    actor: Actor,
    policy: LivenessPolicy,
    seed: int,
    *,
    rate: float = 12.0,
    light: Light | None = None,
    challenge: Challenge | None = None,
) -> Attempt:
    """Lead `actor` through a challenge drawn from `seed`; the same arguments give the same attempt."""
    drawn = challenge or draw(policy, rng=seeded(seed))
    camera = SimulatedCamera(actor, rate=rate, studio=Studio(seed=seed), light=light, virtual=True, clock=lambda: 0.0)
    session = FaceSession(pipeline, policy, drawn, now=0.0)
    prompts: list[tuple[float, Guidance]] = []
    while not session.done:
        guidance = session.step(camera.read(1.0))
        if not prompts or prompts[-1][1] is not guidance:
            prompts.append((camera.now, guidance))
        camera.observe(guidance, session.light)
    return Attempt(session.evidence(), drawn, camera.now, tuple(prompts))
