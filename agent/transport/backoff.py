"""Waiting between attempts: exponential, capped, with full jitter, so that terminals do not come back in step."""

import random
from collections.abc import Iterator

FIRST = 0.5
CAP = 60.0


def delays(first: float = FIRST, cap: float = CAP) -> Iterator[float]:
    """Seconds to wait before each attempt, without end; the jitter is between half and all of the step."""
    step = first
    while True:
        yield step * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, hides nothing
        step = min(cap, step * 2)
