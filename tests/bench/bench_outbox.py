"""Outbox writes per second, each on the disk before `put` returns: one after the other, and 32 at a time.

python -m tests.bench.bench_outbox [FOLDER]     # FOLDER lies on the disk to be measured
"""

import asyncio
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from agent.transport.outbox import Outbox, Priority

SECONDS = 3.0
PAYLOAD = bytes(300)


async def measure(folder: Path, together: int) -> tuple[float, float]:
    """Puts per second by `together` tasks, and the median milliseconds of one put."""
    outbox = Outbox(folder / f"outbox-{together}.db", bytes(32))
    await outbox.put("warm", PAYLOAD)
    end = time.perf_counter() + SECONDS
    times: list[float] = []

    async def put() -> None:
        while (start := time.perf_counter()) < end:
            await outbox.put("bench", PAYLOAD, Priority.REPORT)
            times.append(time.perf_counter() - start)

    await asyncio.gather(*(put() for _ in range(together)))
    await outbox.close()
    return len(times) / SECONDS, statistics.median(times) * 1000


def main() -> None:
    """Print one JSON line for each way of writing."""
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as folder:
        for together in (1, 32):
            rate, median = asyncio.run(measure(Path(folder), together))
            line = {"bench": "outbox", "writers": together, "per_second": round(rate), "p50_ms": round(median, 2)}
            sys.stdout.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
