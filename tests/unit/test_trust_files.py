"""Keys, certificates and anchors in files: what is loaded, and what each thing that is wrong is called."""

import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from agent.transport.link import Tls
from agent.trust import anchors, file_key, identity
from agent.trust.errors import TrustError
from agent.wire import cose
from agent.wire.chain import ISSUER_SIGNING
from agent.wire.cose import Context
from agent.wire.keys import thumbprint
from issuer import certificates, pki
from issuer.certificates import Subject
from issuer.layout import Layout

HERE = Context("request", "test-issuer", "lobby-1")


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    return pki.create(tmp_path_factory.mktemp("files") / "issuer", "test-issuer")


@pytest.fixture
def folder(deployment: Layout, tmp_path: Path) -> Path:
    return pki.enroll(deployment, f"t{tmp_path.name[-24:].replace('[', '').replace(']', '')}")


def code_of(folder: Path) -> str:
    with pytest.raises(TrustError) as failed:
        identity.load(folder)
    return failed.value.code


@pytest.mark.parametrize("kind", ["ES256", "EdDSA"])
def test_a_key_is_made_for_its_owner_alone_and_signs(tmp_path: Path, kind: str) -> None:
    made = file_key.create(tmp_path / "key", kind=kind)
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    loaded = file_key.load(tmp_path / "key")
    assert loaded.public_key == made.public_key
    assert cose.verify(cose.sign(b"x", loaded, HERE), made.public_key, HERE, limit=1000) == b"x"


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    first = file_key.create(tmp_path / "key")
    with pytest.raises(TrustError):
        file_key.create(tmp_path / "key")
    assert file_key.load(tmp_path / "key").public_key == first.public_key


def test_a_key_that_others_can_read_is_not_used(tmp_path: Path) -> None:
    file_key.create(tmp_path / "key")
    (tmp_path / "key").chmod(0o640)
    with pytest.raises(TrustError, match="chmod 600"):
        file_key.load(tmp_path / "key")


def test_a_key_of_another_kind_is_told(tmp_path: Path) -> None:
    other = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for content in (other, b"", b"nothing of a key"):
        (tmp_path / "key").write_bytes(content)
        (tmp_path / "key").chmod(0o600)
        with pytest.raises(TrustError, match="no private key that can be used"):
            file_key.load(tmp_path / "key")


def test_an_enrolled_folder_is_an_identity(deployment: Layout, folder: Path) -> None:
    who = identity.load(folder)
    assert who.terminal == folder.name
    assert who.attester.ueid[0] == 1
    assert len(who.attester.ueid) == 17
    assert who.issuer.name == "test-issuer"
    assert thumbprint(who.signer.public_key) == thumbprint(who.attester.public_key)


def test_what_is_wrong_with_a_folder_is_told(deployment: Layout, folder: Path) -> None:
    for name, code in (("device.key", "trust.key"), ("device.pem", "trust.anchor"), ("tls.key", "trust.certificate")):
        content = (folder / name).read_bytes()
        (folder / name).unlink()
        assert code_of(folder) == code
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o600)
    for name in ("broker-ca.pem", "issuer-signing.pem", "issuer-sealing.pem"):
        content = (folder / "trust" / name).read_bytes()
        (folder / "trust" / name).unlink()
        assert code_of(folder) == "trust.anchor"
        (folder / "trust" / name).write_bytes(content)
    assert identity.load(folder).terminal == folder.name


def test_a_certificate_for_another_key_is_told(deployment: Layout, folder: Path) -> None:
    certificates.save(folder / "device", certificates.new_key(), [certificates.load_certificate(folder / "device")])
    assert code_of(folder) == "trust.certificate"


def test_a_tls_certificate_is_no_device_certificate(deployment: Layout, folder: Path) -> None:
    for suffix in (".key", ".pem"):
        (folder / "device").with_suffix(suffix).write_bytes((folder / "tls").with_suffix(suffix).read_bytes())
    assert code_of(folder) == "trust.certificate"


@pytest.mark.parametrize("wrong", ["issuer-sealing.pem", "broker-ca.pem", "evidence-ca.pem"])
def test_a_certificate_for_another_use_is_no_signing_anchor(deployment: Layout, folder: Path, wrong: str) -> None:
    (folder / "trust" / "issuer-signing.pem").write_bytes((folder / "trust" / wrong).read_bytes())
    assert code_of(folder) == "trust.anchor"


def test_anchors_of_two_issuers_are_not_mixed(deployment: Layout, folder: Path, tmp_path: Path) -> None:
    other = pki.create(tmp_path / "other", "other-issuer")
    (folder / "trust" / "issuer-sealing.pem").write_bytes(other.key("sealing").with_suffix(".pem").read_bytes())
    assert code_of(folder) == "trust.anchor"


def test_a_key_in_change_counts_beside_the_old_one(deployment: Layout, folder: Path) -> None:
    authority = certificates.load_authority(deployment.authority("evidence"))
    key = certificates.new_key()
    coming = certificates.issue(authority, certificates.Subject("test-issuer"), key.public_key(), ISSUER_SIGNING)
    path = folder / "trust" / "issuer-signing.pem"
    path.write_bytes(path.read_bytes() + coming.public_bytes(serialization.Encoding.PEM))
    trusted = anchors.load(folder / "trust").signing_keys(datetime.now(UTC))
    assert len(trusted) == 2
    assert trusted.find(thumbprint(key.public_key())) == key.public_key()


def test_a_pinned_key_counts_only_in_its_time(deployment: Layout, folder: Path) -> None:
    trust = anchors.load(folder / "trust")
    now = datetime.now(UTC)
    assert len(trust.signing_keys(now)) == 1
    for away in (timedelta(days=-3650), timedelta(days=3650)):
        assert len(trust.signing_keys(now + away)) == 0
        with pytest.raises(TrustError) as failed:
            trust.sealing_key(now + away)
        assert failed.value.code == "trust.expired"
    assert len(trust.pinned_keys) == 1


@pytest.mark.parametrize("name", ["issuer", "", "a/b", "a+b", "#", "a b", "x" * 65, "terminal\n"])
def test_a_name_that_would_leave_its_topics_cannot_be_enrolled(deployment: Layout, name: str) -> None:
    with pytest.raises(Exception, match="cannot be a terminal's id"):
        pki.enroll(deployment, name)


def test_private_keys_of_a_deployment_are_its_owners_alone(deployment: Layout, folder: Path) -> None:
    for top, _, files in os.walk(deployment.root):
        for file in files:
            if file.endswith(".key"):
                assert stat.S_IMODE((Path(top) / file).stat().st_mode) == 0o600


def renewed(deployment: Layout, folder: Path) -> None:
    """Transport key and chain as a renewal leaves them beside the old ones."""
    signer = file_key.create(folder / "tls.key.new")
    authority = certificates.load_authority(deployment.authority("transport"))
    leaf = certificates.issue(authority, Subject(folder.name), signer.public_key, ExtendedKeyUsageOID.CLIENT_AUTH)
    (folder / "tls.pem.new").write_bytes(leaf.public_bytes(serialization.Encoding.PEM))


def connects(folder: Path) -> bool:
    """Whether TLS takes the pair."""
    who = identity.load(folder)
    Tls(who.issuer.broker_ca, who.tls_certificate, who.tls_key).context()
    return True


@pytest.mark.parametrize("renames", [0, 1, 2])
def test_a_renewal_that_was_cut_anywhere_leaves_a_pair_that_connects(
    deployment: Layout, folder: Path, renames: int
) -> None:
    renewed(deployment, folder)
    for name in ("tls.pem", "tls.key")[:renames]:
        (folder / f"{name}.new").replace(folder / name)
    assert connects(folder)


def test_a_new_key_that_was_cut_while_it_was_made_does_not_matter(folder: Path) -> None:
    (folder / "tls.key.new").touch(mode=0o600)
    assert connects(folder)
