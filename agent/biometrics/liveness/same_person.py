"""The same person throughout: the face before, between and after the turns, on the way and at their end.

Nobody turns for a photograph. Within one presentation the light, the camera and the face stay what they are, so that
two looks at one person are much more alike than two photographs of that person.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from agent.biometrics.embed import fuse
from agent.biometrics.types import Guidance, LivenessPart, LivenessVerdict, Template

#: Cosine that a look ahead must reach against the first ones: docs/liveness.md has the rates.
AHEAD = 0.60
#: The same for a turned face: at no angle, and how much less at the full angle that is asked for.
_ACROSS, _UPRIGHT = (0.72, 0.25), (0.66, 0.30)
_LOWEST = 0.12
#: Below this share of what was asked it is surely somebody else; above it the light or the angle may be to blame.
_SURELY = 0.7
#: Looks aside among which one that is a little too unlike is forgiven: rims before an eye, a shadow.
_ENOUGH = 4
#: Looks ahead that make the reference.
REFERENCE = 3


@dataclass(slots=True)
class SamePerson:
    """Collects templates of one presentation and compares each with the first ones."""

    required: bool
    _first: list[tuple[Template, float]] = field(default_factory=list)
    _ahead: list[tuple[Template, float]] = field(default_factory=list)
    ahead: list[float] = field(default_factory=list)
    #: Cosines of turned faces, each with what was asked of it.
    turned: list[tuple[float, float]] = field(default_factory=list)

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

    def look_aside(self, template: Template, turn: Guidance, share: float) -> None:
        """A face on its way in `turn`, at `share` of the angle that is asked for."""
        if self._first:
            base, slope = _ACROSS if turn in (Guidance.TURN_LEFT, Guidance.TURN_RIGHT) else _UPRIGHT
            self.turned.append((self._similarity(template), max(_LOWEST, base - slope * share)))

    @property
    def broken(self) -> bool:
        """Whether somebody else has been seen: ahead, or aside surely or more than once."""
        doubtful = [share for share in self._aside_shares() if share < 1.0]
        ahead = any(cosine < AHEAD for cosine in self.ahead)
        return ahead or len(doubtful) > 1 or min(doubtful, default=1.0) < _SURELY

    def template(self) -> Template | None:
        """One template of all looks ahead, weighted by their quality; None without any."""
        return _fused(self._ahead) if self._ahead else None

    def part(self) -> LivenessPart:
        """The evidence: the smallest cosine, as a share of what was asked of it."""
        shares = self._shares()
        needed = 1 if min(shares, default=1.0) >= 1.0 else _ENOUGH
        if min(shares, default=1.0) < _SURELY:
            verdict = LivenessVerdict.ATTACK
        elif not self.broken and self.ahead and len(self.turned) >= needed:
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

    def _shares(self) -> list[float]:
        """Each cosine over what was asked of it."""
        return [cosine / AHEAD for cosine in self.ahead] + self._aside_shares()

    def _aside_shares(self) -> list[float]:
        return [cosine / asked for cosine, asked in self.turned]

    def _similarity(self, template: Template) -> float:
        return float(template.first @ _fused(self._first).first)


def _fused(looks: Sequence[tuple[Template, float]]) -> Template:
    return fuse([template for template, _ in looks], [weight for _, weight in looks])
