"""Simulated chips, readers, SAM-V modules and scanners: the full protocols behind the same code path as production.

A passport in a virtual reader behind a real pcscd, in one process:

    state = IssuingState.create()                       # a CSCA and a document signer, keys in memory
    state.write_trust(folder)                           # the CSCA certificate, for TrustStore.load(folder)
    memory = personalise(Person(), jpeg, state)         # data groups, keys, security object
    with CardStack() as stack:                          # private pcscd, in its own namespaces; needs root
        with stack.card(PassportChip(memory)):          # inserted; .insert() and .remove() by hand otherwise
            with contextlib.closing(PcscReader(TrustStore.load(folder))) as reader:
                reader.wait(5)
                document = reader.read(ReadRequest(key=Person().key))

While the `with` block of `CardStack` lasts, this process and its children reach the virtual readers and no others
(two of them: `stack.card(chip, slot=1)` is the second). Only pcscd and its driver live in the namespaces: a broker or a
server of the caller stays where it is, on the machine's loopback. The libpcsclite of a process remembers the first
daemon that it met, so enter `CardStack` before any other PC/SC call. Everything stops with the process, however it
ends. `stack.stop_service()` and `start_service()` restart pcscd. From a shell:
`python -m firmware_bridge.simulator.stack -- COMMAND …`; a child process puts its own card in with `card_in_stack`.

Variants of a document are made from a genuine memory: `variants.cloned(memory)` (data copied, keys not),
`variants.altered(memory, jpeg)` (another picture under the same signature), `variants.hidden(memory)` (a copy that
leaves out what it cannot prove); an untrusted one is personalised by an `IssuingState` that nobody wrote to a trust
folder, one without PACE by `Profile(pace=())`. `portraits` gives the pictures that ship, as JPEG or JPEG 2000.
`faults` wraps a chip so that it is pulled, falls silent or lies at APDU *n*; `link` gives it a radio field's speed.
"""

from firmware_bridge.simulator.chip import PassportChip
from firmware_bridge.simulator.person import Person
from firmware_bridge.simulator.personalise import Personalisation, Profile, personalise
from firmware_bridge.simulator.pki import IssuingState
from firmware_bridge.simulator.stack import CardStack, card_in_stack
from firmware_bridge.simulator.vpcd import VirtualCard

__all__ = [
    "CardStack",
    "IssuingState",
    "PassportChip",
    "Person",
    "Personalisation",
    "Profile",
    "VirtualCard",
    "card_in_stack",
    "personalise",
]
