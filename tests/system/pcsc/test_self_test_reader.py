"""The self-test asks a PC/SC reader itself, by the name that the settings give it: the real pcscd, a virtual card."""

import time
from pathlib import Path

import pytest

from agent.health.check import Finding, Status, select
from agent.health.checks import checks
from firmware_bridge.pcsc import CardThere
from firmware_bridge.simulator import CardStack, IssuingState, PassportChip, Person, personalise, portraits
from firmware_bridge.simulator.faults import At, Fault, FaultyCard
from firmware_bridge.simulator.stack import missing
from firmware_bridge.simulator.vpcd import CardSide

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(bool(missing()), reason=missing()),
    pytest.mark.xdist_group("pcsc"),
]

SETTINGS = """
[terminal]
relying_party = "Grand Hotel"
[camera]
type = "simulated"
portrait = "/nowhere.jpg"
[broker]
urls = ["mqtts://127.0.0.1:1"]
[[readers]]
type = "pcsc"
match = "{match}"
"""


def reader(folder: Path, match: str) -> Finding:
    path = folder / "renzheng.toml"
    path.write_text(SETTINGS.format(match=match))
    (only,) = select(checks(path), ["reader.passport"])
    return only.run()


def noticed(folder: Path, match: str) -> Finding:
    """The finding once pcscd has noticed the card, within half a second or so."""
    end = time.monotonic() + 10
    while (found := reader(folder, match)).measured.endswith(CardThere.NOTHING) and time.monotonic() < end:
        time.sleep(0.1)
    return found


def test_a_reader_is_named_with_what_lies_on_it(tmp_path: Path) -> None:
    passport = personalise(Person(), portraits.jpeg2000(portraits.HOLDER_CHIP), IssuingState.create())
    silent: CardSide = FaultyCard(PassportChip(passport), At(Fault.SILENT, 1))
    with CardStack() as stack:
        empty = reader(tmp_path, "Virtual*")
        assert (empty.status, empty.measured) == (Status.PASS, "Virtual PCD 00 00; no card lies there")
        with stack.card(PassportChip(passport), slot=1):
            assert noticed(tmp_path, "00 01").measured == "Virtual PCD 00 01; a travel document answers"
        with stack.card(silent, slot=1):
            assert noticed(tmp_path, "00 01").status is Status.WARN
        absent = reader(tmp_path, "ACS")
        assert (absent.status, absent.code) == (Status.FAIL, "reader.gone")
        assert "Virtual PCD 00 00" in absent.measured
