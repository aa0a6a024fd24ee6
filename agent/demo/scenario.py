"""A scenario of the demonstration: what is done, what is expected, what was seen."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from agent.verification.outcome import Outcome


@dataclass(frozen=True, slots=True)
class Seen:
    """What a scenario showed: an outcome in words, and the phases of the verification behind it."""

    text: str
    phases: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One thing to show. `expected` is the outcome that agrees with it, in the words of `told`; `*` stands for any."""

    title: str
    expected: str
    play: Callable[[], Awaitable[Seen]]

    def agrees(self, seen: Seen) -> bool:
        """Whether what was seen is what was expected."""
        return fnmatchcase(seen.text, self.expected)


def told(outcome: Outcome) -> str:
    """An outcome in words: "verified", or the result and its code."""
    return str(outcome.result) if not outcome.code else f"{outcome.result}: {outcome.code}"
