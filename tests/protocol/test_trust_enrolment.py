"""Becoming known to an issuer: a code works once and at its own server; renewed certificates must prove themselves."""

import asyncio
import base64
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from agent.trust import enrolment, file_key, identity
from agent.trust.errors import TrustError
from agent.trust.request import certification_request
from issuer import enrolment as at_issuer
from issuer import pki, store
from issuer.errors import IssuerError
from issuer.layout import Layout
from tests.protocol.wire_stack import Stack, evidence, free_port, listens, needs_broker, stack, terminal

pytestmark = needs_broker


@contextlib.contextmanager
def serving(root: Path) -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "issuer.cli", "provisioning", str(root), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 15
        while not listens(port):
            assert time.monotonic() < end, "the provisioning service does not listen"
            time.sleep(0.05)
        yield f"https://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with stack(tmp_path_factory.mktemp("enrolment") / "issuer", suites='["ES256", "EdDSA", "SM2"]') as made:
        yield made


@pytest.fixture(scope="module")
def url(deployment: Stack) -> Iterator[str]:
    with serving(deployment.root) as made:
        yield made


def code_for(layout: Layout, name: str, lifetime: int = 600) -> enrolment.Code:
    with store.opened(store.sqlite_url(layout.database)) as engine:
        return enrolment.read_code(at_issuer.new_code(layout, engine, name, lifetime))


@pytest.mark.parametrize("kind", ["ES256", "EdDSA"])
def test_a_request_for_a_certificate_names_its_key(tmp_path: Path, kind: str) -> None:
    signer = file_key.create(tmp_path / "key", kind=kind)
    request = x509.load_pem_x509_csr(certification_request(signer, "lobby-1"))
    assert request.is_signature_valid
    assert request.public_key() == signer.public_key
    assert request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "lobby-1"


@pytest.mark.parametrize("kind", ["ES256", "EdDSA", "SM2"])
async def test_a_terminal_enrols_with_a_code_and_is_then_believed(
    deployment: Stack, url: str, tmp_path: Path, kind: str
) -> None:
    signer = file_key.create(tmp_path / "device.key", kind=kind)
    name = f"field-{kind}"
    assert enrolment.enrol(url, code_for(deployment.layout, name), tmp_path, signer) == name
    assert (tmp_path / "tls.key").stat().st_mode & 0o077 == 0
    async with terminal(tmp_path, deployment.url) as lobby:
        assert (await lobby.verify(evidence())).accepted


def refused(url: str, code: enrolment.Code, folder: Path) -> str:
    with pytest.raises(TrustError) as failed:
        enrolment.enrol(url, code, folder, file_key.create(folder / "device.key"))
    assert not (folder / "device.pem").exists()
    return failed.value.code


def test_a_code_works_once(deployment: Stack, url: str, tmp_path: Path) -> None:
    code = code_for(deployment.layout, "once")
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    enrolment.enrol(url, code, tmp_path / "first", file_key.create(tmp_path / "first" / "device.key"))
    assert refused(url, code, tmp_path / "second") == "provision.refused"


def test_a_terminal_whose_answer_was_lost_enrols_again_with_the_same_key(
    deployment: Stack, url: str, tmp_path: Path
) -> None:
    signer = file_key.create(tmp_path / "device.key")
    asked = json.loads(enrolment.request_by_hand(tmp_path, signer))
    with store.opened(store.sqlite_url(deployment.layout.database)) as engine:
        lost = code_for(deployment.layout, "lost-answer")
        at_issuer.enrol(deployment.layout, engine, lost.secret, asked["device"].encode(), asked["tls"].encode())
    assert enrolment.enrol(url, code_for(deployment.layout, "lost-answer"), tmp_path, signer) == "lost-answer"
    # The key of one terminal is never another's.
    with pytest.raises(TrustError) as failed:
        enrolment.enrol(url, code_for(deployment.layout, "another-name"), tmp_path, signer)
    assert failed.value.code == "provision.refused"


def test_a_code_is_not_used_up_by_an_issuer_that_cannot_answer(deployment: Stack, url: str, tmp_path: Path) -> None:
    code = code_for(deployment.layout, "unanswered")
    settings = deployment.layout.site_settings
    written = settings.read_bytes()
    settings.write_text("not TOML [")
    try:
        assert refused(url, code, tmp_path) == "provision.refused"
    finally:
        settings.write_bytes(written)
    assert enrolment.enrol(url, code, tmp_path, file_key.load(tmp_path / "device.key")) == "unanswered"


def test_a_code_that_is_over_is_refused(deployment: Stack, url: str, tmp_path: Path) -> None:
    assert refused(url, code_for(deployment.layout, "late", lifetime=-1), tmp_path) == "provision.refused"


def test_a_guessed_secret_is_refused(deployment: Stack, url: str, tmp_path: Path) -> None:
    real = code_for(deployment.layout, "guessed")
    assert refused(url, enrolment.Code(bytes(10), real.pin), tmp_path) == "provision.refused"


def test_a_code_is_never_told_to_another_server(deployment: Stack, url: str, tmp_path: Path) -> None:
    rogue = pki.create(tmp_path / "rogue", "test-issuer")
    code = code_for(deployment.layout, "intercepted")
    (tmp_path / "terminal").mkdir()
    with serving(rogue.root) as elsewhere:
        assert refused(elsewhere, code, tmp_path / "terminal") == "provision.pin"
    (tmp_path / "terminal" / "device.key").unlink()
    # The secret did not leave the terminal: the code is still good at its own server.
    signer = file_key.create(tmp_path / "terminal" / "device.key")
    assert enrolment.enrol(url, code, tmp_path / "terminal", signer) == "intercepted"


def test_a_service_that_is_not_there_is_told(deployment: Stack, tmp_path: Path) -> None:
    nowhere = f"https://127.0.0.1:{free_port()}"
    assert refused(nowhere, code_for(deployment.layout, "nowhere"), tmp_path) == "provision.unreachable"


@pytest.mark.parametrize("url", ["http://127.0.0.1", "https://", "https://h:99999", "https://[::1", "https://a..b"])
def test_what_is_no_issuers_url_is_told(tmp_path: Path, url: str) -> None:
    assert refused(url, enrolment.Code(bytes(10), bytes(10)), tmp_path) == "provision.unreachable"


@pytest.mark.parametrize("text", ["", "ABCD", "A" * 31, "1" * 32, base64.b32encode(bytes(25)).decode(), "é" * 32])
def test_a_mistyped_code_is_told(text: str) -> None:
    with pytest.raises(TrustError) as failed:
        enrolment.read_code(text)
    assert failed.value.code == "provision.code"


def test_a_code_forgives_small_letters_and_spaces() -> None:
    letters = base64.b32encode(bytes(range(20))).decode()
    spoken = " ".join(letters[i : i + 4].lower() for i in range(0, 32, 4))
    assert enrolment.read_code(spoken).secret == bytes(range(10))


def test_renewed_certificates_count_only_after_they_connected(deployment: Stack, url: str, tmp_path: Path) -> None:
    signer = file_key.create(tmp_path / "device.key")
    enrolment.enrol(url, code_for(deployment.layout, "renewing"), tmp_path, signer)
    before = identity.load(tmp_path).attester.serial
    command = [sys.executable, "-c", "from agent.cli.main import main; main()", "provision", "--issuer", url, "--renew"]
    command += ["--folder", str(tmp_path), "--broker"]
    early = subprocess.run([*command, deployment.url, "--within", "30"], check=True, capture_output=True, text=True)
    assert "nothing to do" in early.stdout
    assert identity.load(tmp_path).attester.serial == before
    nobody = subprocess.run([*command, f"mqtts://127.0.0.1:{free_port()}"], check=False, capture_output=True, text=True)
    assert nobody.returncode == 1
    assert "broker.unreachable" in nobody.stderr
    assert identity.load(tmp_path).attester.serial == before
    subprocess.run([*command, deployment.url], check=True, capture_output=True)
    assert identity.load(tmp_path).attester.serial != before
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".new")]

    async def verified() -> bool:
        async with terminal(tmp_path, deployment.url) as lobby:
            return (await lobby.verify(evidence())).accepted

    assert asyncio.run(verified())


def test_a_terminal_without_a_network_enrols_by_hand(deployment: Stack, tmp_path: Path) -> None:
    at_terminal = [
        sys.executable,
        "-c",
        "from agent.cli.main import main; main()",
        "provision",
        "--folder",
        str(tmp_path / "id"),
    ]
    at_office = [sys.executable, "-m", "issuer.cli", "sign", str(deployment.root), "by-hand", str(tmp_path / "request")]
    subprocess.run([*at_terminal, "--request", str(tmp_path / "request")], check=True, capture_output=True)
    subprocess.run([*at_office, "-o", str(tmp_path / "answer")], check=True, capture_output=True)
    accepted = [*at_terminal, "--identity-only", "--accept", str(tmp_path / "answer")]
    subprocess.run(accepted, check=True, capture_output=True)

    async def verified() -> bool:
        async with terminal(tmp_path / "id", deployment.url) as lobby:
            return (await lobby.verify(evidence())).accepted

    assert asyncio.run(verified())


def test_an_answer_for_another_terminal_is_not_taken(deployment: Stack, tmp_path: Path) -> None:
    signers = {}
    for name in ("mine", "theirs"):
        (tmp_path / name).mkdir()
        signers[name] = file_key.create(tmp_path / name / "device.key")
    asked = json.loads(enrolment.request_by_hand(tmp_path / "theirs", signers["theirs"]))
    with store.opened(store.sqlite_url(deployment.layout.database)) as engine:
        answer = at_issuer.sign(deployment.layout, engine, "theirs", asked["device"].encode(), asked["tls"].encode())
    with pytest.raises(TrustError) as failed:
        enrolment.accept(json.dumps(answer).encode(), tmp_path / "mine", signers["mine"])
    assert failed.value.code == "trust.certificate"
    assert not (tmp_path / "mine" / "device.pem").exists()
    with pytest.raises(TrustError) as failed:
        enrolment.accept(b"nonsense", tmp_path / "mine", signers["mine"])
    assert failed.value.code == "provision.refused"


def test_a_revoked_terminal_cannot_renew(deployment: Stack, url: str, tmp_path: Path) -> None:
    signer = file_key.create(tmp_path / "device.key")
    enrolment.enrol(url, code_for(deployment.layout, "revoked"), tmp_path, signer)
    with store.opened(store.sqlite_url(deployment.layout.database)) as engine:
        store.revoke(engine, "revoked")
    with pytest.raises(TrustError) as failed:
        enrolment.renew(url, tmp_path, signer)
    assert failed.value.code == "provision.refused"
    with pytest.raises(IssuerError, match="is revoked"):
        code_for(deployment.layout, "revoked")
