"""Verification as others run it: pictures with bystanders, tight crops, lists from spreadsheets, long lists."""

import csv
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from time import perf_counter, sleep

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from agent.biometrics.decode import decode_file
from agent.biometrics.image import Picture
from agent.biometrics.types import Image
from agent.evaluation.cache import ResultCache
from agent.evaluation.commands import evaluate_pairs, evaluate_presentations
from agent.evaluation.errors import EvaluationError
from agent.evaluation.faces import Embeddings
from agent.evaluation.run import Run
from agent.evaluation.samples import Pair, read_pairs
from agent.evaluation.verification import report_on_pairs
from agent.evaluation.workers import map_items
from tests.unit.faces_world import HOLDER_CHIP, HOLDER_LIVE, OTHER, pipeline, portrait, portrait_bytes

#: Far above any two strangers here, well below any two pictures of one person.
ONE_PERSON = 0.5


def head(name: str, side: int) -> Image:
    """A portrait's head and shoulders, `side` pixels wide."""
    picture = portrait(name)
    height = picture.shape[0] * side // picture.shape[1]
    return np.asarray(cv2.resize(picture, (side, height), interpolation=cv2.INTER_AREA), np.uint8)


def paste(canvas: Image, picture: Image, x: int, y: int) -> None:
    """`picture` with its middle at x, y of `canvas`, cut off at the edges."""
    height, width = picture.shape[:2]
    left, top = x - width // 2, y - height // 2
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + width, canvas.shape[1]), min(top + height, canvas.shape[0])
    canvas[y0:y1, x0:x1] = picture[y0 - top : y1 - top, x0 - left : x1 - left]


def cosine_with_holder(pixels: Image) -> float:
    picture = Picture(pixels)
    template = pipeline().embed_still(picture, pipeline().analyse_still(picture))
    return float(template.vector @ pipeline().enroll(portrait_bytes(HOLDER_CHIP)).vector)


@pytest.mark.parametrize(
    ("x", "y", "size"), [(30, 125, 150), (225, 110, 150), (20, 60, 170), (240, 190, 130), (30, 30, 90), (235, 40, 60)]
)
def test_in_an_uncropped_picture_the_one_in_the_middle_is_meant(x: int, y: int, size: int) -> None:
    """250 x 250 pixels, the person as the best known benchmark has them, and a bystander, in front or behind."""
    canvas = np.full((250, 250, 3), 120, np.uint8)
    bystander, person = head(OTHER, size), head(HOLDER_LIVE, 125)
    if size > 125:
        paste(canvas, person, 125, 130)
        paste(canvas, bystander, x, y)
    else:
        paste(canvas, bystander, x, y)
        paste(canvas, person, 125, 130)
    assert cosine_with_holder(canvas) > ONE_PERSON


def test_a_person_aside_is_meant_if_the_one_in_the_middle_is_far_behind() -> None:
    canvas = np.full((480, 640, 3), 120, np.uint8)
    paste(canvas, head(OTHER, 70), 330, 200)
    paste(canvas, head(HOLDER_LIVE, 300), 180, 260)
    assert cosine_with_holder(canvas) > ONE_PERSON


def tight(name: str, side: int) -> Image:
    """The face alone, as cropped data sets have it: brow to chin, ear to ear."""
    face = pipeline().analyse_still(Picture(portrait(name))).face
    assert face is not None
    left, top, right, bottom = (int(v) for v in face.box)
    crop = portrait(name)[max(top, 0) : bottom, max(left, 0) : right]
    return np.asarray(cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA), np.uint8)


@pytest.mark.parametrize("side", [64, 112, 160, 224])
def test_tight_crops_are_found(side: int) -> None:
    assert cosine_with_holder(tight(HOLDER_LIVE, side)) > ONE_PERSON


def test_greys_are_compared_with_colours(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "grey.png"), cv2.cvtColor(portrait(HOLDER_LIVE), cv2.COLOR_RGB2GRAY))
    assert cosine_with_holder(decode_file(tmp_path / "grey.png")) > ONE_PERSON


@pytest.mark.parametrize("side", [16, 8, 1])
def test_a_picture_too_small_for_a_face_ends_without_one(side: int) -> None:
    picture = Picture(np.ascontiguousarray(head(HOLDER_LIVE, 160)[:side, :side]))
    assert pipeline().analyse_still(picture).face is None


@pytest.mark.parametrize(("width", "height", "side"), [(2000, 1500, 200), (1600, 1200, 110), (6000, 4000, 700)])
def test_a_small_face_in_a_large_picture_is_found(width: int, height: int, side: int) -> None:
    canvas = np.full((height, width, 3), 120, np.uint8)
    paste(canvas, head(HOLDER_LIVE, side), width * 3 // 4, height // 3)
    assert cosine_with_holder(canvas) > ONE_PERSON


def test_no_face_is_seen_in_clouds() -> None:
    """However often it is looked again: the detector is less sure of itself than it says."""
    rng = np.random.default_rng(0)
    seen = 0
    for _ in range(12):
        noise = rng.integers(0, 256, (rng.integers(300, 900), rng.integers(300, 900), 3), dtype=np.uint8)
        clouds = cv2.GaussianBlur(noise, (0, 0), float(rng.uniform(2, 20))).astype(np.float32)
        stretched = (clouds - clouds.min()) * (255 / (clouds.max() - clouds.min()))
        seen += pipeline().analyse_still(Picture(stretched.astype(np.uint8))).face is not None
    assert seen <= 1


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffa,b,same\r\nx.jpg,y.jpg,1\r\nx.jpg,z.jpg,0\r\n",
        "a;b;same;set\r\nx.jpg;y.jpg;TRUE;\r\nx.jpg;z.jpg;False;\r\n;;;\r\n",
        "a\tb\tsame\nx.jpg\ty.jpg\t1.0\nx.jpg\tz.jpg\t0.0\n\n",
        ' "a" , b , Same , fold\n "x.jpg" , y.jpg , yes ,\n x.jpg , z.jpg , no ,\n',
        "same,extra,b,a\nt,?,y.jpg,x.jpg\nf,?,z.jpg,x.jpg\n,,,\n",
    ],
)
def test_lists_of_spreadsheets_are_read(tmp_path: Path, text: str) -> None:
    table = tmp_path / "pairs.csv"
    table.write_text(text, "utf-8")
    pairs = [(pair.a, pair.b, pair.same, pair.fold) for pair in read_pairs(table)]
    x, y, z = (tmp_path / f"{name}.jpg" for name in "xyz")
    assert pairs == [(x, y, True, None), (x, z, False, None)]


def unit(angle: float) -> NDArray[np.float32]:
    return np.array([np.cos(angle), np.sin(angle)], np.float32)


def test_a_list_without_folds_is_dealt_out_evenly() -> None:
    """Same and different in turn: counting rows would put one kind into each fold. The answers of fold 0 are wrong."""
    good, bad, far = Path("good"), Path("bad"), Path("far")
    found = Embeddings({good: unit(0.0), bad: unit(1.5), far: unit(1.4)}, {})
    pairs = []
    for number in range(100):
        wrong = number % 10 == 0
        pairs.append(Pair(good, bad if wrong else good, True, "s", None, None, None))
        pairs.append(Pair(good, good if wrong else far, False, "s", None, None, None))
    report = report_on_pairs(pairs, found, found)[0]["s"]
    assert report["folds"] == 10
    assert report["accuracy_mean"] == pytest.approx(0.9)
    # One fold of ten is wrong as a whole, the others right.
    assert report["accuracy_std"] == pytest.approx(0.3)
    assert report_on_pairs(pairs, found, found)[0]["s"] == report


def test_twenty_thousand_pairs_are_counted_in_seconds() -> None:
    rng = np.random.default_rng(2)
    vectors = {}
    for number in range(8000):
        vector = rng.normal(size=192).astype(np.float32)
        vectors[Path(f"p/{number}.jpg")] = vector / np.linalg.norm(vector)
    paths = list(vectors)
    found = Embeddings(vectors, {})
    chosen = rng.integers(0, 8000, (20_000, 2))
    pairs = [
        Pair(paths[a], paths[a] if same else paths[b], same, "s", int(n * 10 // 20_000), None, None)
        for n, (a, b) in enumerate(chosen)
        for same in [n % 2 == 0]
    ]
    start = perf_counter()
    report = report_on_pairs(pairs, found, found)[0]["s"]
    assert perf_counter() - start < 20
    assert report["accuracy_mean"] > 0.99
    assert report["fnmr_at_fmr"]["1e-3"] == 0.0


def test_pictures_without_a_template_are_named(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "one.png"), cv2.cvtColor(portrait(HOLDER_LIVE), cv2.COLOR_RGB2BGR))
    cv2.imwrite(str(tmp_path / "wall.png"), np.full((200, 200, 3), 90, np.uint8))
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    table = tmp_path / "pairs.csv"
    table.write_text("a,b,same\none.png,wall.png,1\none.png,broken.jpg,0\none.png,gone.png,0\none.png,one.png,1\n")
    evaluate_pairs(table, tmp_path / "out", Run(jobs=1, keep=False))
    with (tmp_path / "out" / "failures.csv").open(newline="", encoding="utf-8") as file:
        named = {Path(row["path"]).name: row["code"] for row in csv.DictReader(file)}
    assert named == {
        "wall.png": "face.none",
        "broken.jpg": "face.image_unreadable",
        "gone.png": "evaluation.file_missing",
    }
    report = json.loads((tmp_path / "out" / "report.json").read_text())["sets"]["all"]
    assert (report["pairs"], report["failures_to_acquire"]) == (4, 3)


def test_a_list_that_points_nowhere_is_an_error_not_a_rate(tmp_path: Path) -> None:
    table = tmp_path / "pairs.csv"
    table.write_text("a,b,same\nx/1.jpg,x/2.jpg,1\nx/1.jpg,x/3.jpg,0\n", "utf-8")
    with pytest.raises(EvaluationError, match="none of the files is there") as caught:
        evaluate_pairs(table, tmp_path / "out", Run(jobs=1, keep=False))
    assert caught.value.code == "evaluation.samples"
    table.write_text("path,label\nx/1.jpg,live\nx/2.mp4,print\n", "utf-8")
    with pytest.raises(EvaluationError, match="none of the files is there"):
        evaluate_presentations(table, tmp_path / "out", Run(jobs=1, keep=False))


def _slowly(item: tuple[Path, ...]) -> bytes:
    sleep(0.05)
    return item[0].read_bytes()


def _dying(item: tuple[Path, ...]) -> bytes:
    os._exit(9)


def _no_preparation() -> None:
    """Prepares no worker."""


def run_over(folder: Path, work: Callable[[tuple[Path, ...]], bytes]) -> dict[tuple[Path, ...], bytes | None]:
    items = [(file,) for file in sorted(folder.glob("*.txt"))]
    with ResultCache("key", folder / "cache") as cache:
        return map_items(items, work, _no_preparation, (), cache, 2)


@pytest.fixture
def many(tmp_path: Path) -> Path:
    for number in range(2000):
        (tmp_path / f"{number}.txt").write_text(str(number), "ascii")
    return tmp_path


def test_an_interrupted_run_stops_at_once_and_keeps_what_it_has(many: Path) -> None:
    code = f"from pathlib import Path; from {__name__} import _slowly, run_over; run_over(Path({str(many)!r}), _slowly)"
    # A shell starts its background jobs with SIGINT ignored, and so would this be.
    command = ["env", "--default-signal=INT", sys.executable, "-c", code]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    stored = many / "cache" / "key.sqlite"

    def known() -> int:
        with suppress(sqlite3.OperationalError), closing(sqlite3.connect(f"file:{stored}?mode=ro", uri=True)) as base:
            return int(base.execute("SELECT count(*) FROM result").fetchone()[0])
        return 0

    deadline = perf_counter() + 60
    while known() < 16:
        assert perf_counter() < deadline
        assert process.poll() is None
        sleep(0.2)
    # As a terminal sends Ctrl-C: to every process of the group.
    os.killpg(process.pid, signal.SIGINT)
    start = perf_counter()
    assert process.wait(30) != 0
    assert perf_counter() - start < 10, "2,000 items of 50 ms on two workers would take 50 s"
    assert 16 <= known() < 2000


def test_a_worker_that_dies_is_an_error_with_a_code(many: Path) -> None:
    with pytest.raises(EvaluationError) as caught:
        run_over(many, _dying)
    assert caught.value.code == "evaluation.worker"
