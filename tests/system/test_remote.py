"""A running `renzheng run` is configured and ordered from afar: signed by the authority, carried by the issuer."""

import asyncio
import json
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import tomlkit

from agent.demo import stage
from agent.demo.processes import Program, output, running
from agent.demo.stage import Stage
from firmware_bridge.simulator.pki import IssuingState
from firmware_bridge.simulator.stack import CardStack, missing
from tests.system.places import PORTRAIT

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(bool(missing()), reason=missing() or "-"),
    pytest.mark.timeout(300),
]

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

    async def told(self, number: int, seconds: float = 60.0) -> dict[str, Any]:
        """What the terminal last said of its configuration, once it has spoken of `number`."""
        async with asyncio.timeout(seconds):
            while True:
                status = json.loads(await output([ISSUER, "config", "status", str(self.built.issuer_folder), "--json"]))
                for one in status:
                    if one["number"] == number and one["state"] in {"committed", "rolled_back", "refused"}:
                        return dict(one)
                await asyncio.sleep(0.3)

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


@asynccontextmanager
async def field(folder: Path) -> AsyncIterator[Field]:
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
            settings.write_text(tomlkit.dumps(tables(folder, built)))
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


def tables(folder: Path, built: Stage) -> dict[str, Any]:
    return {
        "terminal": {"relying_party": "Demonstration Hotel", "state": str(folder / "state")},
        "readers": [{"type": "pcsc", "match": "Virtual PCD"}],
        "camera": {"type": "simulated", "portrait": str(PORTRAIT)},
        "documents": {"trust": str(folder / "trust")},
        "broker": {"urls": list(built.settings.broker.urls)},
        "identity": {"folder": str(built.settings.identity.folder)},
        "kiosk": {"enabled": False},
    }


async def test_settings_from_afar_are_tried_and_kept_only_when_the_terminal_still_works(tmp_path: Path) -> None:
    async with field(tmp_path) as terminal:
        await terminal.publish(1, "[deadlines]\nface = 12.0\n")
        said = await terminal.told(1)
        assert said["state"] == "committed", said
        assert tomllib.loads(terminal.settings.read_text()).get("deadlines") is None, "the own file stays as it was"
        assert (await terminal.in_force())["number"] == 1

        # A trust store that is not there: the self-test finds it, and the terminal goes back by itself.
        await terminal.publish(2, '[documents]\ntrust = "/nonexistent/trust"\n')
        # (The retained document comes once more after the way back, and is refused as one that has failed.)
        said = await terminal.told(2)
        assert (said["state"], said["active"]) in {("rolled_back", 1), ("refused", 1)}, said
        assert (await terminal.in_force())["number"] == 1


async def test_an_operator_orders_a_self_test_and_not_what_is_above_the_role(tmp_path: Path) -> None:
    async with field(tmp_path) as terminal:
        result = await terminal.order("self-test")
        assert {check["id"] for check in json.loads(result)["checks"]} >= {"key", "broker", "golden"}
        with pytest.raises(Exception, match="not_authorised"):
            await terminal.order("roll-back")
