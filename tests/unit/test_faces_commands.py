"""The commands do what their help says, on pictures made from the shipped portraits."""

import json
from pathlib import Path

import cv2
import pytest
from click.testing import CliRunner, Result

from agent.biometrics.bundle import ModelBundle
from agent.biometrics.errors import FaceError, ModelError
from agent.biometrics.manifest import Role
from agent.biometrics.pipeline import FacePipeline
from agent.biometrics.site import SiteManifest
from agent.cli.face import face
from agent.cli.models import models
from agent.evaluation.errors import EvaluationError
from tests.unit.faces_world import HOLDER_CHIP, HOLDER_LIVE, OTHER, portrait, scene


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two persons, four pictures each, and a list of pairs with one picture that is not there."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    names = {"a": (HOLDER_CHIP, HOLDER_LIVE), "b": (OTHER, OTHER)}
    for person, (one, other) in names.items():
        for number, (name, size) in enumerate(((one, 0.75), (one, 0.6), (other, 0.8), (other, 0.65))):
            save(folder / f"{person}{number}.png", name, size)
    rows = ["a,b,same,set,fold"]
    for number in range(4):
        rows.append(f"pictures/a{number}.png,{folder}/a{(number + 1) % 4}.png,1,near,{number % 2}")
        rows.append(f"pictures/a{number}.png,pictures/b{number}.png,0,near,{number % 2}")
    rows.append("pictures/a0.png,pictures/gone.png,1,near,0")
    (tmp_path / "pairs.csv").write_text("\n".join(rows), "utf-8")
    listed = [f"pictures/{person}{number}.png,{person}" for person in "ab" for number in range(4)]
    (tmp_path / "images.csv").write_text("\n".join(["path,subject", *listed]), "utf-8")
    return tmp_path


def save(path: Path, name: str, size: float) -> None:
    cv2.imwrite(str(path), cv2.cvtColor(scene(name, size), cv2.COLOR_RGB2BGR))


def call(*arguments: object) -> Result:
    return CliRunner().invoke(models, [str(argument) for argument in arguments], catch_exceptions=False)


def test_pairs_are_measured_and_reported(pictures: Path, own_cache: Path) -> None:
    out = pictures / "report"
    result = call("evaluate", "--pairs", pictures / "pairs.csv", "--out", out, "--jobs", 1)
    assert result.exit_code == 0
    report = json.loads((out / "report.json").read_text())
    near = report["sets"]["near"]
    assert near["pairs"] == 9
    assert near["failures_to_acquire"] == 1
    assert near["failure_codes"] == {"evaluation.file_missing": 1}
    assert near["accuracy_mean_without_failures"] == 1.0
    assert near["accuracy_mean"] == pytest.approx((4 / 5 + 1) / 2)
    assert set(near) >= {"accuracy_std", "eer", "fnmr_at_fmr", "fnmr_at_fmr_interval", "thresholds"}
    assert report["models"]["embed"] == ModelBundle.shipped().entry(Role.EMBED).sha256
    for name in ("report.md", "det.png", "histogram.png"):
        assert (out / name).stat().st_size > 500
    stored = next((own_cache / "renzheng" / "evaluation").glob("*.sqlite"))
    assert stored.stat().st_mode & 0o077 == 0 or stored.parent.stat().st_mode & 0o077 == 0


def test_limit_takes_the_first_rows(pictures: Path) -> None:
    out = pictures / "report"
    call("evaluate", "--pairs", pictures / "pairs.csv", "--out", out, "--jobs", 1, "--limit", 4, "--no-cache")
    assert json.loads((out / "report.json").read_text())["sets"]["near"]["pairs"] == 4


def test_two_workers_find_what_one_finds(pictures: Path) -> None:
    reports = []
    for jobs in (1, 2):
        out = pictures / f"report{jobs}"
        call("evaluate", "--images", pictures / "images.csv", "--out", out, "--jobs", jobs, "--no-cache")
        reports.append(json.loads((out / "report.json").read_text())["sets"]["all"])
    assert reports[0] == reports[1]
    assert reports[0]["genuine_pairs"] == 12
    assert reports[0]["impostor_pairs"] == 16
    assert "do not carry" in reports[0]["not_carried"]


def test_a_calibrated_threshold_is_used_by_the_pipeline(pictures: Path) -> None:
    site = pictures / "site.toml"
    result = call("calibrate", "--images", pictures / "images.csv", "--fmr", 0.1, "--site", site, "--jobs", 1)
    assert result.exit_code == 0
    manifest = SiteManifest.load(site)
    assert manifest.embed is not None
    (threshold,) = manifest.embed.thresholds
    assert threshold.impostor_pairs == 16
    pipeline = FacePipeline(target_fmr=0.1, site=manifest)
    reference = pipeline.enroll((pictures / "pictures" / "a0.png").read_bytes())
    compared = pipeline.compare(pipeline.enroll((pictures / "pictures" / "a2.png").read_bytes()), reference)
    assert compared.threshold == threshold.cosine
    assert compared.match


def test_a_site_that_was_measured_with_another_model_is_refused(pictures: Path) -> None:
    site = pictures / "site.toml"
    call("calibrate", "--images", pictures / "images.csv", "--fmr", 0.1, "--site", site, "--jobs", 1)
    model = ModelBundle.shipped().entry(Role.EMBED).sha256
    site.write_text(site.read_text("utf-8").replace(model, "0" * 64), "utf-8")
    with pytest.raises(ModelError, match="another embedding model"):
        FacePipeline(target_fmr=0.1, site=SiteManifest.load(site))
    with pytest.raises(ModelError) as caught:
        SiteManifest.load(site, trusted_keys=[])
    assert caught.value.code == "model.signature"


def test_too_few_pictures_for_a_rate_are_refused(pictures: Path) -> None:
    with pytest.raises(EvaluationError, match="16 impostor pairs") as caught:
        call(
            "calibrate", "--images", pictures / "images.csv", "--fmr", 1e-5, "--site", pictures / "s.toml", "--jobs", 1
        )
    assert caught.value.code == "evaluation.too_few"
    assert not (pictures / "s.toml").exists()


def test_presentations_of_pictures_and_videos_are_measured(pictures: Path) -> None:
    writer = cv2.VideoWriter(str(pictures / "clip.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (640, 480))
    for _ in range(2):
        writer.write(cv2.cvtColor(scene(OTHER), cv2.COLOR_RGB2BGR))
    writer.release()
    rows = ["path,label,subject,clip"]
    rows += [f"pictures/a{number}.png,live,a,a/live" for number in range(2)]
    rows += ["clip.avi,replay,b,", "pictures/absent.png,print,b,b/print"]
    (pictures / "pad.csv").write_text("\n".join(rows), "utf-8")
    result = call("evaluate-pad", "--samples", pictures / "pad.csv", "--out", pictures / "pad", "--jobs", 1)
    assert result.exit_code == 0
    report = json.loads((pictures / "pad" / "report.json").read_text())
    assert report["per_clip"]["presentations"] == {"live": 1, "print": 1, "replay": 1}
    assert report["per_clip"]["non_response"]["print"] == 1.0
    assert report["per_clip"]["apcer"]["print"] is None
    assert report["per_frame"]["presentations"]["replay"] == 2
    assert set(report["per_clip"]["apcer_at_bpcer"]) == {"5%", "10%"}


def test_two_pictures_and_a_question() -> None:
    from importlib import resources

    folder = resources.files("firmware_bridge.simulator") / "portraits"
    runner = CliRunner()
    with resources.as_file(folder / "holder-chip.jpg") as chip, resources.as_file(folder / "other.jpg") as other:
        live = chip.with_name("holder-live.jpg")
        same = runner.invoke(face, ["compare", str(chip), str(live), "--json"])
        different = runner.invoke(face, ["compare", str(chip), str(other)])
    assert same.exit_code == 0
    assert json.loads(same.stdout)["match"] is True
    assert different.exit_code == 2
    assert "not taken for one person" in different.stdout


def test_a_picture_is_drawn_with_what_was_seen(tmp_path: Path) -> None:
    source, target = tmp_path / "in.png", tmp_path / "out.png"
    cv2.imwrite(str(source), cv2.cvtColor(portrait(OTHER), cv2.COLOR_RGB2BGR))
    result = CliRunner().invoke(face, ["inspect", str(source), "--annotate", str(target), "--json"])
    seen = json.loads(result.stdout)
    assert seen["faces"] == 1
    assert len(seen["face"]["points"]) == 5
    drawn, original = cv2.imread(str(target)), cv2.imread(str(source))
    assert drawn is not None
    assert original is not None
    assert drawn.shape == original.shape
    left, top, right, bottom = (round(v) for v in seen["face"]["box"])
    changed = (drawn != original).any(axis=2)
    assert changed[top:bottom, left:right].mean() > 0.02
    assert changed[:top].mean() < 0.01


def test_a_picture_without_a_face_is_named(tmp_path: Path) -> None:
    empty = tmp_path / "empty.png"
    cv2.imwrite(str(empty), scene(OTHER)[:40, :40])
    result = CliRunner().invoke(face, ["compare", str(empty), str(empty)])
    assert isinstance(result.exception, FaceError)
    assert result.exception.code == "face.none"
    assert "empty.png" in str(result.exception)


def test_a_camera_is_calibrated_on_living_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.evaluation.camera.FEWEST", 4)
    folder = tmp_path / "frames"
    folder.mkdir()
    for number, name in enumerate((HOLDER_LIVE, OTHER, HOLDER_CHIP, HOLDER_LIVE)):
        save(folder / f"{number}.png", name, 0.7 + number / 50)
    site = tmp_path / "site.toml"
    result = call("calibrate-camera", "--replay", folder, "--site", site, "--seconds", 30)
    assert result.exit_code == 0
    camera = SiteManifest.load(site).camera
    assert camera is not None
    assert camera.frames == 4
    limits = FacePipeline(site=SiteManifest.load(site)).advice_limits
    assert limits == {"passive": camera.passive_threshold, "borders": camera.borders_threshold}
    assert 0 <= camera.passive_threshold <= 1
    (folder / "3.png").unlink()
    with pytest.raises(EvaluationError, match="3 good frames"):
        call("calibrate-camera", "--replay", folder, "--site", site, "--seconds", 30)
