"""From the parts to one verdict: all required parts must say live, one attack is an attack."""

from collections.abc import Sequence

from agent.biometrics.types import LivenessEvidence, LivenessPart, LivenessVerdict


def fuse_parts(policy: str, parts: Sequence[LivenessPart], challenge: tuple[str, ...]) -> LivenessEvidence:
    """The verdict of one presentation. A part that is not required is told, and decides nothing."""
    required = [part.verdict for part in parts if part.required]
    if LivenessVerdict.ATTACK in required:
        verdict = LivenessVerdict.ATTACK
    elif required and all(part is LivenessVerdict.LIVE for part in required):
        verdict = LivenessVerdict.LIVE
    else:
        verdict = LivenessVerdict.INDETERMINATE
    return LivenessEvidence(verdict, policy, tuple(parts), challenge)
