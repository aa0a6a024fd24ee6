"""The settings file that provisioning writes: what was found, what the issuer wishes, what the operator says.

The later wins: hardware that was found < `site/settings.toml` of the issuer < options of the command line < where the
identity is. A file that is there already belongs to whoever edited it, and stays.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomlkit

from agent.configuration import load
from agent.configuration.schema import Settings
from agent.failures import RenzhengError
from agent.provisioning import hardware
from agent.provisioning.account import Account

Tables = dict[str, Any]

#: What no issuer may say: who the terminal is, and where it keeps its state.
OWN = ("version", "identity")
HEAD = (
    "Settings of this terminal, written by `renzheng provision`. They are yours: provisioning never writes over them.",
    "Every key with its default: `renzheng config show`. After a change: `renzheng config check`, then",
    "`systemctl restart renzheng`.",
)


def site(text: str) -> Tables:
    """The tables of the issuer's site settings.

    Raises:
        RenzhengError: `provision.site`; not TOML, or they name what only the terminal may say.
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RenzhengError("provision.site", f"the issuer's settings are not TOML: {error}") from error
    forbidden = [key for key in OWN if key in tables]
    forbidden += ["terminal.state"] * ("state" in _table(tables, "terminal"))
    if forbidden:
        raise RenzhengError("provision.site", f"the issuer's settings name {forbidden[0]}, which is the terminal's own")
    return tables


def compose(wished: Mapping[str, Any], said: Mapping[str, Any], own: Mapping[str, Any]) -> tuple[Tables, list[str]]:
    """All tables of a new file, and a line about each part that was found or is missing.

    `wished` comes from the issuer, `said` from the operator, `own` is where identity and state are.
    """
    found: Tables = {}
    told: list[str] = []
    if "readers" not in wished:
        tables, lines = hardware.readers()
        found["readers"] = tables or [{"type": "pcsc"}]
        told += lines or ["no reader was seen: the settings name a PC/SC reader, which will be taken when it appears"]
    if "camera" not in wished:
        seen = hardware.camera()
        found["camera"] = hardware.likely_camera() if seen is None else seen[0]
        told.append("no camera was seen: the settings name the usual one" if seen is None else seen[1])
    merged: Tables = {}
    for tables_of in (found, wished, said, own):
        merged = _merged(merged, tables_of)
    return merged, told


def check(tables: Mapping[str, Any], path: Path) -> Settings:
    """The settings that `tables` make at `path`.

    Raises:
        RenzhengError: `provision.site`; a value that the schema refuses, named.
    """
    try:
        return load.parse(tables, source="the settings for this terminal", base=path.parent)
    except RenzhengError as error:
        raise RenzhengError("provision.site", str(error)) from error


def text(tables: Mapping[str, Any]) -> str:
    """The file for people: a head, then the tables."""
    document = tomlkit.document()
    for line in HEAD:
        document.add(tomlkit.comment(line))
    for name in (name for name in Settings.model_fields if name in tables):
        document.add(name, tomlkit.item(tables[name]))
    return tomlkit.dumps(document)


def write(path: Path, content: str, account: Account | None) -> None:
    """Write a new settings file, readable by the service's group; never over one that is there.

    Raises:
        RenzhengError: `provision.rights`.
    """
    beside = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(descriptor, 0o640)
            if account is not None:
                os.fchown(descriptor, 0, account.group)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        # link(2) refuses where rename(2) would replace: two operators at once, and nobody's edit is lost.
        path.hardlink_to(beside)
    except FileExistsError:
        pass
    except OSError as error:
        raise RenzhengError("provision.rights", f"{path}: {error.strerror}") from error
    finally:
        beside.unlink(missing_ok=True)


def _table(tables: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = tables.get(name, {})
    return found if isinstance(found, Mapping) else {}


def _merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> Tables:
    """`over` laid over `under`: tables key by key, everything else as a whole."""
    result = dict(under)
    for name, value in over.items():
        below = result.get(name)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            result[name] = _merged(below, value)
        else:
            result[name] = value
    return result
