"""The same person throughout: the face before, between and after the turns, on the way and at their end.

Nobody turns for a photograph. Within one presentation the light, the camera and the face stay what they are, so that
two looks at one person are much more alike than two photographs of that person.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from agent.biometrics.embed import fuse
from agent.biometrics.types import LivenessPart, LivenessVerdict, Template

#: Cosine that looks straight ahead must reach against the first ones, and turned ones: docs/liveness.md has the rates.
AHEAD, TURNED = 0.60, 0.40
#: Looks ahead that make the reference.
REFERENCE = 3


@dataclass(slots=True)
class SamePerson:
    """Collects templates of one presentation and compares each with the first ones."""

    required: bool
    _first: list[tuple[Template, float]] = field(default_factory=list)
    _ahead: list[tuple[Template, float]] = field(default_factory=list)
    ahead: list[float] = field(default_factory=list)
    turned: list[float] = field(default_factory=list)

    @property
    def ready(self) -> bool:
        """Whether the reference is complete."""
        return len(self._first) >= REFERENCE

    def look_ahead(self, template: Template, weight: float) -> None:
        """A face that looks ahead, with the weight of its quality."""
        if not self.ready:
            self._first.append((template, weight))
        else:
            self.ahead.append(self._similarity(template))
        self._ahead.append((template, weight))

    def look_aside(self, template: Template) -> None:
        """A turned face."""
        if self._first:
            self.turned.append(self._similarity(template))

    @property
    def broken(self) -> bool:
        """Whether somebody else has been seen."""
        return min(self.ahead, default=1.0) < AHEAD or min(self.turned, default=1.0) < TURNED

    def template(self) -> Template | None:
        """One template of all looks ahead, weighted by their quality; None without any."""
        return _fused(self._ahead) if self._ahead else None

    def part(self) -> LivenessPart:
        """The evidence: the smallest cosine, as a share of what was asked of it."""
        shares = [s / AHEAD for s in self.ahead] + [s / TURNED for s in self.turned]
        if self.broken:
            verdict = LivenessVerdict.ATTACK
        elif self.ahead and self.turned:
            verdict = LivenessVerdict.LIVE
        else:
            verdict = LivenessVerdict.INDETERMINATE
        return LivenessPart(
            "same_person",
            verdict,
            round(min(shares, default=0.0), 3),
            1.0,
            self.required,
            f"{len(self.ahead)} looks ahead, {len(self.turned)} aside",
        )

    def _similarity(self, template: Template) -> float:
        return float(template.vector @ _fused(self._first).vector)


def _fused(looks: Sequence[tuple[Template, float]]) -> Template:
    return fuse([template for template, _ in looks], [weight for _, weight in looks])
