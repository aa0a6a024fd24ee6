"""Verify an audit: every signature, every link, and the newest record against the head that the issuer was told."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agent.failures import RenzhengError
from agent.health.audit import GENESIS, Head, canonical, digest_of, lines_of, parse, seq_of, set_aside
from agent.wire import keys
from agent.wire.errors import Fault, WireError
from agent.wire.keys import PublicKey

Verify = Callable[[bytes, bytes], bool]


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What was found. `fault` is "" for an audit that holds, else the place and the reason of the first break."""

    records: int
    first: int
    head: Head
    fault: str = ""


def verify(folder: Path, signed: Verify, *, head: Head | None = None) -> AuditReport:
    """Walk the chain in `folder`; `head` is the newest record that somebody else has seen.

    Old segments are dropped by design, so a chain may begin behind record 1; what is there must be unbroken. A file
    that the agent had to set aside is a fault: a chain that began anew behind it would look whole.
    """
    records = first = 0
    last = Head(0, GENESIS)
    seen = head is None or head == last
    if broken := set_aside(folder):
        return AuditReport(records, first, last, f"{broken[0].name}: could not be continued and was set aside")
    for place, line in lines_of(folder):
        try:
            record, signature = parse(line)
            seq = seq_of(record)
        except ValueError:
            return AuditReport(records, first, last, f"{place}: not a record")
        if not records:
            first = seq
            last = Head(seq - 1, str(record["prev"]) if seq > 1 else GENESIS)
        if seq != last.seq + 1 or record["prev"] != last.digest:
            return AuditReport(records, first, last, f"{place}: the chain is broken before record {seq}")
        if not signed(canonical(record), signature):
            return AuditReport(records, first, last, f"{place}: the signature of record {seq} is not the device's")
        last = Head(seq, digest_of(line))
        seen = seen or last == head
        records += 1
    fault = "" if seen else f"record {head} is known elsewhere and is not here: the end was cut off or rewritten"
    return AuditReport(records, first, last, fault)


def by_key(key: PublicKey) -> Verify:
    """A verifier of raw COSE signatures under `key`. It raises `trust.suite` for an SM2 key without the extra `gm`."""

    def signed(message: bytes, signature: bytes) -> bool:
        try:
            keys.verify(key, signature, message)
        except WireError as error:
            if error.fault is Fault.SUITE:
                raise RenzhengError("trust.suite", str(error)) from error
            return False
        return True

    return signed
