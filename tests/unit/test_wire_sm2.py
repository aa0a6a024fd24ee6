"""SM2 with SM3: the standard's own example, and OpenSSL's command line on the other side of every format."""

import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding

from agent.trust import file_key
from agent.trust.errors import TrustError
from agent.trust.request import certification_request
from agent.wire import chain, keys, sm2
from agent.wire.errors import Fault, WireError
from agent.wire.keys import Signer, SoftwareSigner
from issuer import certificates
from issuer.certificates import Subject

DISTID = "distid:1234567812345678"
OPENSSL = shutil.which("openssl")
needs_openssl = pytest.mark.skipif(not OPENSSL, reason="openssl is not installed: `make test` installs it")
UEID = "01" + "5a" * 16

# GB/T 32918.5-2017, annex A: the key, the message and the signature of its example on the recommended curve.
SECRET = 0x3945208F7B2144B13F36E38AC6D39F9588939369_2860B51A42FB81EF4DF7C5B8
PUBLIC = (
    0x09F9DF311E5421A150DD7D161E4BC5C672179FAD1833FC076BB08FF356F35020,
    0xCCEA490CE26775A52DC6EA718CC1AA600AED05FBF35E084A6632F6072DA9AD13,
)
MESSAGE = b"message digest"
SIGNATURE = bytes.fromhex(
    "F5A03B0648D2C4630EEAC513E1BB81A15944DA3827D5B74143AC7EACEEE720B3"
    "B1B6AA29DF212FD8763182BC0D421CA1BB9038FD1F7F42D4840B69C485BBC1AA"
)


def openssl(*arguments: object) -> bytes:
    return subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True).stdout


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return file_key.create(tmp_path / "made.key", kind="SM2")


def test_the_signature_of_the_standard_holds() -> None:
    key = sm2.private_key(SECRET)
    assert (key.public.x, key.public.y) == PUBLIC
    key.public.verify(SIGNATURE, MESSAGE)


def test_a_signature_holds_for_its_message_and_its_key_alone(signer: Signer) -> None:
    signature = signer.sign(MESSAGE)
    keys.verify(signer.public_key, signature, MESSAGE)
    for wrong, message in [
        (SIGNATURE, MESSAGE),
        (signature, MESSAGE + b"."),
        (signature[:-1], MESSAGE),
        (bytes(64), MESSAGE),
        (sm2.ORDER.to_bytes(32, "big") * 2, MESSAGE),
        (signature[:32] + (sm2.ORDER - int.from_bytes(signature[:32], "big")).to_bytes(32, "big"), MESSAGE),
    ]:
        with pytest.raises(WireError) as refused:
            keys.verify(signer.public_key, wrong, message)
        assert refused.value.fault is Fault.SIGNATURE


def test_two_signatures_of_one_message_differ(signer: Signer) -> None:
    assert signer.sign(MESSAGE) != signer.sign(MESSAGE)


def test_the_length_of_a_nonce_does_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    curve = sm2._library()[1]
    lengths, multiply = set(), curve.ec.mul

    def noted(multiplier: int, point: tuple[int, int]) -> object:
        lengths.add(multiplier.bit_length())
        return multiply(multiplier, point)

    monkeypatch.setattr(curve.ec, "mul", noted)
    for k in (1, 2, 2**20, SECRET, sm2.ORDER - 2):
        assert sm2.private_key(k).public.spki()
    assert curve.kG(1) == curve.G
    assert lengths == {sm2.ORDER.bit_length() + 1}


def test_only_a_point_of_the_curve_is_a_public_key() -> None:
    good = sm2.private_key(SECRET).public.spki()
    assert sm2.public_key(good).spki() == good
    beyond = good[:27] + b"\xff" * 64
    p256 = keys.spki(certificates.new_key().public_key())
    for wrong in (good[:-1], good + b"\0", good[:-1] + bytes([good[-1] ^ 1]), bytes(len(good)), beyond, p256, b""):
        with pytest.raises(WireError) as refused:
            sm2.public_key(wrong)
        assert refused.value.fault is Fault.ALGORITHM


def test_a_private_key_is_in_its_range() -> None:
    for secret in (0, sm2.ORDER - 1, sm2.ORDER, -1):
        with pytest.raises(ValueError, match="private key"):
            sm2.private_key(secret)


def test_the_name_of_a_key_is_unlike_that_of_a_p256_key_with_the_same_numbers() -> None:
    named = keys.cose_key(sm2.private_key(SECRET).public)
    assert named[-1] == sm2.CURVE < -65536
    assert keys.algorithm_of(sm2.private_key(SECRET).public) == sm2.SM2_SM3 < -65536


@needs_openssl
def test_openssl_takes_our_signature_and_we_take_its(signer: Signer, tmp_path: Path) -> None:
    message, signature, public = tmp_path / "message", tmp_path / "signature", tmp_path / "public.pem"
    message.write_bytes(bytes(range(256)) * 6)
    public.write_bytes(openssl("pkey", "-in", tmp_path / "made.key", "-pubout"))
    raw = signer.sign(message.read_bytes())
    signature.write_bytes(encode_dss_signature(*(int.from_bytes(half, "big") for half in (raw[:32], raw[32:]))))
    how = ("-rawin", "-digest", "sm3", "-pkeyopt", DISTID, "-in", message)
    openssl("pkeyutl", "-verify", "-pubin", "-inkey", public, "-sigfile", signature, *how)
    r, s = decode_dss_signature(openssl("pkeyutl", "-sign", "-inkey", tmp_path / "made.key", *how))
    keys.verify(signer.public_key, r.to_bytes(32, "big") + s.to_bytes(32, "big"), message.read_bytes())


@needs_openssl
def test_a_key_that_openssl_made_is_read_and_its_request_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "openssl.key"
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:SM2", "-out", path)
    path.chmod(0o600)
    signer = file_key.load(path)
    request = tmp_path / "request.pem"
    request.write_bytes(certification_request(signer, "lobby-1"))
    openssl("req", "-verify", "-vfyopt", DISTID, "-in", request, "-noout")
    assert sm2.requested_key(x509.load_pem_x509_csr(request.read_bytes())) == signer.public_key
    openssl("req", "-new", "-key", path, "-sm3", "-sigopt", DISTID, "-subj", "/CN=lobby-1", "-out", request)
    assert sm2.requested_key(x509.load_pem_x509_csr(request.read_bytes())) == signer.public_key


def test_a_request_that_its_key_did_not_sign_is_refused(signer: Signer) -> None:
    der = bytearray(x509.load_pem_x509_csr(certification_request(signer, "lobby-1")).public_bytes(Encoding.DER))
    der[der.index(b"lobby-1")] ^= 1
    with pytest.raises(WireError) as refused:
        sm2.requested_key(x509.load_der_x509_csr(bytes(der)))
    assert refused.value.fault is Fault.SIGNATURE


@needs_openssl
def test_an_ecdsa_authority_certifies_an_sm2_key(signer: Signer, tmp_path: Path) -> None:
    authority = certificates.new_authority("test authority")
    leaf = certificates.issue(authority, Subject("lobby-1", UEID), signer.public_key, chain.EVIDENCE)
    for name, certificate in (("leaf.pem", leaf), ("authority.pem", authority.certificate)):
        (tmp_path / name).write_bytes(certificate.public_bytes(Encoding.PEM))
    openssl("verify", "-CAfile", tmp_path / "authority.pem", tmp_path / "leaf.pem")
    who = chain.attester([leaf.public_bytes(Encoding.DER)], [authority.certificate], at=datetime.now(UTC))
    assert (who.terminal, who.public_key) == ("lobby-1", signer.public_key)


@needs_openssl
def test_an_sm2_authority_of_openssl_is_an_authority(signer: Signer, tmp_path: Path) -> None:
    made = tmp_path / "made.key"
    for name in ("authority", "stranger"):
        key = ("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:SM2", "-out", tmp_path / f"{name}.key")
        openssl(*key)
        # The stranger calls itself by the authority's name.
        signed = ("-sm3", "-sigopt", DISTID, "-days", "9", "-subj", "/CN=authority")
        openssl("req", "-x509", "-key", tmp_path / f"{name}.key", *signed, "-out", tmp_path / f"{name}.pem")
    usage = tmp_path / "usage"
    usage.write_text(f"extendedKeyUsage=critical,{chain.EVIDENCE.dotted_string}\n", "ascii")
    request = ("req", "-new", "-key", made, "-sm3", "-sigopt", DISTID, "-subj", f"/CN=lobby-1/serialNumber={UEID}")
    openssl(*request, "-out", tmp_path / "request.pem")
    by = ("-CA", tmp_path / "authority.pem", "-CAkey", tmp_path / "authority.key", "-CAcreateserial")
    how = ("-sm3", "-sigopt", DISTID, "-vfyopt", DISTID, "-days", "9", "-extfile", usage)
    openssl("x509", "-req", "-in", tmp_path / "request.pem", *by, *how, "-out", tmp_path / "leaf.pem")
    leaf, authority, stranger = (
        x509.load_pem_x509_certificate((tmp_path / f"{name}.pem").read_bytes())
        for name in ("leaf", "authority", "stranger")
    )
    sent = [leaf.public_bytes(Encoding.DER)]
    assert chain.attester(sent, [stranger, authority], at=datetime.now(UTC)).public_key == signer.public_key
    with pytest.raises(WireError) as refused:
        chain.attester(sent, [stranger], at=datetime.now(UTC))
    assert refused.value.fault is Fault.CHAIN


def without_the_extra(code: str, *arguments: Path) -> str:
    """What `code` prints in an interpreter that has no gmalg."""
    blocked = f"import sys; sys.modules['gmalg'] = None\n{code}"
    command = [sys.executable, "-c", blocked, *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_without_the_extra_all_else_works_and_the_remedy_is_told(tmp_path: Path) -> None:
    file_key.create(tmp_path / "sm2.key", kind="SM2")
    file_key.create(tmp_path / "p256.key")
    told = without_the_extra(
        "from pathlib import Path\n"
        "from agent.trust import file_key\n"
        "from agent.failures import RenzhengError\n"
        "from agent.health.audit_check import by_key\n"
        "from agent.wire.sm2 import Sm2PublicKey\n"
        "assert len(file_key.load(Path(sys.argv[2])).sign(b'x')) == 64\n"
        "for attempt in (lambda: file_key.load(Path(sys.argv[1])),\n"
        "                lambda: file_key.create(Path(sys.argv[1] + '.new'), kind='SM2'),\n"
        "                lambda: by_key(Sm2PublicKey(1, 1))(b'x', bytes(64))):\n"
        "    try: attempt()\n"
        "    except RenzhengError as error: print(error.code, error)\n",
        tmp_path / "sm2.key",
        tmp_path / "p256.key",
    )
    assert [line.split()[0] for line in told.splitlines()] == ["trust.suite"] * 3
    assert told.count("pip install 'renzheng[gm]'") == 3
    assert not (tmp_path / "sm2.key.new").exists()


def test_a_file_with_something_else_is_no_key(tmp_path: Path) -> None:
    for content in (b"", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"):
        path = tmp_path / "key"
        path.write_bytes(content)
        path.chmod(0o600)
        with pytest.raises(TrustError) as refused:
            file_key.load(path)
        assert refused.value.code == "trust.key"


def test_a_secret_is_in_no_text(signer: Signer) -> None:
    assert isinstance(signer, SoftwareSigner)
    assert isinstance(signer.private_key, sm2.Sm2PrivateKey)
    assert str(signer.private_key.secret) not in repr(signer.private_key) + repr(signer)
