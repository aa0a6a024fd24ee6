"""Every fault at every command: an error of ours or a verdict, in time, and never a word of the holder's."""

import time

import pytest

from firmware_bridge.document import CheckName, Document
from firmware_bridge.errors import BridgeError
from firmware_bridge.reader import ReadRequest
from firmware_bridge.simulator import Profile
from firmware_bridge.simulator.faults import At, Fault, FaultyCard
from firmware_bridge.simulator.personalise import pace
from tests.protocol.bridge_chips import PERSON, memory, read

COMMANDS = 24
PROFILES = {
    "pace": Profile(active_authentication="ecdsa"),
    "bac": Profile(pace=(), active_authentication="ecdsa"),
    "short": Profile(pace=(pace(),), extended=False, active_authentication="ecdsa"),
}
SECRETS = (PERSON.surname, PERSON.number, PERSON.zone()[:30], PERSON.birth_date.strftime("%y%m%d"))


def one(profile: Profile, fault: Fault, command: int) -> Document | BridgeError:
    request = ReadRequest(PERSON.key, nonce=b"8 bytes!")
    try:
        return read(memory(profile), request, wrap=lambda chip: FaultyCard(chip, At(fault, command)))
    except BridgeError as error:
        return error


@pytest.mark.parametrize("fault", [Fault.GARBAGE, Fault.WRONG_MAC, Fault.LYING_LENGTH])
@pytest.mark.parametrize("name", PROFILES)
def test_a_fault_at_any_command_never_makes_false_data_pass(name: str, fault: Fault) -> None:
    failed = 0
    for command in range(1, COMMANDS + 1):
        begin = time.perf_counter()
        result = one(PROFILES[name], fault, command)
        assert time.perf_counter() - begin < 5.0
        if isinstance(result, BridgeError):
            failed += 1
            told = " ".join([str(result), *result.trace])
            assert not [secret for secret in SECRETS if secret in told]
        elif result.check(CheckName.PASSIVE).passed:
            # The fault hit something that the read could do without, or that a check has told.
            assert result.holder.surname == PERSON.surname
            assert result.access.value in {"pace", "bac"}
    assert failed >= 8, "hardly any fault was noticed"


def test_a_chip_that_protects_nothing_leaks_nothing_into_the_log() -> None:
    profile = Profile(pace=(), bac=False, chip_authentication=None, active_authentication="")
    for command in range(3, 12):
        result = one(profile, Fault.LYING_LENGTH, command)
        if isinstance(result, BridgeError):
            assert not [secret for secret in SECRETS if secret in " ".join([str(result), *result.trace])]
            head = PERSON.zone()[:6].encode().hex()
            assert head not in " ".join(result.trace)
