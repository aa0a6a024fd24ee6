"""Make `wire/sm2.json`: as make_wire.py, for a terminal whose device key is SM2. Needs the extra `gm`.

    python -m tests.protocol.vectors.make_sm2 tests/protocol/vectors/wire/sm2.json

The verdicts are those of an issuer that takes the suite. One that does not refuses every message of the file (`suite`).
"""

import secrets
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding

from agent.trust import identity
from agent.wire import claims, sm2
from agent.wire.chain import EVIDENCE
from agent.wire.epochs import Epoch
from agent.wire.keys import ES256, PublicKey, Signer, SoftwareSigner
from issuer import certificates, pki
from issuer.certificates import Subject
from tests.protocol.vectors.make_wire import AT, ISSUER, TERMINAL, document, write
from tests.protocol.wire_attacker import craft, reseal
from tests.protocol.wire_stack import holder


@dataclass(frozen=True)
class Named:
    """A signer that names another algorithm than it has."""

    real: Signer
    algorithm: int

    @property
    def public_key(self) -> PublicKey:
        return self.real.public_key

    def sign(self, message: bytes) -> bytes:
        return self.real.sign(message)


def make(root: Path) -> dict[str, Any]:
    """A deployment below `root`, and one message for each way in which the suite can be right or wrong."""
    layout = pki.create(root, ISSUER)
    # The sealing and trust folders of a P-256 terminal, and an SM2 key under the same authority.
    who = identity.load(pki.enroll(layout, TERMINAL))
    authority = certificates.load_authority(layout.authority("evidence"))
    mine, theirs = SoftwareSigner(sm2.new_key()), SoftwareSigner(sm2.new_key())

    def chain_of(terminal: str, key: PublicKey) -> tuple[bytes, ...]:
        leaf = certificates.issue(authority, Subject(terminal, who.attester.ueid.hex()), key, EVIDENCE)
        return (leaf.public_bytes(Encoding.DER),)

    chain = chain_of(TERMINAL, mine.public_key)
    epoch = Epoch(issuer=ISSUER, issued_at=AT, epoch_id=secrets.token_bytes(16), sequence=AT // 5, interval=5)
    vectors: list[dict[str, str]] = []

    def add(name: str, verdict: str, signed: bytes, request_id: bytes, person: bytes | None = None) -> None:
        entry = {"name": name, "kind": "request", "terminal": TERMINAL, "correlation": request_id.hex()}
        vectors.append({**entry, "data": reseal(signed, who, person).hex(), "verdict": verdict})

    request_id, person = secrets.token_bytes(16), holder().encode()
    digest = claims.holder_digest(person)
    signed, _ = craft(who, epoch, 7, request_id, signer=mine, chain=chain, holder_digest=digest)
    add("request", "ok", signed, request_id, person)
    bare, _ = craft(who, epoch, 8, request_id, signer=mine, chain=chain)
    add("request without holder", "ok", bare, request_id)
    add("broken signature", "signature", bare[:-1] + bytes([bare[-1] ^ 1]), request_id)
    add("changed claim", "signature", bare.replace(b"Utopia", b"Erewho"), request_id)
    borrowed, _ = craft(who, epoch, 9, request_id, signer=theirs, chain=chain)
    add("another SM2 key under this certificate", "signature", borrowed, request_id)
    stand_in, _ = craft(who, epoch, 9, request_id, signer=theirs, chain=chain_of("vector-2", theirs.public_key))
    add("another terminal's SM2 key", "context", stand_in, request_id)
    lower, _ = craft(who, epoch, 9, request_id, signer=Named(mine, ES256), chain=chain)
    add("header names ES256 over an SM2 key", "algorithm", lower, request_id)
    p256, _ = craft(who, epoch, 9, request_id, chain=chain)
    add("P-256 key under an SM2 certificate", "algorithm", p256, request_id)
    return document(layout, epoch, vectors)


if __name__ == "__main__":
    write(Path(sys.argv[1]), make)
