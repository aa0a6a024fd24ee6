"""Whether two templates show one person: their cosine against a threshold whose false match rate is known."""

from collections.abc import Sequence

from agent.biometrics.errors import FaceError, ModelError
from agent.biometrics.manifest import Threshold
from agent.biometrics.types import Comparison, Template


def threshold_for(thresholds: Sequence[Threshold], target_fmr: float) -> Threshold:
    """The threshold for `target_fmr`, or the next stricter one that was measured.

    Raises:
        ModelError: `model.manifest`, none is as strict as asked.
    """
    strict = [threshold for threshold in thresholds if threshold.target_fmr <= target_fmr * (1 + 1e-9)]
    if not strict:
        raise ModelError("model.manifest", f"no threshold for a false match rate of {target_fmr:g} was calibrated")
    return max(strict, key=lambda threshold: threshold.target_fmr)


def compare(probe: Template, reference: Template, threshold: Threshold) -> Comparison:
    """Hold two templates against each other.

    Raises:
        FaceError: `face.templates_differ`, different models made them.
    """
    if probe.model != reference.model:
        raise FaceError("face.templates_differ", "the templates were made by different models")
    similarity = float(probe.vector @ reference.vector)
    return Comparison(similarity, threshold.cosine, threshold.target_fmr)
