"""The diagnostics bundle: what a maintainer needs to see, with everything personal and secret taken out.

What goes in is chosen piece by piece; nothing is copied because it happens to lie there. Every text passes the
redaction last, so that a piece that says more than it should is caught as well.
"""

import importlib.metadata
import io
import json
import platform
import subprocess
import tarfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from time import time

from agent import __version__
from agent.configuration.load import load
from agent.failures import RenzhengError
from agent.health import device, runtime, state
from agent.health.audit import lines_of, parse, set_aside
from agent.health.redact import redact

#: A bundle is mailed: each piece has a size.
MAX_PIECE = 512 * 1024
COMMAND_TIMEOUT = 5


def bundle(path: Path, self_test: Mapping[str, object]) -> bytes:
    """A compressed tar archive for the terminal whose settings are at `path`. A piece that fails says why."""
    pieces: dict[str, Callable[[], str]] = {
        "system.json": lambda: _json(_system()),
        "device.json": lambda: _json(dict(device.measurements(load(path).terminal.state))),
        "packages.txt": _packages,
        "settings.json": lambda: load(path).model_dump_json(indent=1),
        "self-test.json": lambda: _json(dict(self_test)),
        "health.json": lambda: _json(_parts(path)),
        "audit.json": lambda: _json(_audit(path)),
        "journal.txt": lambda: _output("journalctl", "-u", "renzheng", "-n", "2000", "-o", "short-iso-precise"),
        "pcscd.txt": lambda: _output("journalctl", "-u", "pcscd", "-n", "200", "-o", "short-iso"),
        "unit.txt": lambda: _output("systemctl", "show", "renzheng", "--no-pager"),
        "usb.txt": lambda: _output("lsusb"),
    }  # fmt: skip
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w:gz") as archive:
        for name, piece in pieces.items():
            content = redact(_told(piece)).encode(errors="replace")[-MAX_PIECE:]
            entry = tarfile.TarInfo(f"renzheng-diagnosis/{name}")
            entry.size, entry.mtime, entry.mode = len(content), int(time()), 0o600
            archive.addfile(entry, io.BytesIO(content))
    return memory.getvalue()


def _told(piece: Callable[[], str]) -> str:
    try:
        return piece()
    except RenzhengError as error:
        return str(error)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return f"not available: {type(error).__name__}"


def _json(value: object) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False, default=str)


def _system() -> dict[str, object]:
    release = Path("/etc/os-release")
    found: dict[str, object] = {
        "renzheng": __version__,
        "python": platform.python_version(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "os": release.read_text("utf-8").splitlines()[:1] if release.exists() else [],
    }
    model = Path("/sys/firmware/devicetree/base/model")
    if model.exists():
        found["board"] = model.read_text("ascii", "replace").rstrip("\0")
    return found


def _parts(path: Path) -> dict[str, object]:
    """What the running agent says of its parts."""
    told = state.read(runtime.find(load(path).terminal.state))
    return {} if told is None else {part: asdict(found) for part, found in told.items()}


def _packages() -> str:
    names = sorted(f"{found.name}=={found.version}" for found in importlib.metadata.distributions())
    return "\n".join(dict.fromkeys(names))


def _audit(path: Path) -> dict[str, object]:
    """Counts by event and code, and the newest records' codes and times; of what is no record, where it stands."""
    folder = load(path).terminal.state / "audit"
    records, unreadable = [], [file.name for file in set_aside(folder)]
    for place, line in lines_of(folder):
        try:
            records.append(parse(line)[0])
        except ValueError:
            unreadable.append(place)
    counts = Counter(f"{record['event']} {record.get('code', '')}".strip() for record in records)
    told = {"records": len(records), "by code": dict(counts), "unreadable": unreadable[:50]}
    return {**told, "newest": records[-50:]}


def _output(*command: str) -> str:
    found = subprocess.run(
        command, capture_output=True, text=True, timeout=COMMAND_TIMEOUT, check=False, errors="replace"
    )
    return found.stdout or found.stderr
