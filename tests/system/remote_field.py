"""A terminal in the field that is steered from afar: `renzheng run`, a broker, an issuer, an authority, an operator."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomlkit

from agent.demo import stage
from agent.demo.processes import Program, output, running
from agent.demo.stage import Stage
from firmware_bridge.simulator.pki import IssuingState
from firmware_bridge.simulator.stack import CardStack
from issuer import store
from issuer.config_cli import last_reports
from issuer.events import EventStore
from issuer.layout import Layout
from tests.system.places import PORTRAIT

ISSUER, RENZHENG = stage.tool("renzheng-issuer"), stage.tool("renzheng")


@dataclass(frozen=True, slots=True)
class Field:
    """A terminal in the field, seen from the operator's desk."""

    built: Stage
    folder: Path
    settings: Path

    async def publish(self, number: int, text: str) -> None:
        source = self.folder / f"change-{number}.toml"
        source.write_text(text)
        key = str(self.folder / "authority.key")
        target = ["--number", str(number), "--target", f"terminal:{stage.TERMINAL}"]
        await output([RENZHENG, "config", "sign", str(source), "--key", key, *target])
        document = str(source.with_suffix(".cose"))
        await output([ISSUER, "config", "publish", str(self.built.issuer_folder), document, stage.TERMINAL])

    async def told(self, number: int, seconds: float = 60.0, *, subject: str = "configuration") -> dict[str, Any]:
        """What the terminal last said of its configuration (or bundles), once it has spoken of `number`."""
        with store.opened(store.sqlite_url(Layout(self.built.issuer_folder).database)) as engine:
            async with asyncio.timeout(seconds):
                # The command is asked once it has something to say: starting it takes a second of a core.
                while not _settled(last_reports(EventStore(engine)), number, subject):  # noqa: ASYNC110  # another's rows
                    await asyncio.sleep(0.3)
        status = json.loads(await output([ISSUER, "config", "status", str(self.built.issuer_folder), "--json"]))
        return dict(_settled(status, number, subject)[0])

    async def in_force(self) -> dict[str, Any]:
        shown = await output([RENZHENG, "config", "show", "--settings", str(self.settings), "--json"])
        return dict(json.loads(shown))

    async def order(self, name: str) -> str:
        key = str(self.folder / "anna.key")
        folder = str(self.built.issuer_folder)
        result = self.folder / f"{name}.json"
        order = [ISSUER, "command", "send", folder, stage.TERMINAL, name, "--key", key, "--output", str(result)]
        await output([*order, "--wait", "45"])
        return result.read_text()


def _settled(status: list[dict[str, Any]], number: int, subject: str) -> list[dict[str, Any]]:
    mine = [one for one in status if (one["number"], one["subject"]) == (number, subject)]
    return [one for one in mine if one["state"] in {"committed", "rolled_back", "refused"}]


@asynccontextmanager
async def field(folder: Path, faces: dict[str, Any] | None = None) -> AsyncIterator[Field]:
    """A terminal that runs from a settings file, with an authority and an operator that it has pinned."""
    IssuingState.create().write_trust(folder / "trust")
    with CardStack():
        async with stage.built(folder, folder / "trust", "convenience") as built:
            identity = built.settings.identity.folder
            await output([RENZHENG, "config", "keygen", str(folder / "authority.key")])
            (folder / "authority.pub.pem").rename(identity / "trust" / "authority.pem")
            await output([ISSUER, "command", "keygen", str(folder / "anna")])
            operator = {"name": "anna", "role": "support", "key": (folder / "anna.pem").read_text()}
            (identity / "trust" / "operators.toml").write_text(tomlkit.dumps({"operator": [operator]}))
            settings = folder / "renzheng.toml"
            settings.write_text(tomlkit.dumps(tables(folder, built, faces or {})))
            agent = Program("agent", [RENZHENG, "run", "--settings", str(settings)], folder / "agent.log")
            async with running(agent):
                await _serving(folder)
                yield Field(built, folder, settings)


async def _serving(folder: Path) -> None:
    """Wait until the terminal is connected: a command to one that is not is nobody's."""
    async with asyncio.timeout(60):
        while f"as {stage.TERMINAL}" not in (folder / "broker.log").read_text():  # noqa: ASYNC110  # another's log
            await asyncio.sleep(0.2)
    await asyncio.sleep(1.0)


def tables(folder: Path, built: Stage, faces: dict[str, Any]) -> dict[str, Any]:
    return {
        "terminal": {"relying_party": "Demonstration Hotel", "state": str(folder / "state")},
        "readers": [{"type": "pcsc", "match": "Virtual PCD"}],
        "camera": {"type": "simulated", "portrait": str(PORTRAIT)},
        "faces": faces,
        "documents": {"trust": str(folder / "trust")},
        "broker": {"urls": list(built.settings.broker.urls)},
        "identity": {"folder": str(built.settings.identity.folder)},
        "kiosk": {"enabled": False},
    }
