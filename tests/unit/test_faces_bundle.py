"""Nothing of a model bundle is used before it is checked."""

import os
import shutil
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

import models
from agent.biometrics.bundle import ModelBundle, parse_manifest
from agent.biometrics.compare import threshold_for
from agent.biometrics.embed import fuse
from agent.biometrics.errors import FaceError, ModelError
from agent.biometrics.manifest import Role
from agent.biometrics.pipeline import FacePipeline
from agent.biometrics.site import SiteEmbedding, SiteManifest
from agent.evaluation.bundles import add_model, sign_target, verify_bundle
from tests.unit.faces_world import HOLDER_CHIP, OTHER, pipeline, portrait_bytes

SHIPPED = Path(models.__file__).parent
EMBED_INPUT = "size=112,colour=RGB,offset=127.5,scale=128"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A copy of the shipped bundle that a test may spoil."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    for file in [*SHIPPED.glob("*.tflite"), SHIPPED / "manifest.toml"]:
        shutil.copyfile(file, folder / file.name)
    return folder


def code_of(folder: Path) -> str:
    with pytest.raises(ModelError) as caught:
        verify_bundle(folder, [])
    return caught.value.code


def edit(folder: Path, old: str, new: str) -> None:
    manifest = folder / "manifest.toml"
    text = manifest.read_text("utf-8")
    assert old in text
    manifest.write_text(text.replace(old, new), "utf-8")


def test_every_shipped_model_is_the_one_that_the_manifest_names() -> None:
    assert {row["role"] for row in verify_bundle(None, [])} == {str(role) for role in Role} - {"second"}


def test_every_shipped_model_says_where_it_comes_from_and_how_good_it_is() -> None:
    for role, entry in ModelBundle.shipped().manifest.models.items():
        assert entry.source is not None, role
        assert entry.licence
        assert entry.cosine_to_float is not None, role
        assert (SHIPPED / "cards" / f"{role}.md").exists(), role


def test_one_changed_byte_is_noticed(bundle: Path) -> None:
    file = bundle / "mesh-192.tflite"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    assert code_of(bundle) == "model.digest"


def test_an_absent_file_is_noticed(bundle: Path) -> None:
    (bundle / "mesh-192.tflite").unlink()
    assert code_of(bundle) == "model.digest"


def test_a_manifest_that_lies_about_shapes_is_noticed(bundle: Path) -> None:
    edit(bundle, "[1, 896, 16]", "[1, 448, 16]")
    assert code_of(bundle) == "model.shape"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("format = 1", "format = 2"),
        ("[models.detect]", "[models.detective]"),
        ("licence =", "license ="),
        ('file = "mesh-192.tflite"', 'file = "../mesh-192.tflite"'),
        ('colour = "RGB"', 'colour = "GRB"'),
        ("[models.mesh]", "[models.mesh"),
        ("shape = [1, 112, 112, 3]", "shape = [1, 112, 96, 3]"),
    ],
)
def test_a_malformed_manifest_is_refused(bundle: Path, old: str, new: str) -> None:
    edit(bundle, old, new)
    assert code_of(bundle) == "model.manifest"


def test_a_file_that_is_no_model_is_refused_by_the_interpreter(bundle: Path) -> None:
    with pytest.raises(ModelError) as caught:
        add_model(bundle, SHIPPED / "manifest.toml", "embed", EMBED_INPUT, "none")
    assert caught.value.code == "model.runtime"


def test_a_manifest_of_random_bytes_is_refused() -> None:
    with pytest.raises(ModelError) as caught:
        parse_manifest(bytes(range(256)))
    assert caught.value.code == "model.manifest"


@pytest.mark.parametrize("kind", ["ed25519", "p-256"])
def test_only_bundles_signed_by_a_trusted_key_are_taken(bundle: Path, tmp_path: Path, kind: str) -> None:
    mine, trusted = key_pair(tmp_path / "mine.pem", kind)
    _, stranger = key_pair(tmp_path / "stranger.pem", kind)
    with pytest.raises(ModelError) as caught:
        ModelBundle.signed(bundle, [trusted])
    assert caught.value.code == "model.signature"
    sign_target(bundle, mine)
    assert ModelBundle.signed(bundle, [stranger, trusted]).manifest.name
    with pytest.raises(ModelError):
        ModelBundle.signed(bundle, [stranger])
    edit(bundle, "format = 1", "format = 1 ")
    with pytest.raises(ModelError):
        ModelBundle.signed(bundle, [trusted])


def test_another_model_takes_five_minutes(bundle: Path, tmp_path: Path) -> None:
    key, trusted = key_pair(tmp_path / "key.pem", "ed25519")
    sign_target(bundle, key)
    file = tmp_path / "another.tflite"
    shutil.copyfile(SHIPPED / "embed-mobilefacenet-112.tflite", file)
    entry = add_model(bundle, file, "embed", EMBED_INPUT, "the operator's")
    assert entry.outputs[0].shape == (1, 192)
    assert not (bundle / "manifest.sig").exists(), "the old signature no longer fits"
    sign_target(bundle, key)
    changed = ModelBundle.signed(bundle, [trusted])
    assert changed.entry(Role.EMBED).file == "another.tflite"
    # A model that nobody calibrated decides nothing.
    with pytest.raises(ModelError):
        threshold_for(changed.entry(Role.EMBED).thresholds, 1e-3)


def test_the_manifest_that_is_used_is_the_one_whose_signature_was_checked(bundle: Path, tmp_path: Path) -> None:
    key, trusted = key_pair(tmp_path / "key", "p256")
    sign_target(bundle, key)
    signature = bundle / "manifest.sig"
    content = signature.read_bytes()
    signature.unlink()
    os.mkfifo(signature)

    def swap() -> None:
        # Whoever opens the signature has read the manifest; now it becomes another one.
        with signature.open("wb") as pipe:
            edit(bundle, 'name = "', 'name = "foreign ')
            pipe.write(content)

    swapper = threading.Thread(target=swap)
    swapper.start()
    used = ModelBundle.signed(bundle, [trusted])
    swapper.join(5)
    assert used.manifest.name == ModelBundle.shipped().manifest.name
    assert used.digest == ModelBundle.shipped().digest


def test_two_networks_make_one_template(bundle: Path) -> None:
    """The embedding beside itself: its cosines are the mean of two equal ones, and nothing else fits its templates."""
    file = SHIPPED / "embed-mobilefacenet-112.tflite"
    add_model(bundle, file, "second", EMBED_INPUT, "the operator's", weight=0.3)
    two = FacePipeline(ModelBundle.unsigned(bundle), target_fmr=None)
    holder, other = (two.enroll(portrait_bytes(name)) for name in (HOLDER_CHIP, OTHER))
    alone = pipeline().enroll(portrait_bytes(HOLDER_CHIP))
    assert holder.vector.shape == (384,)
    assert holder.first @ alone.vector == pytest.approx(1.0, abs=1e-5)
    assert holder.vector @ other.vector == pytest.approx(float(holder.first @ other.first), abs=1e-5)
    assert holder.vector @ holder.vector == pytest.approx(1.0, abs=1e-5)
    assert fuse([holder, holder]).leading == 192
    digest = ModelBundle.shipped().entry(Role.EMBED).sha256
    assert holder.model == f"{digest}+{digest}@0.3"
    with pytest.raises(FaceError) as caught:
        pipeline().compare(holder, alone)
    assert caught.value.code == "face.templates_differ"


def test_two_networks_need_thresholds_of_their_own(bundle: Path) -> None:
    add_model(bundle, SHIPPED / "embed-mobilefacenet-112.tflite", "second", EMBED_INPUT, "x", weight=0.5)
    with pytest.raises(ModelError) as caught:
        FacePipeline(ModelBundle.unsigned(bundle))
    assert caught.value.code == "model.manifest"
    alone = ModelBundle.shipped()
    site = SiteManifest(embed=SiteEmbedding(model=alone.templates, thresholds=alone.entry(Role.EMBED).thresholds))
    with pytest.raises(ModelError, match="another"):
        FacePipeline(ModelBundle.unsigned(bundle), site=site)
    again = SiteEmbedding(model=ModelBundle.unsigned(bundle).templates, thresholds=site.thresholds(alone))
    assert FacePipeline(ModelBundle.unsigned(bundle), site=SiteManifest(embed=again)).bundle.templates == again.model


@pytest.mark.parametrize(("role", "weight"), [("second", None), ("embed", 0.5)])
def test_a_weight_belongs_to_the_second_network(bundle: Path, role: str, weight: float | None) -> None:
    with pytest.raises(ModelError) as caught:
        add_model(bundle, SHIPPED / "embed-mobilefacenet-112.tflite", role, EMBED_INPUT, "x", weight=weight)
    assert caught.value.code == "model.manifest"


def test_a_model_with_other_tensors_than_its_role_is_not_added(bundle: Path) -> None:
    with pytest.raises(ModelError) as caught:
        add_model(bundle, SHIPPED / "mesh-192.tflite", "embed", "size=192", "x")
    assert caught.value.code == "model.shape"
    with pytest.raises(ModelError):
        add_model(bundle, SHIPPED / "embed-mobilefacenet-112.tflite", "embed", "size=96", "x")


def key_pair(path: Path, kind: str) -> tuple[Path, bytes]:
    key = ed25519.Ed25519PrivateKey.generate() if kind == "ed25519" else ec.generate_private_key(ec.SECP256R1())
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    public = key.public_key()
    return path, public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
