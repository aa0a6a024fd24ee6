"""Readers behind pcscd (PC/SC), on pyscard.

    store = TrustStore.load(Path("trust"))
    with contextlib.closing(PcscReader(store)) as reader:     # the first reader; or PcscReader(store, match="ACS")
        event = reader.wait(timeout=5)                         # PRESENTED, REMOVED, GONE, BACK, or None
        document = reader.read(ReadRequest(key=MrzKey(…)))     # raises BridgeError with a code

`PcscReader` survives a restart of pcscd, an unplugged reader and a card that is pulled or never answers. `read` gives
verdicts in `document.checks`; a failed one carries the failure code that fits it (`document.altered`,
`document.cloned`, `document.untrusted`, `document.expired`). `list_readers` tells what there is, `look` what one
of them says of itself and of the card that lies there.
"""

from firmware_bridge.pcsc.context import list_readers
from firmware_bridge.pcsc.facts import CardThere, ReaderFacts, look
from firmware_bridge.pcsc.reader import PcscReader

__all__ = ["CardThere", "PcscReader", "ReaderFacts", "list_readers", "look"]
