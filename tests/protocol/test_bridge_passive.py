"""Passive authentication of security objects that `openssl` made, and of chains that hold or break."""

import base64
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from firmware_bridge.apdu import tlv
from firmware_bridge.document import Check, Verdict
from firmware_bridge.emrtd.passive import authenticate
from firmware_bridge.emrtd.trust import TrustStore
from firmware_bridge.errors import Code
from firmware_bridge.simulator import Person
from tests.protocol.openssl_state import OpensslState, lds_object, openssl

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the program openssl")

GROUPS = {1: tlv.encode(0x61, tlv.encode(0x5F1F, Person().zone().encode())), 2: b"\x75\x03abc"}
P256 = ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
NOW = datetime(2026, 6, 1, tzinfo=UTC)


def ec(curve: str, encoding: str = "named_curve") -> tuple[str, ...]:
    return ("-algorithm", "EC", "-pkeyopt", f"ec_paramgen_curve:{curve}", "-pkeyopt", f"ec_param_enc:{encoding}")


def rsa(bits: int) -> tuple[str, ...]:
    return ("-algorithm", "RSA", "-pkeyopt", f"rsa_keygen_bits:{bits}")


def judge(state: OpensslState, sod: bytes, *, trust: Path | None = None, **options: object) -> Check:
    store = TrustStore.load(trust or state.csca)
    options.setdefault("now", NOW)
    return authenticate(sod, GROUPS, store, **options).check  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> OpensslState:
    return OpensslState(tmp_path_factory.mktemp("state"), P256)


SCHEMES = {
    "ecdsa-p256-sha256": (P256, "sha256", False),
    "ecdsa-p521-sha512": (ec("P-521"), "sha512", False),
    "ecdsa-p224-sha224": (ec("P-224"), "sha224", False),
    "ecdsa-p256-explicit": (ec("P-256", "explicit"), "sha256", False),
    "ecdsa-brainpool384": (ec("brainpoolP384r1"), "sha384", False),
    "ecdsa-brainpool256-explicit": (ec("brainpoolP256r1", "explicit"), "sha256", False),
    "ecdsa-brainpool320-explicit": (ec("brainpoolP320r1", "explicit"), "sha384", False),
    "ecdsa-brainpool224": (ec("brainpoolP224r1"), "sha1", False),
    "rsa-sha1": (rsa(2048), "sha1", False),
    "rsa-sha256": (rsa(2048), "sha256", False),
    "rsa-pss-sha256": (rsa(2048), "sha256", True),
    "rsa-pss-sha512": (rsa(2048), "sha512", True),
    "rsa-pss-key": (("-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048"), "sha256", True),
}


@pytest.mark.parametrize("name", SCHEMES)
def test_every_signature_that_states_use_is_verified(name: str, tmp_path: Path) -> None:
    key, digest, pss = SCHEMES[name]
    made = OpensslState(tmp_path, key, digest, pss=pss)
    sod = made.security_object(GROUPS)
    assert judge(made, sod) == Check(Verdict.PASSED)
    other = bytearray(sod)
    other[-1] ^= 1
    assert judge(made, bytes(other)).code is Code.DOCUMENT_ALTERED


@pytest.mark.parametrize("digest", ["sha1", "sha224", "sha256", "sha384", "sha512"])
@pytest.mark.parametrize("version", [0, 1])
def test_every_data_group_digest_in_both_versions(state: OpensslState, digest: str, version: int) -> None:
    sod = state.security_object(GROUPS, digest=digest, version=version)
    assert judge(state, sod).passed
    changed = authenticate(sod, {**GROUPS, 2: b"\x75\x03abd"}, TrustStore.load(state.csca), now=NOW)
    assert changed.check.code is Code.DOCUMENT_ALTERED
    assert changed.genuine == {1}


@pytest.mark.parametrize(
    "options",
    [("-stream", "-indef"), ("-keyid",), ("-noattr",), ("-nosmimecap",)],
    ids=["indefinite lengths", "key identifier", "no attributes", "no capabilities"],
)
def test_every_form_of_signed_data(state: OpensslState, options: tuple[str, ...]) -> None:
    sod = state.security_object(GROUPS, *options)
    if "-stream" in options:
        assert b"\x30\x80\x06\x09" in sod[:12]
        whole = b"\x77\x80" + tlv.parse(sod)[0].value + b"\x00\x00"
        assert judge(state, whole).passed
    assert judge(state, sod).passed


def test_a_structure_of_the_wrong_version_is_read_all_the_same(state: OpensslState) -> None:
    sod = state.security_object(GROUPS)
    assert sod.count(b"\x02\x01\x03\x31") == 1
    assert judge(state, sod.replace(b"\x02\x01\x03\x31", b"\x02\x01\x01\x31")).passed


def test_a_signer_that_is_not_inside_is_found_among_the_trusted_files(state: OpensslState, tmp_path: Path) -> None:
    sod = state.security_object(GROUPS, "-nocerts")
    assert judge(state, sod).code is Code.DOCUMENT_UNTRUSTED
    result = authenticate(sod, GROUPS, TrustStore.load(state.csca), now=NOW)
    assert not result.genuine, "hashes that nobody signed vouch for nothing"
    for file in (state.csca, state.signer):
        shutil.copy(file, tmp_path)
    assert judge(state, sod, trust=tmp_path).passed


def test_a_hostile_curve_with_a_standard_name_s_numbers_is_refused(tmp_path: Path) -> None:
    made = OpensslState(tmp_path, ec("P-256", "explicit"))
    sod = made.security_object(GROUPS)
    generator = bytes.fromhex("6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296")
    assert generator in sod
    hostile = sod.replace(generator, bytes.fromhex("00" * 31 + "05"))
    assert judge(made, hostile).code is Code.DOCUMENT_ALTERED


def test_validity_is_judged_at_the_signing_time_and_at_a_given_time(tmp_path: Path) -> None:
    made = OpensslState(tmp_path, P256, signer_days=("20250101000000Z", "20280101000000Z"))
    without_time = made.security_object(GROUPS, "-noattr")
    assert judge(made, without_time).passed
    late = datetime(2029, 1, 1, tzinfo=UTC)
    assert judge(made, without_time, now=late).code is Code.DOCUMENT_UNTRUSTED
    # `openssl cms` writes the present into the attributes: the signature stays good after its signer's last day.
    with_time = made.security_object(GROUPS)
    signed_now = datetime.now(UTC) < datetime(2028, 1, 1, tzinfo=UTC)
    assert judge(made, with_time, now=late).passed is signed_now
    assert judge(made, with_time, at=late).code is Code.DOCUMENT_UNTRUSTED
    assert "expired on 2028-01-01" in judge(made, with_time, at=late).reason


def test_an_expired_csca_is_told(tmp_path: Path) -> None:
    made = OpensslState(tmp_path, P256, days=("20100101000000Z", "20200101000000Z"))
    check = judge(made, made.security_object(GROUPS))
    assert check.code is Code.DOCUMENT_UNTRUSTED
    assert check.reason == "the CSCA expired on 2020-01-01"


def test_another_state_s_certificate_of_the_same_name_does_not_vouch(state: OpensslState, tmp_path: Path) -> None:
    other = OpensslState(tmp_path, P256)
    check = judge(state, state.security_object(GROUPS), trust=other.csca)
    assert check.verdict is Verdict.NOT_TRUSTED
    assert "signature" in check.reason


def test_nobody_is_trusted_by_default(state: OpensslState, tmp_path: Path) -> None:
    assert judge(state, state.security_object(GROUPS), trust=tmp_path).code is Code.DOCUMENT_UNTRUSTED


def test_a_document_signer_alone_is_no_anchor(state: OpensslState) -> None:
    check = judge(state, state.security_object(GROUPS), trust=state.signer)
    assert check.code is Code.DOCUMENT_UNTRUSTED


@pytest.mark.parametrize(
    "purpose", ["2.23.136.1.1.3", "2.23.136.1.1.8", "2.23.136.1.1.14.2", "serverAuth", "clientAuth"]
)
def test_a_certificate_for_another_role_signs_no_documents(purpose: str, tmp_path: Path) -> None:
    made = OpensslState(tmp_path, P256, signer_extensions=f"extendedKeyUsage=critical,{purpose}")
    check = judge(made, made.security_object(GROUPS))
    assert check.code is Code.DOCUMENT_UNTRUSTED
    assert "another role" in check.reason


def test_a_link_certificate_leads_from_the_old_anchor_to_the_new_signer(tmp_path: Path) -> None:
    made = OpensslState(tmp_path, P256)
    made.make_key("new")
    made.certify("new", "Country Signing CA 2", "ca", "csca", made.days, "8")
    made.make_key("ds2")
    made.certify("ds2", "Document Signer 2", "signer", "new", made.signer_days, "9")
    sod = made.security_object(GROUPS, signer="ds2")
    assert judge(made, sod).code is Code.DOCUMENT_UNTRUSTED
    both = tmp_path / "both"
    both.mkdir()
    shutil.copy(tmp_path / "new.pem", both)
    assert judge(made, sod, trust=both).code is Code.DOCUMENT_UNTRUSTED, "a link without its anchor vouches for nothing"
    shutil.copy(made.csca, both)
    assert judge(made, sod, trust=both).passed


def revoke(made: OpensslState, folder: Path, key: str = "csca") -> None:
    database = made.folder / "index.txt"
    configuration = made.folder / "ca.cnf"
    configuration.write_text(
        f"[ca]\ndefault_ca=d\n[d]\ndatabase={database}\ndefault_md=sha256\ndefault_crl_days=30\n[crl]\n"
    )
    database.write_text("R\t350101000000Z\t260101000000Z\t07\tunknown\t/C=UT/O=Openssl State/CN=Document Signer\n")
    openssl(
        *("ca", "-gencrl", "-config", configuration, "-cert", made.folder / f"{key}.pem"),
        *("-keyfile", made.folder / f"{key}.key"),
        *("-out", folder / "list.crl"),
    )


def test_a_revoked_signer_is_told(state: OpensslState, tmp_path: Path) -> None:
    shutil.copy(state.csca, tmp_path)
    revoke(state, tmp_path)
    check = judge(state, state.security_object(GROUPS), trust=tmp_path)
    assert (check.verdict, check.reason) == (Verdict.NOT_TRUSTED, "the document signer is revoked")


def test_a_signer_of_the_old_key_is_revoked_by_the_list_that_the_new_key_signed(tmp_path: Path) -> None:
    """A state has one list for all its keys, signed with the newest (Doc 9303-12; RFC 5280, 5)."""
    made = OpensslState(tmp_path, P256)
    made.make_key("new")
    made.certify("new", "Country Signing CA", "ca", None, made.days, "8")
    trust = tmp_path / "trust"
    trust.mkdir()
    shutil.copy(made.csca, trust)
    shutil.copy(tmp_path / "new.pem", trust)
    sod = made.security_object(GROUPS)
    assert judge(made, sod, trust=trust).passed
    revoke(made, trust, "new")
    assert judge(made, sod, trust=trust).reason == "the document signer is revoked"
    (trust / "new.pem").unlink()
    assert judge(made, sod, trust=trust).passed, "a list that nobody known has signed revokes nothing"


def test_the_country_of_signer_and_document_must_match(tmp_path: Path) -> None:
    made = OpensslState(tmp_path, P256, country="DE")
    sod = made.security_object(GROUPS)
    assert judge(made, sod, issuing_state="D").passed
    assert judge(made, sod, issuing_state="DEU").passed
    assert judge(made, sod, issuing_state="FRA").code is Code.DOCUMENT_UNTRUSTED
    assert judge(made, sod, issuing_state="QQQ").code is Code.DOCUMENT_UNTRUSTED
    assert judge(made, sod, issuing_state="UTO").passed, "the specimen's state is nobody's"


def test_a_security_object_over_something_else_is_refused(state: OpensslState) -> None:
    content = state.folder / "other.der"
    content.write_bytes(lds_object(GROUPS))
    signed = openssl(
        *("cms", "-sign", "-binary", "-nodetach", "-in", content, "-signer", state.signer),
        *("-inkey", state.folder / "signer.key", "-outform", "DER"),
    )
    assert judge(state, tlv.encode(0x77, signed)).code is Code.DOCUMENT_ALTERED


def master_list(state: OpensslState, folder: Path) -> Path:
    certificate = openssl("x509", "-in", state.csca, "-outform", "DER")
    content = folder / "list.der"
    content.write_bytes(tlv.encode(0x30, tlv.encode(0x02, b"\x00") + tlv.encode(0x31, certificate)))
    openssl(
        *("cms", "-sign", "-binary", "-nodetach", "-in", content, "-econtent_type", "2.23.136.1.1.2"),
        *("-signer", state.signer, "-inkey", state.folder / "signer.key", "-outform", "DER", "-out", folder / "a.ml"),
    )
    content.unlink()
    return folder / "a.ml"


def test_a_directory_export_brings_anchors(state: OpensslState, tmp_path: Path) -> None:
    """LDIF, as the ICAO public key directory is downloaded."""
    text = base64.b64encode(master_list(state, tmp_path).read_bytes()).decode()
    (tmp_path / "a.ml").unlink()
    folded = "\n ".join(text[i : i + 70] for i in range(0, len(text), 70))
    (tmp_path / "pkd.ldif").write_text(f"dn: cn=x,o=ml,c=UT\npkdVersion: 1\npkdMasterListContent:: {folded}\n\n")
    assert judge(state, state.security_object(GROUPS), trust=tmp_path).passed
    (tmp_path / "pkd.ldif").write_text("dn: cn=x\nuserCertificate;binary:: AAAA\n")
    assert TrustStore.load(tmp_path).rejected


def test_a_master_list_brings_anchors_if_its_signature_holds(state: OpensslState, tmp_path: Path) -> None:
    file = master_list(state, tmp_path)
    sod = state.security_object(GROUPS)
    assert judge(state, sod, trust=file).passed
    damaged = bytearray(file.read_bytes())
    damaged[-3] ^= 1
    file.write_bytes(bytes(damaged))
    store = TrustStore.load(file)
    assert not store.certificates
    assert "a.ml: a master list whose signature is wrong" in store.rejected[0]
