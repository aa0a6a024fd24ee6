"""The error rates are those that a person would count by hand."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.evaluation.cache import ResultCache
from agent.evaluation.errors import EvaluationError
from agent.evaluation.faces import Embeddings
from agent.evaluation.pad import report_on_presentations
from agent.evaluation.presentations import ClipScores
from agent.evaluation.rates import (
    Impostors,
    accuracy_over_folds,
    best_threshold,
    equal_error_rate,
    fnmr,
    interval_of_mean,
)
from agent.evaluation.samples import Pair, Picture, read_pairs, read_pictures, read_presentations
from agent.evaluation.verification import rate_name, report_on_images, report_on_pairs
from agent.evaluation.workers import map_items


def unit(angle: float) -> NDArray[np.float32]:
    return np.array([np.cos(angle), np.sin(angle)], np.float32)


def test_a_threshold_lets_no_more_impostors_pass_than_its_rate() -> None:
    rng = np.random.default_rng(3)
    similarities = rng.normal(0, 0.2, 100_000).clip(-1, 1)
    impostors = Impostors.of(similarities)
    for rate in (1e-1, 1e-2, 1e-3, 1e-4):
        threshold = impostors.threshold(rate)
        assert threshold is not None
        passed = float((similarities >= threshold).mean())
        assert passed <= rate
        # And it is not stricter than it need be: one step of the histogram lower, too many pass.
        assert (similarities >= threshold - 1e-3).mean() > rate * 0.9
        assert impostors.fmr(threshold) == pytest.approx(passed, abs=2e-5)
    assert impostors.threshold(1e-6) is None, "a hundred thousand pairs say nothing about one in a million"


def test_equal_error_rate_of_two_overlapping_rows() -> None:
    # Genuine 0.1 .. 1.0 and impostors -0.8 .. 0.1+: one in ten overlaps.
    genuine = np.linspace(0.1, 1.0, 10)
    impostors = Impostors.of(np.append(np.linspace(-0.8, 0.0, 9), 0.15))
    assert equal_error_rate(genuine, impostors) == pytest.approx(0.1, abs=0.01)
    assert equal_error_rate(genuine, Impostors.of(np.full(10, -0.5))) == pytest.approx(0.0)


def test_the_best_threshold_lies_between_the_two_kinds() -> None:
    similarities = np.array([0.1, 0.2, 0.3, 0.7, 0.8, 0.9])
    same = np.array([False, False, False, True, True, True])
    assert best_threshold(similarities, same) == pytest.approx(0.5)


def test_the_threshold_of_a_fold_is_chosen_on_the_others() -> None:
    # In fold 1 the two kinds are swapped: a threshold chosen there would be right, one from fold 0 is always wrong.
    similarities = np.array([0.9, 0.8, 0.1, 0.2, 0.1, 0.2, 0.9, 0.8])
    same = np.array([True, True, False, False, True, True, False, False])
    folds = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    assert accuracy_over_folds(similarities, same, folds)[1] == 0.0


def test_subjects_are_drawn_as_a_whole() -> None:
    # Ten subjects, one of whom always fails: drawing pairs would pretend to know ten times as much.
    values = np.repeat([1.0] + [0.0] * 9, 100)
    by_subject = interval_of_mean(values, np.repeat(np.arange(10), 100))
    by_pair = interval_of_mean(values, np.arange(1000))
    assert by_subject[1] - by_subject[0] > 5 * (by_pair[1] - by_pair[0])


def test_rates_are_named_as_people_write_them() -> None:
    assert [rate_name(rate) for rate in (1e-2, 1e-5, 5e-4)] == ["1e-2", "1e-5", "5e-4"]


def test_a_pair_without_a_face_is_an_error_and_is_reported_beside() -> None:
    a, b, c, gone = (Path(f"{name}.jpg") for name in "abcx")
    found = Embeddings({a: unit(0), b: unit(0.1), c: unit(2.0)}, {gone: "face.none"})
    pairs = [Pair(a, b, True, "s", i % 2, None, None) for i in range(8)]
    pairs += [Pair(a, c, False, "s", i % 2, None, None) for i in range(100)]
    pairs += [Pair(a, gone, True, "s", 0, None, None), Pair(a, gone, True, "s", 1, None, None)]
    report = report_on_pairs(pairs, found, found)[0]["s"]
    assert report["pairs"] == 110
    assert report["failures_to_acquire"] == 2
    assert report["failure_codes"] == {"face.none": 1}
    assert report["fnmr_at_fmr"]["1e-2"] == pytest.approx(0.2)
    assert report["fnmr_at_fmr_without_failures"]["1e-2"] == 0.0
    assert report["accuracy_mean"] == pytest.approx(108 / 110, abs=1e-6)
    assert report["accuracy_mean_without_failures"] == 1.0
    assert report["fnmr_at_fmr"]["1e-4"] is None


def test_a_list_of_one_kind_is_reported_as_far_as_it_goes() -> None:
    a, b = Path("a.jpg"), Path("b.jpg")
    found = Embeddings({a: unit(0), b: unit(0.1)}, {})
    pairs = [Pair(a, b, True, "s", None, None, None) for _ in range(20)]
    report = report_on_pairs(pairs, found, found)[0]["s"]
    assert report["accuracy_mean"] is None
    assert report["fnmr_at_fmr"]["1e-2"] is None
    assert "0 impostor pairs" in report["not_carried"]
    strangers = [Pair(a, b, False, "s", None, None, None) for _ in range(200)]
    other = report_on_pairs(strangers, found, found)[0]["s"]
    assert other["eer"] is None
    assert other["genuine_pairs"] == 0


def test_all_against_all_counts_every_pair_once() -> None:
    rng = np.random.default_rng(5)
    vectors, pictures = {}, []
    for person in range(30):
        for shot in range(4):
            path = Path(f"{person}-{shot}.jpg")
            vectors[path] = unit(person * 0.2 + float(rng.normal(0, 0.01)))
            pictures.append(Picture(path, f"p{person}"))
    pictures.append(Picture(Path("gone.jpg"), "p0"))
    found = Embeddings(vectors, {Path("gone.jpg"): "evaluation.file_missing"})
    report, scores = report_on_images(pictures, found)
    assert report["genuine_pairs"] == 30 * 6 + 4
    assert report["impostor_pairs"] == 120 * 119 // 2 - 30 * 6
    assert report["failures_to_acquire"] == 1
    x = np.stack([vectors[p.path] for p in pictures[:-1]])
    every = (x @ x.T)[np.triu_indices(120, 1)]
    who = np.array([int(p.subject[1:]) for p in pictures[:-1]])
    strangers = every[(who[:, None] != who)[np.triu_indices(120, 1)]]
    threshold = report["thresholds"]["1e-3"]
    assert (strangers >= threshold).mean() <= 1e-3
    assert report["fnmr_at_fmr"]["1e-3"] == fnmr(scores.genuine, threshold)
    # Only p0 lost a picture: four of its ten comparisons, one of thirty subjects.
    assert report["fnmr_at_fmr_balanced"]["1e-3"] >= 0.4 / 30


def clip(label: str, subject: str, *frames: float | None) -> ClipScores:
    seen = [frame for frame in frames if frame is not None]
    return ClipScores(label, subject, f"{subject}-{label}", frames, float(np.median(seen)) if seen else None)


def test_presentation_attack_rates_follow_the_standard() -> None:
    clips = [clip("live", f"s{i}", 0.1, 0.2, 0.3) for i in range(19)] + [clip("live", "s19", 0.9, 0.9)]
    clips += [clip("print", f"s{i}", 0.8, 0.8) for i in range(10)]
    clips += [clip("replay", f"s{i}", 0.8 if i else 0.15) for i in range(4)] + [clip("replay", "s4", None)]
    report = report_on_presentations(clips, 0.5)
    by_clip = report["per_clip"]
    assert by_clip["bpcer"] == pytest.approx(1 / 20)
    assert by_clip["apcer"] == {"print": 0.0, "replay": 0.25, "worst": 0.25}
    assert by_clip["non_response"] == {"live": 0.0, "print": 0.0, "replay": 0.2}
    at = by_clip["apcer_at_bpcer"]["5%"]
    assert at["bpcer"] <= 0.05
    assert at["worst"] == 0.25
    assert report["per_frame"]["presentations"]["live"] == 19 * 3 + 2
    low, high = by_clip["bpcer_interval"]
    assert low <= 0.05 <= high


def test_a_perfect_score_and_a_useless_one_are_told_apart() -> None:
    good = [clip("live", f"s{i}", 0.1 + i / 100) for i in range(20)] + [clip("print", f"s{i}", 0.9) for i in range(9)]
    same = [clip("live", f"s{i}", 0.5) for i in range(20)] + [clip("print", f"s{i}", 0.5) for i in range(9)]
    assert report_on_presentations(good, 0.5)["per_clip"]["apcer_at_bpcer"]["5%"]["worst"] == 0.0
    assert report_on_presentations(same, 0.5)["per_clip"]["apcer_at_bpcer"]["5%"]["worst"] == 1.0


def test_lists_are_read_as_they_come(tmp_path: Path) -> None:
    table = tmp_path / "pairs.csv"
    table.write_text("\ufeffSame, B ,a,extra\r\n1,y.jpg,/abs/x.jpg,?\r\n0,z.jpg,x.jpg,\r\n", "utf-8")
    one, two = read_pairs(table)
    assert (one.a, one.b, one.same, one.group, one.fold) == (
        Path("/abs/x.jpg"),
        tmp_path / "y.jpg",
        True,
        "all",
        None,
    )
    assert not two.same
    assert len(read_pairs(table, limit=1)) == 1


def test_a_limit_is_spread_over_a_sorted_list(tmp_path: Path) -> None:
    table = tmp_path / "pairs.csv"
    rows = [f"a{i}.jpg,b{i}.jpg,{int(i < 50)}" for i in range(100)]
    table.write_text("\n".join(["a,b,same", *rows]), "utf-8")
    assert sum(pair.same for pair in read_pairs(table, limit=10)) == 5


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n1,2\n", "same is missing"),
        ("a,b,same\nx,y,perhaps\n", "line 2"),
        ("a,b,same\n", "no sample"),
        ("", "missing"),
        ("a,b,same,fold\nx,y,1,first\n", "fold"),
        ("a,b,same\n,y,1\n", "line 2: a is empty"),
    ],
)
def test_a_wrong_list_is_named_with_its_line(tmp_path: Path, text: str, words: str) -> None:
    table = tmp_path / "pairs.csv"
    table.write_text(text, "utf-8")
    with pytest.raises(EvaluationError, match=words):
        read_pairs(table)


def test_other_lists_default_what_they_leave_out(tmp_path: Path) -> None:
    table = tmp_path / "pad.csv"
    table.write_text("path,label\na.jpg,Live\nb.mp4,print\n", "utf-8")
    live, attack = read_presentations(table)
    assert live.live
    assert not attack.live
    assert live.clip != attack.clip
    with pytest.raises(EvaluationError, match="subject is missing"):
        read_pictures(table)
    with pytest.raises(EvaluationError):
        read_pictures(tmp_path / "absent.csv")


def _count(item: tuple[Path, ...]) -> bytes:
    with (item[0].parent / "calls").open("a") as log:
        log.write(item[0].name + "\n")
    return item[0].read_bytes().upper()


def _nothing() -> None:
    """Prepares no worker."""


def test_a_second_run_computes_only_what_is_new(tmp_path: Path) -> None:
    files = []
    for name in ("a", "b", "copy-of-a"):
        file = tmp_path / name
        file.write_text(name[-1], "utf-8")
        files.append((file,))
    reports: list[tuple[int, int]] = []

    def run() -> dict[tuple[Path, ...], bytes | None]:
        with ResultCache("key", tmp_path / "cache") as cache:
            wanted = [*files, (tmp_path / "absent",)]
            return map_items(wanted, _count, _nothing, (), cache, 1, lambda done, total: reports.append((done, total)))

    assert run() == {files[0]: b"A", files[1]: b"B", files[2]: b"A", (tmp_path / "absent",): None}
    assert sorted((tmp_path / "calls").read_text().split()) == ["b", "copy-of-a"], "equal content is computed once"
    files.append((tmp_path / "c",))
    files[-1][0].write_text("c", "utf-8")
    assert run()[files[-1]] == b"C"
    assert len((tmp_path / "calls").read_text().split()) == 3
    assert reports[-1] == (5, 5)


def test_numbers_survive_the_report(tmp_path: Path) -> None:
    from agent.evaluation.report import write

    write(tmp_path, {"a": np.float32(0.5), "b": None}, ["# x"])
    assert json.loads((tmp_path / "report.json").read_text()) == {"a": 0.5, "b": None}
