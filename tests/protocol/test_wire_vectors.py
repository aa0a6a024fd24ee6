"""The test vectors: this code and an independent verifier in JavaScript come to the same verdict on each."""

import base64
import json
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from agent.wire import chain, envelope, epochs, refusals
from agent.wire.errors import Fault, WireError
from agent.wire.keys import KeyRing, PublicKey, thumbprint

HERE = Path(__file__).parent
FILE = HERE / "vectors" / "wire" / "vectors.json"
JAVASCRIPT = HERE / "js"
VECTORS: dict[str, Any] = json.loads(FILE.read_text("utf-8"))
NAMES = [vector["name"] for vector in VECTORS["vectors"]]


def number(text: str) -> int:
    return int.from_bytes(base64.urlsafe_b64decode(text + "=="), "big")


def public_key(jwk: dict[str, str]) -> ec.EllipticCurvePublicKey:
    return ec.EllipticCurvePublicNumbers(number(jwk["x"]), number(jwk["y"]), ec.SECP256R1()).public_key()


SIGNING = KeyRing([public_key(VECTORS["keys"]["issuer_signing"])])
SEALING = ec.derive_private_key(number(VECTORS["keys"]["issuer_sealing"]["d"]), ec.SECP256R1())
AUTHORITY = x509.load_der_x509_certificate(bytes.fromhex(VECTORS["keys"]["evidence_authority"]))
AT = datetime.fromtimestamp(VECTORS["at"], UTC)


def read_request(vector: dict[str, str], data: bytes) -> None:
    issuer, terminal = VECTORS["issuer"], vector["terminal"]
    keys = {thumbprint(SEALING.public_key()): SEALING}
    opened = envelope.unseal(data, keys, issuer=issuer, terminal=terminal)
    found: list[chain.Attester] = []

    def key_of(certificates: tuple[bytes, ...]) -> PublicKey:
        found.append(chain.attester(certificates, [AUTHORITY], at=AT))
        if found[0].terminal != terminal:
            raise WireError(Fault.CONTEXT, "another terminal's certificate")
        return found[0].public_key

    request = envelope.read_request(opened.signed, key_of, issuer=issuer, terminal=terminal)
    if request.ueid != found[0].ueid or request.request_id.hex() != vector["correlation"]:
        raise WireError(Fault.CONTEXT, "parts of two requests")
    envelope.read_holder(opened.holder, request)
    if request.epoch.hex() not in VECTORS["epochs"]:
        raise LookupError("epoch")


def read_epoch(_vector: dict[str, str], data: bytes) -> None:
    epochs.verify(data, SIGNING, VECTORS["issuer"])


def read_decision(vector: dict[str, str], data: bytes) -> None:
    envelope.read_decision(data, SIGNING, issuer=VECTORS["issuer"], terminal=vector["terminal"])


READERS: dict[str, Callable[[dict[str, str], bytes], None]] = {
    "request": read_request,
    "epoch": read_epoch,
    "decision": read_decision,
}


def verdict(vector: dict[str, str]) -> str:
    try:
        READERS[vector["kind"]](vector, bytes.fromhex(vector["data"]))
    except WireError as error:
        # For signed messages an unknown key and a broken signature are the same to the reader of the vectors.
        signed = vector["kind"] != "request" and error.fault is Fault.UNKNOWN_KEY
        return "signature" if signed else refusals.of_error(error).rsplit(".", 1)[1]
    except LookupError as error:
        return str(error.args[0])
    return "ok"


@pytest.mark.parametrize("vector", VECTORS["vectors"], ids=NAMES)
def test_a_vector_gets_its_verdict(vector: dict[str, str]) -> None:
    assert verdict(vector) == vector["verdict"]


@pytest.fixture(scope="module")
def javascript() -> dict[str, Any]:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("node and npm are not installed: `make test` installs them")
    if not (JAVASCRIPT / "node_modules").is_dir():
        subprocess.run([npm, "ci", "--silent"], cwd=JAVASCRIPT, check=True, timeout=100)
    done = subprocess.run([node, "run.mjs", FILE], cwd=JAVASCRIPT, check=True, capture_output=True, timeout=60)
    results: dict[str, Any] = json.loads(done.stdout)
    return results


def test_the_independent_verifier_comes_to_the_same_verdicts(javascript: dict[str, Any]) -> None:
    expected = {vector["name"]: vector["verdict"] for vector in VECTORS["vectors"]}
    assert {name: result["verdict"] for name, result in javascript.items()} == expected


def test_the_independent_verifier_reads_what_was_written(javascript: dict[str, Any]) -> None:
    assert javascript["request"]["says"] == {"counter": 7, "similarity": 0.8, "surname": "ERIKSSON"}
    assert javascript["decision"]["says"] == {"outcome": "refused", "reasons": ["face.mismatch"]}
    assert javascript["epoch"]["says"]["epoch"] in VECTORS["epochs"]


def test_the_vectors_hold_every_reason_that_a_message_can_be_refused_for() -> None:
    told = {vector["verdict"] for vector in VECTORS["vectors"]}
    assert {"ok", "malformed", "version", "signature", "seal", "chain", "context", "epoch"} <= told


def test_the_lock_file_names_no_registry() -> None:
    lock = (JAVASCRIPT / "package-lock.json").read_text("utf-8")
    assert '"resolved"' not in lock
    assert lock.count('"integrity"') >= 3
