"""The test vectors: this code and an independent verifier in JavaScript come to the same verdict on each."""

import base64
import json
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cbor2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from agent.wire import chain, envelope, epochs, refusals
from agent.wire.envelope import Opened
from agent.wire.errors import Fault, WireError
from agent.wire.keys import KeyRing, PublicKey, thumbprint

HERE = Path(__file__).parent
FOLDER = HERE / "vectors" / "wire"
JAVASCRIPT = HERE / "js"
DISTID = "distid:1234567812345678"


def number(text: str) -> int:
    return int.from_bytes(base64.urlsafe_b64decode(text + "=="), "big")


def public_key(jwk: dict[str, str]) -> ec.EllipticCurvePublicKey:
    return ec.EllipticCurvePublicNumbers(number(jwk["x"]), number(jwk["y"]), ec.SECP256R1()).public_key()


class Deployment:
    """The keys of one file, and its vectors."""

    def __init__(self, name: str) -> None:
        self.file = FOLDER / name
        content: dict[str, Any] = json.loads(self.file.read_text("utf-8"))
        self.issuer: str = content["issuer"]
        self.epochs: list[str] = content["epochs"]
        self.vectors: list[dict[str, str]] = content["vectors"]
        self.at = datetime.fromtimestamp(content["at"], UTC)
        self.signing = KeyRing([public_key(content["keys"]["issuer_signing"])])
        self.sealing = ec.derive_private_key(number(content["keys"]["issuer_sealing"]["d"]), ec.SECP256R1())
        self.authority = x509.load_der_x509_certificate(bytes.fromhex(content["keys"]["evidence_authority"]))

    def open(self, vector: dict[str, str]) -> Opened:
        keys = {thumbprint(self.sealing.public_key()): self.sealing}
        data = bytes.fromhex(vector["data"])
        return envelope.unseal(data, keys, issuer=self.issuer, terminal=vector["terminal"])


WIRE, SM2 = Deployment("vectors.json"), Deployment("sm2.json")
ALL = [pytest.param(d, v, id=f"{d.file.stem}: {v['name']}") for d in (WIRE, SM2) for v in d.vectors]


def read_request(deployment: Deployment, vector: dict[str, str]) -> None:
    terminal = vector["terminal"]
    opened = deployment.open(vector)
    found: list[chain.Attester] = []

    def key_of(certificates: tuple[bytes, ...]) -> PublicKey:
        found.append(chain.attester(certificates, [deployment.authority], at=deployment.at))
        if found[0].terminal != terminal:
            raise WireError(Fault.CONTEXT, "another terminal's certificate")
        return found[0].public_key

    request = envelope.read_request(opened.signed, key_of, issuer=deployment.issuer, terminal=terminal)
    if request.ueid != found[0].ueid or request.request_id.hex() != vector["correlation"]:
        raise WireError(Fault.CONTEXT, "parts of two requests")
    envelope.read_holder(opened.holder, request)
    if request.epoch.hex() not in deployment.epochs:
        raise LookupError("epoch")


def read_epoch(deployment: Deployment, vector: dict[str, str]) -> None:
    epochs.verify(bytes.fromhex(vector["data"]), deployment.signing, deployment.issuer)


def read_decision(deployment: Deployment, vector: dict[str, str]) -> None:
    data, terminal = bytes.fromhex(vector["data"]), vector["terminal"]
    envelope.read_decision(data, deployment.signing, issuer=deployment.issuer, terminal=terminal)


READERS: dict[str, Callable[[Deployment, dict[str, str]], None]] = {
    "request": read_request,
    "epoch": read_epoch,
    "decision": read_decision,
}


def verdict(deployment: Deployment, vector: dict[str, str]) -> str:
    try:
        READERS[vector["kind"]](deployment, vector)
    except WireError as error:
        # For signed messages an unknown key and a broken signature are the same to the reader of the vectors.
        signed = vector["kind"] != "request" and error.fault is Fault.UNKNOWN_KEY
        return "signature" if signed else refusals.of_error(error).rsplit(".", 1)[1]
    except LookupError as error:
        return str(error.args[0])
    return "ok"


@pytest.mark.parametrize(("deployment", "vector"), ALL)
def test_a_vector_gets_its_verdict(deployment: Deployment, vector: dict[str, str]) -> None:
    assert verdict(deployment, vector) == vector["verdict"]


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed: `make test` installs it")
@pytest.mark.parametrize("vector", SM2.vectors[:3], ids=lambda vector: vector["name"])
def test_openssl_finds_the_same_of_an_sm2_signature(vector: dict[str, str], tmp_path: Path) -> None:
    """Nothing of ours but the seal: CBOR by cbor2, the certificate and the signature by OpenSSL."""
    header, _, payload, raw = cbor2.loads(SM2.open(vector).signed).value
    aad = cbor2.dumps(["renzheng", 1, "request", SM2.issuer, vector["terminal"]])
    (tmp_path / "message").write_bytes(cbor2.dumps(["Signature1", header, aad, payload]))
    (tmp_path / "leaf").write_bytes(cbor2.loads(header)[33])
    halves = (int.from_bytes(half, "big") for half in (raw[:32], raw[32:]))
    (tmp_path / "signature").write_bytes(encode_dss_signature(*halves))
    key = ["openssl", "x509", "-inform", "DER", "-in", "leaf", "-noout", "-pubkey", "-out", "key"]
    subprocess.run(key, cwd=tmp_path, check=True)
    check = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "key", "-sigfile", "signature", "-in", "message"]
    how = ["-rawin", "-digest", "sm3", "-pkeyopt", DISTID]
    done = subprocess.run([*check, *how], cwd=tmp_path, check=False, capture_output=True)
    assert (done.returncode == 0) == (vector["verdict"] == "ok")


@pytest.fixture(scope="module")
def javascript() -> Callable[[Deployment], dict[str, Any]]:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("node and npm are not installed: `make test` installs them")
    if not (JAVASCRIPT / "node_modules").is_dir():
        subprocess.run([npm, "ci", "--silent"], cwd=JAVASCRIPT, check=True, timeout=100)

    def judge(deployment: Deployment) -> dict[str, Any]:
        command = [node, "run.mjs", str(deployment.file)]
        done = subprocess.run(command, cwd=JAVASCRIPT, check=True, capture_output=True, timeout=60)
        results: dict[str, Any] = json.loads(done.stdout)
        return results

    return judge


def test_the_independent_verifier_comes_to_the_same_verdicts(
    javascript: Callable[[Deployment], dict[str, Any]],
) -> None:
    expected = {vector["name"]: vector["verdict"] for vector in WIRE.vectors}
    assert {name: result["verdict"] for name, result in javascript(WIRE).items()} == expected


def test_the_independent_verifier_reads_what_was_written(javascript: Callable[[Deployment], dict[str, Any]]) -> None:
    found = javascript(WIRE)
    assert found["request"]["says"] == {"counter": 7, "similarity": 0.8, "surname": "ERIKSSON"}
    assert found["decision"]["says"] == {"outcome": "refused", "reasons": ["face.mismatch"]}
    assert found["epoch"]["says"]["epoch"] in WIRE.epochs


def test_an_independent_verifier_without_the_suite_refuses_all_of_it(
    javascript: Callable[[Deployment], dict[str, Any]],
) -> None:
    assert {result["verdict"] for result in javascript(SM2).values()} == {"suite"}


def test_the_vectors_hold_every_reason_that_a_message_can_be_refused_for() -> None:
    told = {vector["verdict"] for vector in WIRE.vectors + SM2.vectors}
    assert {"ok", "algorithm", "malformed", "version", "signature", "seal", "chain", "context", "epoch"} <= told


def test_the_lock_file_names_no_registry() -> None:
    lock = (JAVASCRIPT / "package-lock.json").read_text("utf-8")
    assert '"resolved"' not in lock
    assert lock.count('"integrity"') >= 3
