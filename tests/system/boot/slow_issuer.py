"""The issuer beside an emulated board: its clock started at START and goes PACE times slower than ours.

python -m tests.system.boot.slow_issuer START PACE ARGUMENT...
"""

import sys
import time
from collections.abc import Callable


def slowed(start: float, pace: float, clock: Callable[[], float] = time.time) -> Callable[[], float]:
    """A clock that agreed with `clock` at `start` and goes `pace` times slower since."""
    return lambda: start + (clock() - start) / pace


if __name__ == "__main__":
    start, pace, *sys.argv[1:] = float(sys.argv[1]), float(sys.argv[2]), *sys.argv[3:]
    # Before the issuer is imported: some of its functions take the clock as a default.
    time.time = slowed(start, pace)
    from issuer.cli import main

    main()
