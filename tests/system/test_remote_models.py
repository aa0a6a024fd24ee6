"""Models from afar reach a running `renzheng run`: fetched over the broker, held against known faces, served or not."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest

import models as shipped
from agent.demo import stage
from agent.demo.processes import output
from firmware_bridge.simulator.stack import missing
from tests.system.remote_field import ISSUER, RENZHENG, Field, field

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(bool(missing()), reason=missing() or "-"),
    pytest.mark.timeout(300),
]

EMBED = "embed-mobilefacenet-112.tflite"


def made(folder: Path, *, broken: bool) -> str:
    """The shipped models with the embedding in other bytes, or with broken weights; its digest."""
    folder.mkdir()
    source = Path(shipped.__file__).parent
    for path in (source / "manifest.toml", *source.glob("*.tflite")):
        shutil.copy(path, folder)
    before = (folder / EMBED).read_bytes()
    third = len(before) // 3
    after = before + bytes(16)
    if broken:
        after = before[:third] + bytes(byte ^ 0x5A for byte in before[third : 2 * third]) + before[2 * third :]
    (folder / EMBED).write_bytes(after)
    old, new = (hashlib.sha256(content).hexdigest() for content in (before, after))
    manifest = folder / "manifest.toml"
    text = manifest.read_text("utf-8")
    assert text.count(old) == 1
    manifest.write_text(text.replace(old, new), "utf-8")
    return new


async def publish(terminal: Field, bundle: Path, number: int) -> None:
    """As an operator does: the models' authority vouches, the configuration authority rolls out, the issuer carries."""
    await output([RENZHENG, "models", "sign", str(bundle), "--key", str(terminal.folder / "models.key")])
    manifest = str(terminal.folder / f"bundle-{number}.cose")
    sign = [RENZHENG, "config", "sign-bundle", str(bundle), "--key", str(terminal.folder / "authority.key")]
    target = ["--number", str(number), "--target", f"terminal:{stage.TERMINAL}", "--output", manifest]
    await output([*sign, *target])
    issuer = str(terminal.built.issuer_folder)
    await output([ISSUER, "config", "publish-bundle", issuer, manifest, stage.TERMINAL, "--files", str(bundle)])


async def serving(terminal: Field) -> str:
    """The head of the digest of the embedding that the running terminal uses, by its own self-test."""
    report = json.loads(await terminal.order("self-test"))
    checks = {check["id"]: check for check in report["checks"]}
    assert checks["golden"]["status"] == "pass", checks["golden"]
    return str(checks["model.embed"]["measured"]).split(",", maxsplit=1)[0]


async def test_models_from_afar_serve_once_they_know_the_known_faces_and_broken_ones_never(tmp_path: Path) -> None:
    await output([RENZHENG, "config", "keygen", str(tmp_path / "models.key")])
    faces = {"model_authority": str(tmp_path / "models.pub.pem")}
    async with field(tmp_path, faces) as terminal:
        good = made(tmp_path / "good", broken=False)
        await publish(terminal, tmp_path / "good", 1)
        said = await terminal.told(1, 120, subject="bundle")
        assert (said["state"], said["active"]) == ("committed", 1), said
        assert good.startswith(await serving(terminal))

        # Signed by both authorities, fetched whole, and yet it does not know the known faces.
        bad = made(tmp_path / "bad", broken=True)
        await publish(terminal, tmp_path / "bad", 2)
        said = await terminal.told(2, 120, subject="bundle")
        assert (said["state"], said["reason"], said["active"]) == ("rolled_back", "model.digest", 1), said
        assert good.startswith(await serving(terminal))
    held = {path.name for path in (tmp_path / "state" / "bundles" / "files").iterdir()}
    assert good in held
    assert bad not in held
