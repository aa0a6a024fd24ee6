"""Sources of frames: paced, deadlined, and noticed when they stop being cameras."""

import importlib.util
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.biometrics.camera import FrameSource
from agent.biometrics.camera.picamera import PicameraSource, trim_nv12
from agent.biometrics.camera.replay import ReplaySource
from agent.biometrics.camera.v4l2 import V4l2Source
from agent.biometrics.camera.watch import REPEATS, STANDSTILLS, WatchedSource
from agent.biometrics.errors import CameraError
from agent.biometrics.image import picture_of
from agent.biometrics.types import Frame, PixelFormat
from tests.unit.faces_world import HOLDER_LIVE, frame_of, nv12_of, scene


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, shade in enumerate((10, 90, 200)):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((48, 64, 3), shade, np.uint8))
    (tmp_path / "notes.txt").write_text("no picture", "utf-8")
    return tmp_path


def test_a_folder_plays_in_order_and_begins_again(folder: Path) -> None:
    source = ReplaySource(folder, rate=0)
    frames = [source.read(1) for _ in range(7)]
    assert [int(frame.pixels[0, 0, 0]) for frame in frames] == [10, 90, 200, 10, 90, 200, 10]
    assert [frame.sequence for frame in frames] == list(range(1, 8))


def test_a_replay_that_ends_is_a_camera_that_is_gone(folder: Path) -> None:
    source = ReplaySource(folder, rate=0, loop=False)
    for _ in range(3):
        source.read(1)
    assert code_of(source) == "camera.gone"
    source.close()
    assert code_of(source) == "camera.gone"


def test_frames_come_at_the_pace_of_a_camera(folder: Path) -> None:
    source = ReplaySource(folder, rate=50)
    began = time.monotonic()
    times = [source.read(1).timestamp for _ in range(6)]
    assert 0.09 < time.monotonic() - began < 0.6
    assert times == sorted(times)


def test_a_frame_that_is_not_due_is_a_timeout(folder: Path) -> None:
    source = ReplaySource(folder, rate=0.5)
    source.read(1)
    began = time.monotonic()
    assert code_of(source, 0.05) == "camera.timeout"
    assert time.monotonic() - began < 1


def test_a_video_is_played(tmp_path: Path) -> None:
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for shade in (0, 120, 240):
        writer.write(np.full((48, 64, 3), shade, np.uint8))
    writer.release()
    source = ReplaySource(path, rate=0, loop=False)
    frames = [source.read(1) for _ in range(3)]
    assert [frame.format for frame in frames] == [PixelFormat.BGR] * 3
    assert [round(float(frame.pixels.mean()), -1) for frame in frames] == [0, 120, 240]
    assert code_of(source) == "camera.gone"


def test_nothing_to_play_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(CameraError):
        ReplaySource(tmp_path)
    with pytest.raises(CameraError):
        ReplaySource(tmp_path / "absent")
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    assert code_of(ReplaySource(broken, rate=0)) == "camera.format"


class Still:
    """A source that shows what it is given."""

    def __init__(self, *frames: Frame) -> None:
        self._frames = list(frames)

    def read(self, timeout: float) -> Frame:
        return self._frames.pop(0)

    def close(self) -> None:
        self._frames.clear()


def noisy(number: int, timestamp: float) -> Frame:
    pixels = np.random.default_rng(number).integers(90, 110, (48, 64, 3)).astype(np.uint8)
    return Frame(pixels, PixelFormat.RGB, timestamp, number)


def test_a_camera_with_noise_is_a_camera() -> None:
    source = WatchedSource(Still(*(noisy(n, n / 15) for n in range(50))))
    assert [source.read(1).sequence for _ in range(50)] == list(range(50))


def test_one_picture_for_ever_is_not() -> None:
    frames = [Frame(noisy(1, 0).pixels, PixelFormat.RGB, n / 15, n) for n in range(20)]
    assert reads_until_frozen(WatchedSource(Still(*frames))) == REPEATS + 1


def test_nor_is_one_whose_time_stands_still() -> None:
    frames = [noisy(n, 1.0) for n in range(20)]
    assert reads_until_frozen(WatchedSource(Still(*frames))) == STANDSTILLS + 1


def test_rows_padded_by_the_driver_are_trimmed() -> None:
    picture = nv12_of(scene(HOLDER_LIVE))
    padded = np.zeros((720, 704), np.uint8)
    padded[:, :640] = picture
    assert np.array_equal(trim_nv12(padded.tobytes(), (640, 480), 704), picture)
    assert np.array_equal(trim_nv12(picture.reshape(-1), (640, 480), 640), picture)
    with pytest.raises(CameraError):
        trim_nv12(padded.tobytes()[:1000], (640, 480), 704)


def test_nv12_comes_out_in_the_colours_that_went_in() -> None:
    rgb = np.zeros((64, 64, 3), np.uint8)
    rgb[:, :32] = (200, 60, 40)
    rgb[:, 32:] = (40, 80, 190)
    back = picture_of(frame_of(nv12_of(rgb), PixelFormat.NV12)).pixels
    assert back[32, 8] == pytest.approx(rgb[32, 8], abs=6)
    assert back[32, 56] == pytest.approx(rgb[32, 56], abs=6)


def test_an_absent_device_is_said_at_once() -> None:
    with pytest.raises(CameraError) as caught:
        V4l2Source("/dev/video-that-is-not-there")
    assert caught.value.code == "camera.gone"


def test_picamera2_is_not_needed_to_import_this() -> None:
    if importlib.util.find_spec("picamera2") is not None:
        pytest.skip("picamera2 is installed here")
    with pytest.raises(CameraError) as caught:
        PicameraSource()
    assert caught.value.code == "camera.driver"


def test_a_picamera2_whose_extensions_want_another_numpy_is_a_missing_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "picamera2.py").write_text("raise ValueError('numpy.dtype size changed')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(CameraError) as caught:
        PicameraSource()
    assert caught.value.code == "camera.driver"


def code_of(source: FrameSource, timeout: float = 1.0) -> str:
    with pytest.raises(CameraError) as caught:
        source.read(timeout)
    return caught.value.code


def reads_until_frozen(source: WatchedSource) -> int:
    count = 0

    def read_on() -> None:
        nonlocal count
        while True:
            count += 1
            source.read(1)

    with pytest.raises(CameraError) as caught:
        read_on()
    assert caught.value.code == "camera.frozen"
    return count
