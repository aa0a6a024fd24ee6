"""A face becomes a template, whatever the camera's format, and strangers stay strangers."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.biometrics.embed import fuse
from agent.biometrics.errors import FaceError, ModelError
from agent.biometrics.image import picture_of
from agent.biometrics.passive import PassiveNetwork
from agent.biometrics.pipeline import FacePipeline
from agent.biometrics.quality import _tint
from agent.biometrics.types import Guidance, Image, PixelFormat, Template
from tests.unit.faces_world import (
    HOLDER_CHIP,
    HOLDER_LIVE,
    OTHER,
    frame_of,
    nv12_of,
    pipeline,
    portrait_bytes,
    scene,
)


def live_template(name: str) -> Template:
    frame = frame_of(scene(name))
    return pipeline().embed(frame, pipeline().analyse(frame))


def test_the_holder_matches_the_chips_portrait_and_a_stranger_does_not() -> None:
    reference = pipeline().enroll(portrait_bytes(HOLDER_CHIP))
    assert pipeline().compare(live_template(HOLDER_LIVE), reference).match
    assert not pipeline().compare(live_template(OTHER), reference).match


def test_a_template_is_a_unit_vector_that_names_its_model() -> None:
    template = live_template(HOLDER_LIVE)
    assert template.vector.dtype == np.float32
    assert np.linalg.norm(template.vector) == pytest.approx(1.0, abs=1e-5)
    assert template.model == pipeline().bundle.manifest.models["embed"].sha256  # type: ignore[index] # StrEnum
    assert "vector" not in repr(template)


def test_every_pixel_format_gives_the_same_face() -> None:
    rgb = scene(HOLDER_LIVE)
    frames = {
        PixelFormat.RGB: rgb,
        PixelFormat.BGR: np.ascontiguousarray(rgb[:, :, ::-1]),
        PixelFormat.NV12: nv12_of(rgb),
    }
    templates = {}
    for form, pixels in frames.items():
        before = pixels.copy()
        frame = frame_of(pixels, form)
        templates[form] = pipeline().embed(frame, pipeline().analyse(frame)).vector
        assert np.array_equal(pixels, before), "the pipeline wrote into the frame"
    assert templates[PixelFormat.RGB] @ templates[PixelFormat.BGR] > 0.9999
    # Half of the colour is lost on the way to NV12.
    assert templates[PixelFormat.RGB] @ templates[PixelFormat.NV12] > 0.98


def test_an_array_of_another_format_is_refused() -> None:
    with pytest.raises(ValueError, match="NV12"):
        pipeline().analyse(frame_of(scene(HOLDER_LIVE), PixelFormat.NV12))


def test_yaw_and_roll_change_their_sign_in_the_mirror() -> None:
    pixels = scene(OTHER)
    seen = pipeline().analyse(frame_of(pixels)).face
    mirrored = pipeline().analyse(frame_of(np.ascontiguousarray(pixels[:, ::-1]))).face
    assert seen is not None
    assert mirrored is not None
    # This portrait looks to its own left, the right of the picture.
    assert seen.pose.yaw > 6
    assert mirrored.pose.yaw == pytest.approx(-seen.pose.yaw, abs=5)
    assert mirrored.pose.roll == pytest.approx(-seen.pose.roll, abs=3)


def test_points_follow_the_face_through_the_frame() -> None:
    left = pipeline().analyse(frame_of(scene(HOLDER_LIVE, x=0.4))).face
    right = pipeline().analyse(frame_of(scene(HOLDER_LIVE, x=0.6))).face
    assert left is not None
    assert right is not None
    shift = (right.points - left.points).mean(axis=0)
    assert shift == pytest.approx([128, 0], abs=4)


def test_templates_of_different_models_are_not_compared() -> None:
    probe = live_template(HOLDER_LIVE)
    foreign = Template(probe.vector, "0" * 64)
    with pytest.raises(FaceError) as caught:
        pipeline().compare(probe, foreign)
    assert caught.value.code == "face.templates_differ"
    with pytest.raises(FaceError):
        fuse([probe, foreign])


def test_fused_templates_stay_near_the_better_one() -> None:
    sharp = live_template(HOLDER_LIVE)
    blurred = cv2.GaussianBlur(scene(HOLDER_LIVE), (0, 0), 5)
    frame = frame_of(np.asarray(blurred, np.uint8))
    weak = pipeline().embed(frame, pipeline().analyse(frame))
    fused = fuse([sharp, weak], [3.0, 1.0])
    assert np.linalg.norm(fused.vector) == pytest.approx(1.0, abs=1e-5)
    assert fused.vector @ sharp.vector > fused.vector @ weak.vector
    with pytest.raises(FaceError):
        fuse([])


def test_an_empty_room_gives_no_template() -> None:
    frame = frame_of(np.full((480, 640, 3), 90, np.uint8))
    analysis = pipeline().analyse(frame)
    assert analysis.face is None
    assert analysis.guidance is Guidance.LOOK_HERE
    with pytest.raises(FaceError) as caught:
        pipeline().embed(frame, analysis)
    assert caught.value.code == "face.none"


def test_a_rate_that_nobody_calibrated_is_refused() -> None:
    with pytest.raises(ModelError, match="1e-12"):
        FacePipeline(target_fmr=1e-12)


def _own_megabytes() -> float:
    """What this process alone has written to and holds."""
    lines = Path("/proc/self/smaps_rollup").read_text("ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Anonymous:")) / 1000


def test_the_passive_network_leaves_nothing_behind() -> None:
    frame = frame_of(scene(HOLDER_LIVE))
    analysis = pipeline().analyse(frame)
    score = pipeline().passive(frame, analysis)
    before = _own_megabytes()
    network = PassiveNetwork(pipeline().bundle)
    assert analysis.face is not None
    assert network(picture_of(frame), analysis.face.box) == pytest.approx(score, abs=1e-6)
    held = _own_megabytes() - before
    assert held > 50, "the network is large: why it is dropped"
    del network
    assert pipeline().passive(frame, analysis) == pytest.approx(score, abs=1e-6)
    assert _own_megabytes() - before < 0.2 * held


@pytest.mark.parametrize(
    ("colour", "a", "b"),
    [((255, 0, 0), 80, 67), ((0, 0, 255), 79, -108), ((30, 160, 70), -53, 37), ((128, 128, 128), 0, 0)],
)
def test_tints_are_those_of_cielab(colour: tuple[int, int, int], a: float, b: float) -> None:
    """Values of CIELAB for sRGB colours at D65, as tables of colours have them."""
    patch = np.full((8, 8, 3), colour, np.uint8)
    assert _tint(patch) == pytest.approx([a, b], abs=1.0)


def _dark() -> Image:
    return np.asarray(scene(HOLDER_LIVE) * 0.25, np.uint8)


def _backlit() -> Image:
    person = scene(HOLDER_LIVE, room=0)
    return np.where(person.any(axis=2, keepdims=True), person * 0.4, 250).astype(np.uint8)


def _moving() -> Image:
    kernel = np.full((1, 15), 1 / 15, np.float32)
    return np.asarray(cv2.filter2D(scene(HOLDER_LIVE), -1, kernel), np.uint8)


def _masked() -> Image:
    frame = scene(HOLDER_LIVE)
    face = pipeline().analyse(frame_of(frame)).face
    assert face is not None
    (x, y), reach = face.points[2], face.inter_ocular
    cv2.rectangle(frame, (int(x - reach), int(y)), (int(x + reach), int(y + 1.3 * reach)), (120, 160, 200), -1)
    return frame


def _couple() -> Image:
    return np.hstack([scene(HOLDER_LIVE, 0.55)[:, 160:480], scene(OTHER, 0.55)[:, 160:480]])


@pytest.mark.parametrize(
    ("frame", "asked"),
    [
        (scene(HOLDER_LIVE), None),
        (scene(HOLDER_CHIP), None),
        (scene(HOLDER_LIVE, 0.3), Guidance.COME_CLOSER),
        (scene(HOLDER_LIVE, 2.4, y=0.95), Guidance.MOVE_BACK),
        (scene(HOLDER_LIVE, 0.9, x=0.08), Guidance.CENTRE),
        (_couple(), Guidance.ONE_PERSON),
        (_dark(), Guidance.MORE_LIGHT),
        (_backlit(), Guidance.LESS_BACKLIGHT),
        (_moving(), Guidance.HOLD_STILL),
        (_masked(), Guidance.UNCOVER),
    ],
    ids=["good", "portrait", "far", "near", "cut off", "two", "dark", "backlit", "moving", "masked"],
)
def test_the_person_is_told_what_to_do(frame: Image, asked: Guidance | None) -> None:
    analysis = pipeline().analyse(frame_of(frame))
    assert analysis.guidance is asked
    assert analysis.problems[:1] == (() if asked is None else (asked,))
