"""Events that must not be lost: kept on disk until the issuer says that it has them.

    outbox = Outbox(state / "outbox.db", key)                 # 32 bytes from the signer or a systemd credential
    await outbox.put("audit", payload, Priority.AUDIT)        # returns when it is safe on the disk
    sender = OutboxSender(outbox, link, identity, clock=clock)  # before `link.start()`
    await sender.run()                                        # a task of the agent

`entry` what is held, `vault` encryption at rest, `store` the SQLite file, `recovery` damage, `keeper` the store that
survives it, `outbox` the asyncio face, `sender` the drain loop, `receipts` what the issuer's word removes.
"""

from agent.transport.outbox.entry import Entry, Fill, Limits, Priority
from agent.transport.outbox.outbox import Outbox
from agent.transport.outbox.sender import OutboxSender

__all__ = ["Entry", "Fill", "Limits", "Outbox", "OutboxSender", "Priority"]
