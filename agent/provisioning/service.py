"""The service under systemd: start it, keep it to its broker's address, see that it serves.

systemctl(1), systemd.resource-control(5).
"""

import ipaddress
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from agent.configuration.schema import Settings
from agent.failures import RenzhengError
from agent.health import state

SERVICE, RENEWAL = "renzheng.service", "renzheng-renew.timer"
SYSTEMD = Path("/run/systemd/system")
DROP_IN = Path("/etc/systemd/system/renzheng.service.d/50-provisioned-addresses.conf")
#: Seconds for a start (the unit's own limit is 60), and for the way to the issuer after it.
START, REACH = 90.0, 15.0


def manageable() -> bool:
    """Whether systemd runs here and the package's unit is installed."""
    return SYSTEMD.is_dir() and shutil.which("systemctl") is not None and _systemctl("cat", SERVICE).returncode == 0


def begin(*, changed: bool) -> None:
    """Enable service and renewal for every boot and have the service run, on the newest settings if they `changed`.

    Raises:
        RenzhengError: `provision.service`.
    """
    act = "restart" if changed else "start"
    for arguments in (("enable", SERVICE, RENEWAL), ("start", RENEWAL), (act, SERVICE)):
        done = _systemctl(*arguments)
        if done.returncode:
            why = done.stderr.strip().partition("\n")[0]
            raise RenzhengError("provision.service", f"systemctl {' '.join(arguments)}: {why}")


def wait_for_issuer(runtime: Path, seconds: float = REACH) -> bool:
    """Wait until the agent says that it hears the issuer."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        told = state.read(runtime) or {}
        if (issuer := told.get("issuer")) is not None and issuer.up:
            return True
        time.sleep(0.2)
    return False


def addresses(settings: Settings) -> tuple[list[str] | None, str]:
    """The addresses that the service must reach besides loopback; None and a name when they cannot be told.

    What a name means is the resolver's word, which changes: a filter made of it would lock the terminal out one day.
    """
    urls = (*settings.broker.urls, *settings.faces.origins)
    found = []
    for host in (urlsplit(url).hostname or "" for url in urls):
        try:
            found.append(str(ipaddress.ip_address(host)))
        except ValueError:
            if host != "localhost":
                return None, host
    return sorted(set(found)), ""


def restrict(allowed: Sequence[str] | None, drop_in: Path = DROP_IN) -> bool:
    """Let the service speak with `allowed` and loopback alone, or with anybody if None; whether that is a change.

    Raises:
        RenzhengError: `provision.rights`, `provision.service`.
    """
    before = drop_in.read_text("utf-8") if drop_in.exists() else ""
    wanted = _DROP_IN.format(addresses=" ".join(("localhost", *allowed))) if allowed is not None else ""
    if before == wanted:
        return False
    try:
        if wanted:
            drop_in.parent.mkdir(parents=True, exist_ok=True)
            drop_in.write_text(wanted, "utf-8")
        else:
            drop_in.unlink()
    except OSError as error:
        raise RenzhengError("provision.rights", f"{drop_in}: {error.strerror}") from error
    _systemctl("daemon-reload")
    return True


_DROP_IN = """\
# Written by `renzheng provision` from the broker's addresses, and written anew by it. When the broker moves, run it
# again (nothing else changes) or remove this file: until then a broker at another address is not reached.
[Service]
IPAddressDeny=any
IPAddressAllow={addresses}
"""


def _systemctl(*arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(["systemctl", *arguments], capture_output=True, text=True, timeout=START, check=False)
    except subprocess.TimeoutExpired:
        why = f"systemctl {' '.join(arguments)}: no answer within {START:g} s"
        raise RenzhengError("provision.service", why) from None
