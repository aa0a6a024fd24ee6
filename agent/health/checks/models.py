"""Checks of the networks: digests, known answers on known pictures, and how long an answer takes.

A known answer proves more than a digest: that this interpreter on this processor computes what was computed when the
answers were noted (`golden.json`, written by `python -m agent.health.golden`).
"""

import threading
from time import perf_counter

import numpy as np

from agent import parts
from agent.biometrics.bundle import ModelBundle
from agent.biometrics.manifest import Role
from agent.biometrics.pipeline import FacePipeline
from agent.biometrics.runtime import Network, Tensor
from agent.configuration.schema import Settings
from agent.health import golden
from agent.health.check import Check, Finding, failed, passed, skipped, warned

#: Milliseconds at the 95th percentile that one answer may take, by role: what keeps a session fluent on the device.
BUDGET = {Role.DETECT: 40.0, Role.POINTS: 15.0, Role.MESH: 25.0, Role.EMBED: 80.0, Role.PASSIVE: 900.0}
RUNS = {Role.PASSIVE: 3}
SAME = 0.999
#: Scores of the passive network lie in 0..1; quantized kernels of two processors differ in the third place.
TOLERANCE = 0.02
#: Checks run side by side; measurements of time do not.
_STOPWATCH = threading.Lock()
BUSY = "Something else takes the processor, or it is throttled: see `power`."
REINSTALL = "Install the package again; a model that computes something else is not the one that was evaluated."


def checks(settings: Settings) -> list[Check]:
    """One for each model's digest and speed, one for the known answers, one for passive liveness."""
    return [
        *(Check(f"model.{role}", f"Model: {role}", _Model(settings, role), 9.0, BUSY) for role in BUDGET),
        Check("golden", "Known faces, known answers", lambda: _golden(settings), 9.0, BUSY),
        Check("liveness", "Known living face and print", lambda: _liveness(settings), 9.0, BUSY),
    ]


class _Model:
    """The check of one role."""

    def __init__(self, settings: Settings, role: Role) -> None:
        self._settings, self._role = settings, role

    def __call__(self) -> Finding:
        bundle = parts.model_bundle(self._settings.faces)
        network = bundle.network(self._role)
        values = np.random.default_rng(0).uniform(-1, 1, network.input_shape).astype(np.float32)
        network(values)
        with _STOPWATCH:
            times = [_milliseconds(network, values) for _ in range(RUNS.get(self._role, 11))]
        p95 = float(np.percentile(times, 95))
        measured = f"{bundle.entry(self._role).sha256[:12]}, p95 {p95:.1f} ms"
        limit = f"digest as signed, {BUDGET[self._role]:g} ms"
        if p95 > BUDGET[self._role]:
            return warned(measured, limit, BUSY)
        return passed(measured, limit)


def _milliseconds(network: Network, values: Tensor) -> float:
    start = perf_counter()
    network(values)
    return (perf_counter() - start) * 1000


def _golden(settings: Settings) -> Finding:
    """A shipped picture's template against the noted one; and the threshold tells one person from another."""
    pipeline = FacePipeline(parts.model_bundle(settings.faces), settings.faces.target_fmr)
    holder, living, other = (pipeline.enroll(golden.portrait(name)) for name in golden.PORTRAITS)
    same, different = pipeline.compare(holder, living), pipeline.compare(holder, other)
    measured = f"one person {same.similarity:.3f}, two {different.similarity:.3f} at threshold {same.threshold:.3f}"
    if not same.match or different.match:
        return failed(measured, "one above, two below", REINSTALL, "model.digest")
    noted = golden.read().embedding_of(holder.model)
    if noted is None:
        return passed(f"{measured}; no known template for this model")
    cosine = float(np.dot(noted, holder.vector))
    measured = f"cosine {cosine:.5f}; {measured}"
    if cosine < SAME:
        return failed(measured, f"cosine {SAME:g}", REINSTALL, "model.digest")
    return passed(measured, f"cosine {SAME:g}")


def _liveness(settings: Settings) -> Finding:
    bundle = parts.model_bundle(settings.faces)
    noted = golden.read().passive_of(_digest(bundle))
    if noted is None:
        return skipped("no known answers for this model")
    seen = golden.passive_scores(FacePipeline(bundle, settings.faces.target_fmr))
    worst = max(abs(a - b) for a, b in zip(seen, noted, strict=True))
    measured = f"living {seen[0]:.3f} (noted {noted[0]:.3f}), print {seen[1]:.3f} (noted {noted[1]:.3f})"
    if worst > TOLERANCE:
        return failed(measured, f"within {TOLERANCE:g}", REINSTALL, "model.digest")
    return passed(measured, f"within {TOLERANCE:g}")


def _digest(bundle: ModelBundle) -> str:
    return bundle.entry(Role.PASSIVE).sha256
