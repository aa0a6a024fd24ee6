"""The simulated person is a solid: what is nearer hides what is farther, and depth is where anatomy puts it."""

import numpy as np
import pytest

from agent.biometrics.liveness.parallax import LEAD, PointTrack
from agent.biometrics.pipeline import FacePipeline
from agent.biometrics.simulator import portraits, solids
from agent.biometrics.simulator.attacks import Recording, sheet
from agent.biometrics.simulator.camera import lit
from agent.biometrics.simulator.motion import Habits, Mover
from agent.biometrics.simulator.person import HEAD, Person
from agent.biometrics.simulator.raster import rasterise
from agent.biometrics.simulator.scene import PAGE, Light, Pose, Studio
from agent.biometrics.types import Frame, Guidance, Image, PixelFormat


def square(left: float, top: float, side: float) -> tuple[np.ndarray, np.ndarray]:
    points = np.array([[left, top], [left + side, top], [left, top + side], [left + side, top + side]], np.float32)
    return points, np.array([[0, 1, 2], [1, 3, 2]], np.int32)


def test_each_pixel_is_drawn_once_and_linearly() -> None:
    points, faces = square(2.0, 3.0, 10.0)
    values, pixels = rasterise(points, np.ones(4, np.float32), faces, points, (20, 20))
    assert len(np.unique(pixels)) == len(pixels) == 121
    assert np.allclose(values[:, 0], pixels % 20, atol=1e-3)
    assert np.allclose(values[:, 1], pixels // 20, atol=1e-3)


def test_the_nearer_surface_wins() -> None:
    (near, faces), (far, _) = square(5.0, 5.0, 4.0), square(0.0, 0.0, 19.0)
    points = np.concatenate([near, far])
    depth = np.array([1] * 4 + [2] * 4, np.float32)
    triangles = np.concatenate([faces, faces + 4])
    values, pixels = rasterise(points, depth, triangles, depth[:, None], (20, 20))
    picture = np.zeros(400)
    picture[pixels] = values[:, 0]
    assert picture.reshape(20, 20)[6, 6] == pytest.approx(1.0)
    assert picture.reshape(20, 20)[15, 15] == pytest.approx(2.0)


def test_what_is_outside_or_turned_away_is_not_drawn() -> None:
    points, faces = square(30.0, 30.0, 5.0)
    assert not len(rasterise(points, np.ones(4, np.float32), faces, points, (20, 20))[1])
    points, faces = square(2.0, 2.0, 5.0)
    away = faces[:, ::-1]
    assert not len(rasterise(points, np.ones(4, np.float32), away, points, (20, 20))[1])
    assert len(rasterise(points, np.ones(4, np.float32), away, points, (20, 20), two_sided=True)[1])


def test_the_head_is_as_deep_as_a_head() -> None:
    vertices, _ = solids.head()
    width, height, depth = np.ptp(vertices, axis=0)
    assert 145 < width < 160
    assert 225 < height < 250
    assert 185 < depth < 230
    nose = vertices[np.argmax(vertices[:, 2])]
    assert abs(nose[0]) < 6
    assert 30 < nose[1] < 52
    around_eye = vertices[
        (np.abs(np.abs(vertices[:, 0]) - 31) < 6) & (np.abs(vertices[:, 1]) < 6) & (vertices[:, 2] > 0)
    ]
    assert 25 < nose[2] - around_eye[:, 2].mean() < 55


def test_normals_point_outwards() -> None:
    centre = np.array([0.0, 0.0, 0.0])
    outward = np.einsum("ij,ij->i", HEAD.vertices - centre, HEAD.normals)
    assert (outward > 0).mean() > 0.95


def test_a_bent_sheet_keeps_its_length() -> None:
    mesh = sheet((300, 200), 180.0, bend=120.0, rows=2, columns=200)
    top = mesh.vertices[:200]
    assert np.linalg.norm(np.diff(top, axis=0), axis=1).sum() == pytest.approx(180.0, rel=1e-3)


def shots(pose: Pose, count: int = 1) -> list[Image]:
    studio, light = Studio(seed=1), Light()
    person = Person.of(portraits.shipped(portraits.OTHER), 1)
    pictures = []
    for _ in range(count):
        room = studio.empty(light)
        person.draw(studio, room, pose, light)
        pictures.append(studio.expose(room, light))
    return pictures


def test_no_two_pictures_of_one_pose_are_the_same() -> None:
    first, second = shots(Pose(), 2)
    assert not np.array_equal(first, second)


@pytest.mark.parametrize(("yaw", "pitch"), [(30.0, 0.0), (-30.0, 0.0), (0.0, 25.0), (0.0, -25.0)])
def test_the_networks_read_the_pose_that_was_drawn(yaw: float, pitch: float) -> None:
    pipeline = FacePipeline()
    ahead, turned = (
        pipeline.analyse(Frame(shots(pose)[0], PixelFormat.RGB, 0.0, 0)).face for pose in (Pose(), Pose(yaw, pitch))
    )
    assert ahead is not None
    assert turned is not None
    assert turned.pose.yaw - ahead.pose.yaw == pytest.approx(yaw, abs=10.0)
    assert turned.pose.pitch - ahead.pose.pitch == pytest.approx(pitch, abs=11.0)


def test_the_nose_of_a_head_runs_ahead_when_it_turns() -> None:
    pipeline, studio, light = FacePipeline(), Studio(seed=1), Light()
    person = Person.of(portraits.shipped(portraits.OTHER), 1)
    track = None
    for step in range(9):
        room = studio.empty(light)
        person.draw(studio, room, Pose(yaw=3.75 * step, distance=520.0), light)
        picture = studio.expose(room, light)
        grey = np.asarray(picture.mean(axis=2), np.uint8)
        if track is None:
            face = pipeline.analyse(Frame(picture, PixelFormat.RGB, 0.0, 0)).face
            assert face is not None
            track = PointTrack(grey, face)
        else:
            track.follow(grey)
    assert track is not None
    assert track.shape((1.0, 0.0)).lead > LEAD


def test_a_person_turns_only_after_the_prompt() -> None:
    mover = Mover(np.random.default_rng(1), Habits(tremor=0.0))
    mover.observe(Guidance.TURN_LEFT, 1.0)
    assert abs(mover.pose(1.1).yaw) < 0.1
    for now in np.arange(1.2, 3.0, 0.05):
        pose = mover.pose(float(now))
    assert pose.yaw > 25.0


def test_a_recording_begins_again() -> None:
    pictures = [np.full((2, 2, 3), value, np.uint8) for value in range(3)]
    recording = Recording(pictures, [0.0, 0.1, 0.2])
    assert [int(recording.at(time)[0, 0, 0]) for time in (0.0, 0.15, 0.19, 0.25)] == [0, 1, 1, 0]


def test_the_screen_lights_a_face_and_not_the_wall() -> None:
    studio, person = Studio(seed=1, noise=0.0), Person.of(portraits.shipped(portraits.OTHER), 1)
    means = []
    for colour in ("#ff2828", "#2828ff"):
        light = lit(Light(), colour)
        room = studio.empty(light)
        person.draw(studio, room, Pose(), light)
        face, wall = room[200:260, 290:350].reshape(-1, 3).mean(0), room[:, :60].reshape(-1, 3).mean(0)
        means.append((face, wall))
    (red_face, red_wall), (blue_face, blue_wall) = means
    assert red_face[0] / blue_face[0] > 1.03
    assert blue_face[2] / red_face[2] > 1.03
    assert red_wall[0] / blue_wall[0] < 1.02
    assert lit(lit(Light(), "#ff0000"), "").screen == PAGE
