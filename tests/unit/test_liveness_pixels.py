"""Evidence from pixels: what it takes for live, what for an attack, and when it says neither."""

import cv2
import numpy as np
import pytest

from agent.biometrics.liveness.challenge import COLOURS, draw
from agent.biometrics.liveness.light import LightShow
from agent.biometrics.liveness.parallax import LEAD, Parallax, PointTrack, TurnShape, grey_of
from agent.biometrics.liveness.policy import POLICIES
from agent.biometrics.liveness.stream import StreamWatch
from agent.biometrics.simulator.attempt import seeded
from agent.biometrics.types import Face, Frame, Image, LivenessVerdict, PixelFormat, Pose

LIVE, ATTACK, UNSURE = LivenessVerdict.LIVE, LivenessVerdict.ATTACK, LivenessVerdict.INDETERMINATE
RNG = np.random.default_rng(3)


# ---- The camera ----


def frames(pictures: list[Image], gap: float = 1 / 15) -> list[Frame]:
    return [Frame(picture, PixelFormat.RGB, k * gap, k) for k, picture in enumerate(pictures)]


def noisy(count: int, sigma: float = 2.0) -> list[Image]:
    base = np.full((120, 160, 3), 120.0)
    return [np.clip(base + RNG.normal(0, sigma, base.shape), 0, 255).astype(np.uint8) for _ in range(count)]


def watched(stream: list[Frame]) -> StreamWatch:
    watch = StreamWatch(required=True)
    for frame in stream:
        watch.see(frame)
    return watch


def test_a_sensor_is_a_camera() -> None:
    assert watched(frames(noisy(30))).part().verdict is LIVE


def test_a_frozen_picture_is_none() -> None:
    watch = watched(frames(noisy(1) * 20))
    assert watch.frozen
    assert watch.part().verdict is ATTACK


def test_a_loop_is_none() -> None:
    assert watched(frames(noisy(10) * 3)).frozen


def test_a_stream_without_noise_is_none() -> None:
    steps = [np.full((120, 160, 3), 120, np.uint8) for _ in range(20)]
    for k, picture in enumerate(steps):
        picture[5, 3] = k
    assert watched(frames(steps)).frozen


def test_a_clock_that_runs_backwards_is_none() -> None:
    pictures = noisy(12)
    stream = [Frame(p, PixelFormat.RGB, -k / 15, k) for k, p in enumerate(pictures)]
    assert watched(stream).frozen


def test_one_frame_delivered_twice_is_a_driver() -> None:
    pictures = noisy(30)
    pictures[11] = pictures[10]
    assert not watched(frames(pictures)).frozen


def test_too_slow_a_camera_proves_nothing() -> None:
    assert watched(frames(noisy(12), gap=0.5)).part().verdict is UNSURE


def test_an_empty_stream_proves_nothing() -> None:
    assert StreamWatch(required=True).part().verdict is UNSURE


# ---- Parallax ----


def textured() -> Image:
    noise = RNG.normal(128, 60, (480, 640)).astype(np.float32)
    return np.asarray(np.clip(cv2.GaussianBlur(noise, (0, 0), 2.0) * 3 - 256, 0, 255), np.uint8)


def face() -> Face:
    """A face of 80 pixels between the eyes, in the middle of the frame."""
    points = np.array([[280, 200], [360, 200], [320, 250], [290, 290], [350, 290]], np.float32)
    angle = np.linspace(0, 2 * np.pi, 468, endpoint=False)
    mesh = np.column_stack([320 + 90 * np.cos(angle), 240 + 110 * np.sin(angle), 0 * angle]).astype(np.float32)
    edges = np.array([230, 140, 410, 340], np.float32)
    return Face(edges, 1.0, np.zeros((6, 2), np.float32), points, 1.0, mesh, 1.0, Pose(0.0, 0.0, 0.0))


def moved(picture: Image, x: float, *, nose: float = 0.0, room: float = 0.0) -> Image:
    """The picture with the face narrowed and shifted by x pixels, the nose by more, the room by `room`."""
    rows, columns = np.mgrid[0:480, 0:640].astype(np.float32)
    at_face = np.exp(-((((columns - 320) / 130) ** 8) + ((rows - 240) / 150) ** 8))
    at_nose = np.exp(-((((columns - 320) / 32) ** 6) + ((rows - 250) / 32) ** 6))
    shift = at_face * (x - 0.08 * (columns - 320)) + (1 - at_face) * room + at_nose * nose
    source = (columns - shift).astype(np.float32)
    return np.asarray(cv2.remap(picture, source, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT), np.uint8)


def turned(nose: float, room: float) -> TurnShape:
    picture = textured()
    track = PointTrack(picture, face())
    for step in range(1, 7):
        share = step / 6
        track.follow(moved(picture, 18 * share, nose=nose * share, room=room * share))
    return track.shape((1.0, 0.0))


def test_a_nose_that_runs_ahead_is_deep() -> None:
    shape = turned(nose=18.0, room=0.0)
    assert shape.lead > LEAD
    assert shape.carried < 0.3


def test_a_plane_has_no_depth_however_it_moves() -> None:
    shape = turned(nose=0.0, room=18.0)
    assert abs(shape.lead) < 0.03
    assert shape.carried > 0.7


def test_plain_skin_gives_no_points_and_no_verdict() -> None:
    plain = np.full((480, 640), 128, np.uint8)
    track = PointTrack(plain, face())
    track.follow(plain)
    assert np.isnan(track.shape((1.0, 0.0)).lead)
    evidence = Parallax(required=True)
    evidence.turns.append(track.shape((1.0, 0.0)))
    depth, surround = evidence.parts()
    assert depth.verdict is UNSURE
    assert surround.verdict is UNSURE


def test_too_little_depth_is_never_called_an_attack() -> None:
    evidence = Parallax(required=True, turns=[TurnShape(0.02, 0.1)] * 3)
    assert evidence.parts()[0].verdict is UNSURE


@pytest.mark.parametrize("layout", list(PixelFormat))
def test_grey_values_come_from_every_format(layout: PixelFormat) -> None:
    rows = 720 if layout is PixelFormat.NV12 else 480
    pixels = np.zeros((rows, 640) if layout is PixelFormat.NV12 else (480, 640, 3), np.uint8)
    assert grey_of(Frame(pixels, layout, 0.0, 0)).shape == (480, 640)


# ---- The screen's light ----


def lit_frames(strength: float, delay: float, layout: PixelFormat = PixelFormat.RGB, room: float = 0.0) -> LightShow:
    """A show before a face that takes `strength` of the screen's light, `delay` seconds late."""
    colours = draw(POLICIES["high"], rng=seeded(5)).colours
    show = LightShow(colours, 0.3)
    show.begin(0.0)
    person, seen = face(), []
    for k in range(36):
        now = k / 15
        seen.append((now, show.colour(now)))
        late = next((c for t, c in reversed(seen) if t <= now - delay and c), "#999999")
        screen = np.array([int(late[at : at + 2], 16) for at in (1, 3, 5)]) / 255
        pixels = np.full((480, 640, 3), 110.0) * (1 + room * (screen - 0.5))
        pixels[140:340, 230:410] = 130 * (1 + strength * (screen - 0.5))
        shown = np.clip(pixels + RNG.normal(0, 3, pixels.shape), 0, 255).astype(np.uint8)
        if layout is PixelFormat.BGR:
            shown = np.ascontiguousarray(shown[..., ::-1])
        elif layout is PixelFormat.NV12:
            planar = cv2.cvtColor(shown, cv2.COLOR_RGB2YUV_I420)
            chroma = planar[480:].reshape(2, 240 * 320).T.reshape(240, 640)
            shown = np.vstack([planar[:480], chroma]).astype(np.uint8)
        show.see(Frame(shown, layout, now, k), person)
    return show


@pytest.mark.parametrize("layout", list(PixelFormat))
def test_a_face_that_takes_the_colours_is_lit_by_the_screen(layout: PixelFormat) -> None:
    evidence = lit_frames(0.06, 0.1, layout).part()
    assert evidence.verdict is LIVE
    assert evidence.score > 0.8


def test_a_face_that_shines_by_itself_is_not() -> None:
    assert lit_frames(0.0, 0.0).part().verdict is UNSURE


def test_a_whole_picture_that_changes_colour_is_not() -> None:
    assert lit_frames(0.06, 0.1, room=0.06).part().verdict is UNSURE


def test_the_show_ends_and_shows_every_colour() -> None:
    show = LightShow(COLOURS, 0.3)
    assert show.colour(0.0) == ""
    show.begin(10.0)
    assert len({show.colour(10.0 + 0.3 * k + 0.01) for k in range(len(COLOURS))}) == len(COLOURS)
    assert show.over(10.0 + 0.3 * len(COLOURS) + 0.01)
