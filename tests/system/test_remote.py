"""A running `renzheng run` is configured and ordered from afar: signed by the authority, carried by the issuer."""

import json
import tomllib
from pathlib import Path

import pytest

from agent.demo.processes import output
from firmware_bridge.simulator.stack import missing
from tests.system.remote_field import RENZHENG, field

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(bool(missing()), reason=missing() or "-"),
    pytest.mark.timeout(300),
]


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
        # By hand, beside it: the terminal's name is the agent's, so it is the agent that asks the issuer.
        done = await output([RENZHENG, "self-test", "--settings", str(terminal.settings), "--only", "echo", "--json"])
        (echo,) = json.loads(done)["checks"]
        assert echo["measured"].endswith("asked by the agent")
        with pytest.raises(Exception, match="not_authorised"):
            await terminal.order("roll-back")
