"""See the package: fuzz one target or all of them for a while."""

import argparse
import hashlib
import subprocess
import sys
from pathlib import Path

from tests.hostile.fuzz_bridge.names import FOUND, NAMES

_SECONDS_AN_INPUT = 2
_CORPUS = Path("build/fuzz")


def fuzz(name: str, seconds: int, runs: int) -> None:
    """Fuzz in this process; libFuzzer ends it."""
    import atheris

    # Only our own code guides the fuzzer: instrumenting every library costs half a minute at each start.
    with atheris.instrument_imports(include=["firmware_bridge"]):
        from tests.hostile.fuzz_bridge.targets import TARGETS

    target = TARGETS[name]
    corpus, artifacts = _CORPUS / name, _CORPUS / "artifacts" / name
    for folder in (corpus, artifacts):
        folder.mkdir(parents=True, exist_ok=True)
    for seed in target.seeds():
        (corpus / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)
    limits = [f"-max_total_time={seconds}"] if seconds else [f"-runs={runs}"]
    options = [f"-timeout={_SECONDS_AN_INPUT}", "-rss_limit_mb=2048", "-seed=1", f"-artifact_prefix={artifacts}/"]
    atheris.Setup([sys.argv[0], *limits, *options, str(corpus)], target.try_one)
    atheris.Fuzz()


def keep(name: str) -> int:
    """Move what broke the target to where the tests find it; how many there were."""
    folder = _CORPUS / "artifacts" / name
    broken = [path for path in folder.glob("*") if path.name.startswith(("crash-", "timeout-", "oom-"))]
    for path in broken:
        (FOUND / name).mkdir(parents=True, exist_ok=True)
        path.replace(FOUND / name / path.name[:24])
    return len(broken)


def main() -> int:
    """Exit status 1 if anything was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile.fuzz_bridge")
    parser.add_argument("target", choices=[*NAMES, "all"])
    parser.add_argument("--minutes", type=float, default=0.0, help="for all targets together")
    parser.add_argument("--runs", type=int, default=20_000, help="inputs, where no minutes are given")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    names = list(NAMES) if options.target == "all" else [options.target]
    seconds = int(options.minutes * 60 / len(names))
    if options.inside:
        fuzz(names[0], seconds, options.runs)
    broken = 0
    for name in names:
        limits = ["--minutes", str(seconds / 60)] if seconds else ["--runs", str(options.runs)]
        # libFuzzer ends the process that it runs in.
        subprocess.run([sys.executable, "-m", "tests.hostile.fuzz_bridge", name, *limits, "--inside"], check=False)
        count = keep(name)
        sys.stdout.write(f"{name}: {count} found\n")
        broken += count
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
