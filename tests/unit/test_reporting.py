"""What is left of a verification reaches each who must know it, also where another cannot be told."""

import json
import shutil
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from agent.health.metrics import Metrics
from agent.reporting import Reporting
from agent.transport.outbox import Limits, Outbox
from agent.verification.outcome import Outcome, Result
from agent.wire.keys import SoftwareSigner

OUTCOME = Outcome(Result.REFUSED, "face.mismatch", "00" * 16, {"whole": 1.25})


def reporting(folder: Path, outbox: Outbox) -> Reporting:
    return Reporting(folder / "audit", SoftwareSigner(ec.generate_private_key(ec.SECP256R1())), outbox, Metrics())


async def test_an_audit_that_cannot_be_written_does_not_keep_it_from_the_issuer(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.db", bytes(32))
    made = reporting(tmp_path, outbox)
    watched = made.watch()
    shutil.rmtree(tmp_path / "audit")
    await made.ended(OUTCOME, "passport")
    (entry,) = await outbox.pending(10, 10_000)
    told = json.loads(entry.payload)
    assert (told["result"], told["code"], told["request"]) == ("refused", "face.mismatch", "00" * 16)
    assert watched.get_nowait() is OUTCOME
    made.close()
    await outbox.close()


async def test_an_outbox_without_room_does_not_keep_it_from_the_audit(tmp_path: Path) -> None:
    full = Outbox(tmp_path / "outbox.db", bytes(32), Limits(rows=0))
    made = reporting(tmp_path, full)
    await made.ended(OUTCOME, "passport")
    assert made.head.startswith("1:")
    made.close()
    await full.close()
