"""All benchmarks, or those named: `python -m tests.bench [NAME ...]`, e.g. `make bench ARGS="wire outbox"`."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def main() -> int:
    """Run each benchmark in a process of its own, so that none warms another's caches; the worst exit status."""
    names = sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))
    wanted = sys.argv[1:] or names
    unknown = sorted(set(wanted) - set(names))
    if unknown:
        sys.stderr.write(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(names)}\n")
        return 2
    status = 0
    for name in wanted:
        sys.stdout.write(f"\n== {name}\n")
        sys.stdout.flush()
        status = max(
            status, subprocess.run([sys.executable, "-m", f"tests.bench.bench_{name}"], check=False).returncode
        )
    return status


if __name__ == "__main__":
    sys.exit(main())
