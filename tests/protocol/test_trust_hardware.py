"""The device key in a TPM (swtpm) and on a token (SoftHSM2): it signs what the contract takes, and never leaves."""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.configuration.schema import Identity
from agent.provisioning import keys
from agent.provisioning.keys import KeyWish
from agent.trust import pkcs11_key, tpm_key
from agent.trust.errors import TrustError
from agent.wire import cose
from agent.wire.cose import Context
from agent.wire.keys import ES256, Signer
from tests.protocol.wire_stack import free_port

CONTEXT = Context("request", "test-issuer", "lobby-1")
HANDLE = 0x81010001
SOFTHSM = next((path for path in Path("/usr/lib").glob("**/softhsm/libsofthsm2.so")), None)


@pytest.fixture(scope="module")
def tpm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if shutil.which("swtpm") is None:
        pytest.skip("swtpm is not installed: `make test` installs it")
    state, (port, control) = tmp_path_factory.mktemp("tpm"), _two_ports()
    command = [
        *("swtpm", "socket", "--tpm2", "--tpmstate", f"dir={state}", "--flags", "not-need-init,startup-clear"),
        *("--server", f"type=tcp,port={port},bindaddr=127.0.0.1"),
        *("--ctrl", f"type=tcp,port={control},bindaddr=127.0.0.1"),
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(control)
        yield f"swtpm:host=127.0.0.1,port={port}"
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    if SOFTHSM is None or shutil.which("softhsm2-util") is None:
        pytest.skip("softhsm2 is not installed: `make test` installs it")
    folder = tmp_path_factory.mktemp("token")
    (folder / "tokens").mkdir()
    (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder / 'tokens'}\nobjectstore.backend = file\n")
    (folder / "pin").write_text("1234\n")
    before = os.environ.get("SOFTHSM2_CONF")
    os.environ["SOFTHSM2_CONF"] = str(folder / "softhsm2.conf")
    make = ["softhsm2-util", "--init-token", "--free", "--label", "terminal", "--pin", "1234", "--so-pin", "4321"]
    subprocess.run(make, check=True, capture_output=True)
    try:
        yield folder / "pin"
    finally:
        if before is None:
            del os.environ["SOFTHSM2_CONF"]


def holds(signer: Signer) -> None:
    assert signer.algorithm == ES256
    for number in range(20):
        payload = number.to_bytes(4, "big")
        signed = cose.sign(payload, signer, CONTEXT)
        assert cose.verify(signed, signer.public_key, CONTEXT, limit=10_000) == payload


def test_a_key_in_the_tpm_signs(tpm: str) -> None:
    made = tpm_key.create(HANDLE, tpm)
    try:
        holds(made)
    finally:
        made.close()
    again = tpm_key.TpmSigner(HANDLE, tpm)
    try:
        assert again.public_key == made.public_key
        holds(again)
    finally:
        again.close()


def test_a_handle_that_is_taken_is_not_overwritten(tpm: str) -> None:
    with pytest.raises(TrustError, match="already"):
        tpm_key.create(HANDLE, tpm)


def test_two_keys_in_one_tpm_are_different(tpm: str) -> None:
    first, second = tpm_key.create(HANDLE + 1, tpm), None
    first.close()
    second = tpm_key.create(HANDLE + 2, tpm)
    second.close()
    assert first.public_key != second.public_key


@pytest.mark.parametrize("tcti", ["device:/dev/no-tpm-here", "nonsense"])
def test_a_tpm_that_is_not_there_is_told(tcti: str) -> None:
    with pytest.raises(TrustError) as failed:
        tpm_key.TpmSigner(HANDLE, tcti)
    assert failed.value.code == "trust.key"


def test_a_handle_without_a_key_is_told(tpm: str) -> None:
    with pytest.raises(TrustError, match="no usable key"):
        tpm_key.TpmSigner(0x81020000, tpm)


def test_provisioning_finds_the_key_that_an_earlier_attempt_made_in_the_tpm(tpm: str, tmp_path: Path) -> None:
    wish = KeyWish(kind="tpm", tcti=tpm, handle=0x81010042)
    made = keys.signer(wish, tmp_path, make=True)
    again = keys.signer(wish, tmp_path, make=True)
    assert again.public_key == made.public_key
    assert list(tmp_path.iterdir()) == []
    assert not keys.place(wish, tmp_path).copyable
    # What the settings will say leads back to it.
    settings = Identity.model_validate({"folder": tmp_path, "key": keys.place(wish, tmp_path).settings})
    assert keys.of_settings(settings) == wish
    with pytest.raises(TrustError):
        keys.signer(KeyWish(kind="tpm", tcti=tpm, handle=0x81010043), tmp_path, make=False)


def test_a_key_on_a_token_signs(token: Path) -> None:
    assert SOFTHSM is not None
    made = pkcs11_key.create(SOFTHSM, "terminal", "device", token)
    try:
        holds(made)
    finally:
        made.close()
    again = pkcs11_key.Pkcs11Signer(SOFTHSM, "terminal", "device", token)
    try:
        assert again.public_key == made.public_key
        holds(again)
    finally:
        again.close()


def test_what_is_wrong_with_a_token_is_told(token: Path, tmp_path: Path) -> None:
    assert SOFTHSM is not None
    wrong = tmp_path / "pin"
    wrong.write_text("9999\n")
    with pytest.raises(TrustError, match="No key matching"):
        pkcs11_key.Pkcs11Signer(SOFTHSM, "terminal", "absent", token)
    with pytest.raises(TrustError, match="No token matching"):
        pkcs11_key.Pkcs11Signer(SOFTHSM, "absent", "device", token)
    with pytest.raises(TrustError, match="gives no PIN"):
        pkcs11_key.Pkcs11Signer(SOFTHSM, "terminal", "device", tmp_path / "absent")
    with pytest.raises(TrustError, match="no PKCS#11 library"):
        pkcs11_key.Pkcs11Signer(tmp_path / "absent.so", "terminal", "device", token)
    with pytest.raises(TrustError, match="PinIncorrect"):
        pkcs11_key.Pkcs11Signer(SOFTHSM, "terminal", "device", wrong)


def test_a_label_that_is_taken_is_not_overwritten(token: Path) -> None:
    assert SOFTHSM is not None
    pkcs11_key.create(SOFTHSM, "terminal", "twice", token).close()
    with pytest.raises(TrustError, match="already"):
        pkcs11_key.create(SOFTHSM, "terminal", "twice", token)


def _two_ports() -> tuple[int, int]:
    """TSS2 expects the control port right after the server's."""
    while True:
        port = free_port()
        with socket.socket() as following, contextlib.suppress(OSError):
            following.bind(("127.0.0.1", port + 1))
            return port, port + 1


def _wait_for(port: int) -> None:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise TimeoutError("swtpm does not listen")
