"""A document counts only when the authority signed it, for this terminal, over settings that stay valid."""

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from agent.configuration import signing
from agent.configuration.migrations import MIGRATIONS, Step, current_schema, migrate
from agent.failures import RenzhengError
from agent.wire import configuration
from agent.wire.configuration import DOCUMENT_LIMIT, BundleFile, BundleManifest, ConfigurationDocument
from agent.wire.keys import KeyRing
from tests.unit.config_world import ConfigWorld, new_signer


@pytest.fixture
def world(tmp_path: Path) -> ConfigWorld:
    return ConfigWorld(tmp_path)


def refusal(world: ConfigWorld, data: bytes) -> str:
    with pytest.raises(RenzhengError) as error:
        signing.open_document(data, KeyRing([world.authority.public_key]))
    return error.value.code


def test_a_document_of_the_authority_is_laid_over_the_own_file(world: ConfigWorld) -> None:
    document = signing.open_document(world.signed(1), KeyRing([world.authority.public_key]))
    settings = world.store().settings_with(document)
    assert (settings.deadlines.face, settings.deadlines.document) == (12.0, 15.0)
    assert settings.terminal.state == world.folder / "state"


def test_a_table_of_another_type_replaces_the_whole_table(world: ConfigWorld) -> None:
    text = '[camera]\ntype = "picamera2"\nwidth = 1280\nheight = 720\n'
    document = signing.open_document(world.signed(1, text), KeyRing([world.authority.public_key]))
    assert world.store().settings_with(document).camera.type == "picamera2"


class TestWhatIsRefused:
    def test_another_key(self, world: ConfigWorld) -> None:
        assert refusal(world, world.signed(1, signer=new_signer())) == "configuration.unsigned"

    def test_one_changed_byte_anywhere(self, world: ConfigWorld) -> None:
        signed = world.signed(1)
        for position in range(0, len(signed), 7):
            changed = signed[:position] + bytes([signed[position] ^ 1]) + signed[position + 1 :]
            assert refusal(world, changed) in {"configuration.unsigned", "configuration.malformed"}

    def test_a_manifest_of_the_same_authority(self, world: ConfigWorld) -> None:
        manifest = BundleManifest(
            number=1, target="group:all", valid_from=0, files=(BundleFile(name="a", size=1, sha256=bytes(32)),)
        )
        assert refusal(world, configuration.sign_manifest(manifest, world.authority)) == "configuration.unsigned"

    def test_no_authority_at_all(self, world: ConfigWorld) -> None:
        with pytest.raises(RenzhengError) as error:
            signing.open_document(world.signed(1), signing.load_authority(world.folder / "absent.pem"))
        assert error.value.code == "configuration.unsigned"

    def test_too_many_bytes(self, world: ConfigWorld) -> None:
        assert refusal(world, bytes(DOCUMENT_LIMIT + 1)) == "configuration.oversized"

    @pytest.mark.parametrize("data", [b"", b"\x00", b"\xd2\x84", bytes(100), b"[terminal]\n"])
    def test_what_is_no_cose(self, world: ConfigWorld, data: bytes) -> None:
        assert refusal(world, data) == "configuration.malformed"

    @pytest.mark.parametrize(
        "text",
        ['[identity]\nfolder = "/x"', '[terminal]\nstate = "/x"', "version = 2", '[faces]\nmodel_authority = "/x"'],
    )
    def test_what_only_the_own_file_may_say(self, world: ConfigWorld, text: str) -> None:
        document = ConfigurationDocument(
            number=1, schema_version=current_schema(), target="group:all", valid_from=0, settings=text
        )
        assert refusal(world, configuration.sign_document(document, world.authority)) == "configuration.forbidden"
        with pytest.raises(RenzhengError, match="own file only"):
            world.signed(1, text)

    def test_a_newer_schema(self, world: ConfigWorld) -> None:
        document = ConfigurationDocument(
            number=1, schema_version=current_schema() + 1, target="group:all", valid_from=0, settings=""
        )
        assert refusal(world, configuration.sign_document(document, world.authority)) == "configuration.schema"

    def test_settings_that_would_not_be_valid(self, world: ConfigWorld) -> None:
        document = signing.open_document(
            world.signed(1, "[deadlines]\nface = -1.0\n"), KeyRing([world.authority.public_key])
        )
        with pytest.raises(RenzhengError, match=r"deadlines\.face") as error:
            world.store().settings_with(document)
        assert error.value.code == "configuration.invalid"

    @pytest.mark.parametrize("target", ["terminal:t-0002", "group:t-0001", "terminal:lobby"])
    def test_another_target(self, target: str) -> None:
        with pytest.raises(RenzhengError) as error:
            signing.require_target(target, "t-0001", ["lobby"])
        assert error.value.code == "configuration.foreign"
        signing.require_target("group:lobby", "t-0001", ["lobby"])
        signing.require_target("terminal:t-0001", "t-0001", [])


def test_an_authority_may_have_two_keys_while_one_is_changed(tmp_path: Path) -> None:
    keys = [new_signer().public_key, ed25519.Ed25519PrivateKey.generate().public_key()]
    path = tmp_path / "authority.pem"
    path.write_bytes(b"".join(signing.public_pem(key) for key in keys))
    assert len(signing.load_authority(path)) == 2
    path.write_text("not a key")
    with pytest.raises(RenzhengError) as error:
        signing.load_authority(path)
    assert error.value.code == "configuration.authority"


STEPS: dict[int, Step] = {
    1: lambda tables: {"b": tables["a"]},
    2: lambda tables: {**tables, "c": 3},
}


class TestMigrations:
    def test_they_run_one_after_the_other(self) -> None:
        tables: dict[str, Any] = {"a": 1}
        assert migrate(tables, 1, current=3, steps=STEPS) == {"b": 1, "c": 3}

    def test_the_current_schema_needs_none(self) -> None:
        assert migrate({"a": 1}, 3, current=3, steps=STEPS) == {"a": 1}

    def test_a_missing_step_is_told(self) -> None:
        with pytest.raises(RenzhengError, match="schema 0 to 1"):
            migrate({}, 0, current=3, steps=STEPS)

    def test_there_is_a_step_for_every_older_schema(self) -> None:
        assert set(MIGRATIONS) == set(range(1, current_schema()))
