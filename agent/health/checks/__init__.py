"""The registry of the self-test: every check of a terminal, with its stable id.

`station` the machine and its files, `credentials` keys and trust, `network` broker and issuer, `devices` readers and
camera, `models` the networks. Checks are made from the settings; without settings only those of the machine remain.
"""

from pathlib import Path

from agent.configuration.load import load
from agent.configuration.schema import Settings
from agent.failures import RenzhengError
from agent.health import runtime
from agent.health.check import Check, Finding, of_error, passed
from agent.health.checks import credentials, devices, models, network, station


def checks(path: Path) -> list[Check]:
    """Every check that applies to the terminal whose settings are at `path`, and to its agent, if one runs."""
    try:
        settings = load(path)
    except RenzhengError as error:
        finding = of_error(error)
        return [Check("settings", "Settings", lambda: finding), *station.machine()]
    return checks_of(settings, path)


def checks_of(settings: Settings, path: Path | None) -> list[Check]:
    """Every check for `settings`, as read from `path` (None when they came from elsewhere)."""
    agent = runtime.find(settings.terminal.state)
    return [
        Check("settings", "Settings", lambda: _settings(settings, path)),
        *station.files(settings, path),
        *credentials.checks(settings),
        *network.checks(settings, agent),
        *devices.checks(settings, agent),
        *models.checks(settings),
        *station.state(settings),
        *station.machine(agent),
    ]


def _settings(settings: Settings, path: Path | None) -> Finding:
    readers = ", ".join(reader.name for reader in settings.readers) or "none"
    return passed(f"{path or 'in use'}: readers {readers}; camera {settings.camera.type}")
