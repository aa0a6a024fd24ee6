"""Make `wire/vectors.json`: keys, messages and verdicts, for whoever writes an issuer or a terminal from the contract.

    python -m tests.protocol.vectors.make_wire tests/protocol/vectors/wire/vectors.json

The keys are made for this file and guard nothing. Signatures and seals are randomised: every run makes other bytes
with the same verdicts, so the file is made when the contract changes and at no other time.
"""

import base64
import json
import secrets
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from agent.trust import identity
from agent.wire import bounded, claims, cose, envelope, epochs
from agent.wire.claims import Decision
from agent.wire.epochs import Epoch
from agent.wire.keys import SoftwareSigner
from agent.wire.message import VERSION_KEY
from issuer import certificates, pki, verifier
from issuer.layout import Layout
from tests.protocol.wire_attacker import craft, reseal
from tests.protocol.wire_stack import holder

ISSUER = "vector-issuer"
TERMINAL = "vector-1"
#: The moment that the verdicts are for: when the certificates were made.
AT = int(time.time())


def jwk(key: ec.EllipticCurvePrivateKey, *, private: bool) -> dict[str, str]:
    numbers = key.private_numbers()
    point = numbers.public_numbers
    values = {"x": point.x, "y": point.y} | ({"d": numbers.private_value} if private else {})
    encoded = {k: base64.urlsafe_b64encode(v.to_bytes(32, "big")).rstrip(b"=").decode() for k, v in values.items()}
    return {"kty": "EC", "crv": "P-256", **encoded}


def make(root: Path) -> dict[str, Any]:
    """A deployment below `root`, its keys, and one message for each way in which it can be right or wrong."""
    layout = pki.create(root, ISSUER)
    who = identity.load(pki.enroll(layout, TERMINAL))
    other = identity.load(pki.enroll(layout, "vector-2"))
    keys = verifier.load_keys(layout)
    epoch = Epoch(issuer=ISSUER, issued_at=AT, epoch_id=secrets.token_bytes(16), sequence=AT // 5, interval=5)
    vectors: list[dict[str, str]] = []

    def request(name: str, verdict: str, sealed: bytes, request_id: bytes, terminal: str = TERMINAL) -> None:
        entry = {"name": name, "kind": "request", "terminal": terminal, "correlation": request_id.hex()}
        vectors.append({**entry, "data": sealed.hex(), "verdict": verdict})

    request_id = secrets.token_bytes(16)
    person = holder().encode()
    signed, made = craft(who, epoch, 7, request_id, holder_digest=claims.holder_digest(person))
    request("request", "ok", reseal(signed, who, person), request_id)
    bare, _ = craft(who, epoch, 8, request_id)
    request("request without holder", "ok", reseal(bare, who), request_id)
    newer = bounded.encode({VERSION_KEY: [1, 7], -75099: "of a later version", **made.to_map()})
    own = envelope.request_context(ISSUER, TERMINAL)
    request(
        "newer minor version", "ok", reseal(cose.sign(newer, who.signer, own, chain=who.chain), who, person), request_id
    )
    major = bounded.encode({VERSION_KEY: [2, 0], **made.to_map()})
    request(
        "newer major version", "version", reseal(cose.sign(major, who.signer, own, chain=who.chain), who), request_id
    )
    smuggled = bounded.encode({VERSION_KEY: [1, 0], -75099: "unknown", **made.to_map()})
    request(
        "unknown claim", "malformed", reseal(cose.sign(smuggled, who.signer, own, chain=who.chain), who), request_id
    )
    request("broken signature", "signature", reseal(signed[:-1] + bytes([signed[-1] ^ 1]), who, person), request_id)
    request("changed claim", "signature", reseal(signed.replace(b"Utopia", b"Erewho"), who, person), request_id)
    sealed = bytearray(reseal(signed, who, person))
    sealed[-1] ^= 1
    request("broken seal", "seal", bytes(sealed), request_id)
    stranger = ec.generate_private_key(ec.SECP256R1())
    request(
        "sealed to another", "seal", cose.encrypt(claims.pack(signed, person), stranger.public_key(), own), request_id
    )
    request("other terminal's topic", "seal", reseal(signed, who, person), request_id, "vector-2")
    request(
        "resealed for another terminal",
        "context",
        reseal(signed, who, person, terminal="vector-2"),
        request_id,
        "vector-2",
    )
    request("other correlation", "context", reseal(signed, who, person), secrets.token_bytes(16))
    spliced = holder().model_copy(update={"document_number": "X00000000"}).encode()
    request("spliced holder", "context", reseal(signed, who, spliced), request_id)
    request("missing holder", "context", reseal(signed, who), request_id)
    stand_in, _ = craft(who, epoch, 9, request_id, signer=other.signer, chain=other.chain)
    request("another terminal's key", "context", reseal(stand_in, who), request_id)
    borrowed, _ = craft(who, epoch, 9, request_id, signer=other.signer)
    request("another's key under this certificate", "signature", reseal(borrowed, who), request_id)
    tls = certificates.load_certificate(who.tls_certificate.with_suffix(""))
    tls_signer = SoftwareSigner(certificates.load_key(who.tls_key.with_suffix("")))
    wrong_use, _ = craft(who, epoch, 9, request_id, signer=tls_signer, chain=(tls.public_bytes(Encoding.DER),))
    request("TLS certificate as evidence", "chain", reseal(wrong_use, who), request_id)
    old, _ = craft(who, epoch, 9, request_id, epoch=secrets.token_bytes(16))
    request("other epoch", "epoch", reseal(old, who), request_id)
    request("unsealed", "malformed", signed, request_id)
    request("noise", "malformed", secrets.token_bytes(64), request_id)

    def signed_message(name: str, kind: str, verdict: str, data: bytes) -> None:
        vectors.append({"name": name, "kind": kind, "terminal": TERMINAL, "data": data.hex(), "verdict": verdict})

    signed_message("epoch", "epoch", "ok", epochs.sign(epoch, keys.signing))
    signed_message("epoch by a stranger", "epoch", "signature", epochs.sign(epoch, SoftwareSigner(stranger)))
    decision = Decision(
        issuer=ISSUER,
        terminal=TERMINAL,
        issued_at=AT + 1,
        decision_id=secrets.token_bytes(16),
        epoch=epoch.epoch_id,
        request_id=request_id,
        request_digest=claims.request_digest(signed),
        outcome="refused",
        reasons=("face.mismatch",),
    )
    signed_message("decision", "decision", "ok", envelope.sign_decision(decision, keys.signing))
    elsewhere = decision.model_copy(update={"terminal": "vector-2"})
    signed_message("decision for another", "decision", "signature", envelope.sign_decision(elsewhere, keys.signing))
    forged = envelope.sign_decision(decision, SoftwareSigner(stranger))
    signed_message("decision by a stranger", "decision", "signature", forged)
    signed_message("epoch as a decision", "decision", "signature", epochs.sign(epoch, keys.signing))
    return document(layout, epoch, vectors)


def document(layout: Layout, epoch: Epoch, vectors: list[dict[str, str]]) -> dict[str, Any]:
    """The file: a deployment's keys and what was made with them."""
    authority = certificates.load_certificate(layout.authority("evidence"))
    return {
        "note": "By make_wire.py; the keys guard nothing. A verdict is 'ok' or the last word of the refusal's code.",
        "issuer": ISSUER,
        "at": AT,
        "epochs": [epoch.epoch_id.hex()],
        "keys": {
            "issuer_signing": jwk(certificates.load_key(layout.key("signing")), private=False),
            "issuer_sealing": jwk(certificates.load_key(layout.key("sealing")), private=True),
            "evidence_authority": authority.public_bytes(Encoding.DER).hex(),
        },
        "vectors": vectors,
    }


def write(path: Path, make: Callable[[Path], dict[str, Any]]) -> None:
    """Make a deployment in a folder of its own, and the file of its messages."""
    with tempfile.TemporaryDirectory() as folder:
        made = make(Path(folder) / "issuer")
    path.write_text(json.dumps(made, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]), make)
