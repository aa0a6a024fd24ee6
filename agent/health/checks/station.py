"""Checks of the machine: files, disk, temperature, power, memory, clock, watchdog, and the state folder's content."""

import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile

from agent.configuration.schema import Settings
from agent.failures import lookup
from agent.health import device, redact
from agent.health import state as health
from agent.health.check import AS_ROOT, Check, Finding, failed, passed, skipped, warned
from agent.trust.clock import kernel_synchronised

SERVICE = "renzheng.service"
MIN_DISK, LOW_DISK = 16.0, 64.0
MIN_MEMORY, LOW_MEMORY = 24.0, 64.0
HOT, TOO_HOT = 75.0, 85.0
#: The audit's lines and the outbox hold base64 and ciphertext, in which a pattern can turn up by chance.
OPAQUE = frozenset({"outbox.db", "outbox.db-wal", "outbox.key", "counter.db", "counter.db-wal"})


def machine(runtime: Path | None = None) -> list[Check]:
    """What can be checked without settings; `runtime` is the folder of the agent, which knows the issuer's time."""
    return [
        Check("clock", "Clock is kept", lambda: _clock(runtime)),
        Check("temperature", "Temperature", _temperature),
        Check("power", "Power supply", _power),
        Check("memory", "Free memory", _memory),
        Check("watchdog", "Service and watchdog", _watchdog),
    ]


def files(settings: Settings, path: Path | None) -> list[Check]:
    """Modes and owners of what must not be read or written by others."""
    return [Check("files", "File modes and owners", lambda: _files(settings, path))]


def state(settings: Settings) -> list[Check]:
    """The state folder."""
    folder = settings.terminal.state
    return [
        Check("outbox", "State folder can be written", lambda: _writable(folder)),
        Check("disk", "Free disk", lambda: _disk(folder)),
        Check("privacy", "No personal data on the disk", lambda: _privacy(folder), seconds=6.0),
    ]


def _files(settings: Settings, path: Path | None) -> Finding:
    limit = "secrets of their folder's owner, for nobody else; settings written by their owner alone"
    try:
        secrets = list(_secrets(settings))
        wrong = [fault for secret in secrets if (fault := _exposed(secret))]
        if path is not None and path.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            wrong.append(f"{path} can be written by others")
    except PermissionError as error:
        return failed(f"{error.filename}: {error.strerror}", limit, AS_ROOT)
    if wrong:
        remedy = "Secrets: `chmod 600`, and `chown` to the owner of their folder. Settings: `chmod go-w`."
        return failed("; ".join(wrong), limit, remedy)
    return passed(f"{len(secrets)} secrets looked at", limit)


def _exposed(secret: Path) -> str:
    """What is wrong with the mode or the owner of a secret, or ""."""
    found = secret.stat()
    if found.st_mode & 0o077:
        return f"{secret} can be read by others"
    return f"{secret} belongs to another than its folder" if found.st_uid != secret.parent.stat().st_uid else ""


def _secrets(settings: Settings) -> Iterator[Path]:
    for folder in (settings.identity.folder, settings.terminal.state):
        with suppress(FileNotFoundError):
            yield from (path for path in sorted(folder.iterdir()) if path.suffix == ".key" and path.is_file())


def _clock(runtime: Path | None) -> Finding:
    told = None if runtime is None else (health.read(runtime) or {}).get("clock")
    if told is not None and not told.up:
        return failed(f"the agent says {told.code}", "the issuer's time", lookup(told.code).remedy, told.code)
    agrees = "" if told is None else ", agrees with the issuer's epoch"
    if kernel_synchronised():
        return passed(f"synchronised{agrees}")
    remedy = "Enable systemd-timesyncd or chrony; see `timedatectl`."
    return warned(f"nothing keeps the clock{agrees}", "synchronised", remedy)


def _temperature() -> Finding:
    celsius = device.temperature()
    if celsius is None:
        return skipped("this machine has no thermal zone")
    limit = f"below {HOT:g} °C"
    if celsius >= TOO_HOT:
        return failed(f"{celsius:.1f} °C", limit, "Improve the ventilation; the processor throttles.")
    if celsius >= HOT:
        return warned(f"{celsius:.1f} °C", limit, "Improve the ventilation.")
    return passed(f"{celsius:.1f} °C", limit)


def _power() -> Finding:
    limits = device.throttling()
    if limits is None:
        return skipped("no Raspberry Pi firmware to ask (vcgencmd)")
    now, since_boot = limits
    remedy = "Use a power supply that is made for this board and a short cable."
    if now:
        return failed(", ".join(now), "none", remedy)
    if since_boot:
        return warned(f"since boot: {', '.join(since_boot)}", "none", remedy)
    return passed("no under-voltage, no throttling")


def _memory() -> Finding:
    free, whole = device.free_memory()
    # Page cache counts as used here; the kernel gives it back. A lower bound that is high enough needs no closer look.
    measured, limit = f"{free:.0f} of {whole:.0f} MiB unused", f"{LOW_MEMORY:g} MiB"
    if free < MIN_MEMORY and device.reclaimable_memory() < LOW_MEMORY:
        return failed(measured, limit, "See what else runs: `systemd-cgtop -m`.")
    if free < LOW_MEMORY and device.reclaimable_memory() < LOW_MEMORY:
        return warned(measured, limit, "See what else runs: `systemd-cgtop -m`.")
    return passed(measured, limit)


def _watchdog() -> Finding:
    if not Path("/run/systemd/system").is_dir() or shutil.which("systemctl") is None:
        return skipped("systemd does not run here")
    wanted = ("LoadState", "ActiveState", "WatchdogUSec", "NRestarts", "StatusText")
    answer = subprocess.run(
        ["systemctl", "show", SERVICE, f"--property={','.join(wanted)}"],
        capture_output=True, text=True, timeout=2, check=False,
    )  # fmt: skip
    found = dict(line.partition("=")[::2] for line in answer.stdout.splitlines())
    if found.get("LoadState") != "loaded":
        return skipped("renzheng runs without its systemd unit")
    # systemd reports the time-out of a unit that was never started as zero: whether it runs is asked first.
    if found.get("ActiveState") != "active":
        remedy = "After `renzheng provision`: `systemctl start renzheng`; else see `journalctl -u renzheng -x`."
        return failed(f"service is {found.get('ActiveState')}", "active", remedy)
    if found.get("WatchdogUSec") in (None, "0", "infinity"):
        return failed("no watchdog time-out", "set", "Restore the packaged unit: `systemctl revert renzheng`.")
    measured = f"active, watchdog {found['WatchdogUSec']}, {found.get('NRestarts', '0')} restarts"
    if found.get("NRestarts", "0") != "0":
        return warned(measured, "0 restarts", "See why: `journalctl -u renzheng -p warning`.")
    return passed(measured)


def _writable(folder: Path) -> Finding:
    remedy = f"Check the mount and the owner of {folder}; the service's user must be able to write there."
    try:
        # A file without a name: root must not write through a link that the service's user has laid there.
        with TemporaryFile(dir=folder, buffering=0) as probe:
            probe.write(bytes(4096))
            os.fsync(probe.fileno())
    except OSError as error:
        return failed(f"{folder}: {error.strerror}", "writable", remedy, "terminal.state")
    return passed(f"{folder}: 4096 bytes written and synced")


def _disk(folder: Path) -> Finding:
    if not folder.is_dir():
        return skipped(f"{folder} is not there yet")
    free = device.free_disk(folder)
    measured, limit = f"{free:.0f} MiB", f"{LOW_DISK:g} MiB"
    if free < MIN_DISK:
        return failed(measured, limit, "Free space: `journalctl --vacuum-size=50M`, `apt-get clean`.", "terminal.disk")
    if free < LOW_DISK:
        return warned(measured, limit, "Free space: `journalctl --vacuum-size=50M`, `apt-get clean`.", "terminal.disk")
    return passed(measured, limit)


def _privacy(folder: Path) -> Finding:
    try:
        if not folder.is_dir():
            return skipped(f"{folder} is not there yet")
        found = list(redact.scan(folder, except_for=OPAQUE))
    except PermissionError as error:
        return failed(f"{error.filename}: {error.strerror}", "none", AS_ROOT)
    if found:
        places = "; ".join(f"{finding.kind} in {finding.path.name} at {finding.offset}" for finding in found[:5])
        return failed(places, "none", "Keep the file for the maintainers, then delete it.", "terminal.privacy")
    return passed("nothing found", "none")
