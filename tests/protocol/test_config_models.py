"""Real models from afar: signed twice, held against known faces before the switch, and used after it."""

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

import models as shipped
from agent.cli.models import models as models_command
from agent.configuration import signing
from agent.configuration.bundles import Bundles
from agent.configuration.bundles_fetch import Source
from agent.configuration.load import load
from agent.configuration.remote_trial import Acts, Trial
from agent.configuration.store import open_store
from agent.configuration.store_journal import Revision
from agent.failures import RenzhengError
from agent.parts import model_bundle
from agent.remote import Steward
from agent.remote_models import must_know_the_known_faces
from agent.trust import file_key
from agent.wire import configuration
from tests.unit.config_world import ConfigWorld

pytestmark = [pytest.mark.slow]


class NoSource:
    """Nothing has to be fetched."""

    def pieces(self, file: configuration.BundleFile, offset: int) -> "Source":
        raise AssertionError(f"{file.name} was to be there")


@pytest.fixture
def world(tmp_path: Path) -> ConfigWorld:
    made = ConfigWorld(tmp_path)
    own = made.own.read_text()
    file_key.create(tmp_path / "models.key")
    public = signing.public_pem(file_key.load(tmp_path / "models.key").public_key)
    (tmp_path / "models.pem").write_bytes(public)
    made.own.write_text(own + '[faces]\nmodel_authority = "models.pem"\n')
    return made


@pytest.fixture
def bundle(world: ConfigWorld) -> Path:
    """The shipped models as the models' authority would send them."""
    folder = world.folder / "outgoing"
    folder.mkdir()
    source = Path(shipped.__file__).parent
    for path in (source / "manifest.toml", *source.glob("*.tflite")):
        shutil.copy(path, folder)
    arguments = ["sign", str(folder), "--key", str(world.folder / "models.key")]
    result = CliRunner().invoke(models_command, arguments)
    assert result.exit_code == 0, result.output
    return folder


async def committed(world: ConfigWorld, folder: Path) -> None:
    async def nothing(_revision: Revision | None = None) -> None:
        return None

    bundles = Bundles(world.folder / "state" / "bundles", open_store(world.own).authority)
    manifest = signing.unsigned_manifest(folder, number=1, target="group:all")
    signed = configuration.sign_manifest(manifest, world.authority)
    (bundles.folder / "files").mkdir(parents=True)
    for file in manifest.files:
        shutil.copy(folder / file.name, bundles.folder / "files" / file.sha256.hex())
    revision = Revision(number=1, digest=configuration.digest(signed).hex())
    await bundles.stage(signed, manifest, revision, NoSource())  # type: ignore[arg-type]  # it is never asked
    await Trial(bundles.journal, Acts(nothing, nothing, nothing)).start(revision)


def test_models_that_know_the_known_faces_pass(world: ConfigWorld, bundle: Path) -> None:
    must_know_the_known_faces(load(world.own), bundle)


def test_a_damaged_or_unsigned_model_does_not(world: ConfigWorld, bundle: Path) -> None:
    embed = next(bundle.glob("embed-*.tflite"))
    embed.write_bytes(embed.read_bytes()[:-1] + b"\0")
    with pytest.raises(RenzhengError) as error:
        must_know_the_known_faces(load(world.own), bundle)
    assert error.value.code == "model.digest"
    (bundle / "manifest.sig").unlink()
    with pytest.raises(RenzhengError) as error:
        must_know_the_known_faces(load(world.own), bundle)
    assert error.value.code == "model.signature"


async def test_the_terminal_runs_on_them_after_the_switch(world: ConfigWorld, bundle: Path) -> None:
    assert Steward(world.own, open_store(world.own)).boot().faces.models is None
    await committed(world, bundle)
    faces = Steward(world.own, open_store(world.own)).boot().faces
    assert faces.models is not None
    assert faces.models.parent == world.folder / "state" / "bundles"
    assert model_bundle(faces).manifest.models


async def test_without_the_models_authority_they_are_left(world: ConfigWorld, bundle: Path) -> None:
    await committed(world, bundle)
    world.own.write_text(world.own.read_text().replace('model_authority = "models.pem"', ""))
    assert Steward(world.own, open_store(world.own)).boot().faces.models is None
