"""Reports on verification: listed pairs with folds, and all pictures against all."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.evaluation.errors import EvaluationError
from agent.evaluation.faces import Embeddings
from agent.evaluation.rates import (
    NO_TEMPLATE,
    Floats,
    Impostors,
    accuracy_over_folds,
    equal_error_rate,
    fnmr,
    interval_of_mean,
)
from agent.evaluation.samples import Pair, Picture

PAIR_RATES = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
IMAGE_RATES = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
#: Folds when the list names none.
FOLDS = 10
#: Rows of the similarity matrix at a time.
BLOCK = 512


class Scores:
    """The similarities of one set: genuine ones with the subject of each, and the impostors' distribution."""

    def __init__(self, genuine: Floats, subjects: NDArray[np.int64], impostors: Impostors) -> None:
        self.genuine = genuine
        self.subjects = subjects
        self.impostors = impostors


def report_on_pairs(
    pairs: Sequence[Pair], first: Embeddings, second: Embeddings
) -> tuple[dict[str, Any], dict[str, Scores]]:
    """For each set its report, and its scores for plots; `first` holds the templates of `a`, `second` those of `b`."""
    groups = sorted({pair.group for pair in pairs})
    reports, scores = {}, {}
    for group in groups:
        members = [pair for pair in pairs if pair.group == group]
        reports[group], scores[group] = _report_on_set(members, first, second)
    return reports, scores


def _report_on_set(pairs: list[Pair], first: Embeddings, second: Embeddings) -> tuple[dict[str, Any], Scores]:
    similarities = np.array([_similarity(first.vectors.get(pair.a), second.vectors.get(pair.b)) for pair in pairs])
    same = np.array([pair.same for pair in pairs])
    acquired = similarities > NO_TEMPLATE
    subjects, basis = _subjects_of(pairs)
    impostors = Impostors.of(np.maximum(similarities[~same], -1.0))
    scores = Scores(similarities[same], subjects[same], impostors)
    report: dict[str, Any] = {
        "pairs": len(pairs),
        "genuine_pairs": int(same.sum()),
        "impostor_pairs": int((~same).sum()),
        "failures_to_acquire": int((~acquired).sum()),
        "failure_codes": dict(
            Counter({p.a: first.failures[p.a] for p in pairs if p.a in first.failures}.values())
            + Counter({p.b: second.failures[p.b] for p in pairs if p.b in second.failures}.values())
        ),
        "intervals": basis,
    }
    return report | _accuracy(pairs, similarities, same) | rates_of(scores, PAIR_RATES), scores


def _accuracy(pairs: list[Pair], similarities: Floats, same: NDArray[np.bool_]) -> dict[str, Any]:
    """Accuracy over folds, null where a fold's threshold would have to be chosen on one kind of pairs alone."""
    folds = np.array([-1 if pair.fold is None else pair.fold for pair in pairs])
    if len(np.unique(folds)) < 2 or any(pair.fold is None for pair in pairs):
        folds = _dealt(same)
    acquired = similarities > NO_TEMPLATE
    accuracy = _over_folds(similarities, same, folds)
    without = _over_folds(similarities[acquired], same[acquired], folds[acquired])
    return {
        "accuracy_mean": float(np.mean(accuracy)) if accuracy else None,
        "accuracy_std": float(np.std(accuracy)) if accuracy else None,
        "accuracy_mean_without_failures": float(np.mean(without)) if without else None,
        "folds": len(accuracy),
    }


def _over_folds(similarities: Floats, same: NDArray[np.bool_], folds: NDArray[np.int64]) -> list[float]:
    """`accuracy_over_folds`; nothing where a threshold would have to be chosen on one kind of pairs, or on none."""
    numbers = np.unique(folds)
    if len(numbers) < 2 or any(len(np.unique(same[folds != fold])) < 2 for fold in numbers):
        return []
    return accuracy_over_folds(similarities, same, folds)


def _dealt(same: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Folds for a list that names none: pairs of each kind are dealt out in turn, so that all folds are alike."""
    folds = np.empty(len(same), np.int64)
    for kind in (same, ~same):
        folds[kind] = np.arange(kind.sum()) % FOLDS
    return folds


def rates_of(scores: Scores, rates: Sequence[float]) -> dict[str, Any]:
    """EER, and for each FMR that the impostor pairs carry: threshold, FNMR, its interval, with and without failures."""
    acquired = scores.genuine > NO_TEMPLATE
    report: dict[str, Any] = {
        "eer": equal_error_rate(scores.genuine, scores.impostors) if len(scores.genuine) else None,
        "fnmr_at_fmr": {},
        "fnmr_at_fmr_interval": {},
        "fnmr_at_fmr_without_failures": {},
        "thresholds": {},
    }
    unsupported = []
    for rate in rates:
        name = rate_name(rate)
        threshold = scores.impostors.threshold(rate)
        if threshold is None or not len(scores.genuine):
            unsupported.append(name)
            for key in ("fnmr_at_fmr", "fnmr_at_fmr_interval", "fnmr_at_fmr_without_failures", "thresholds"):
                report[key][name] = None
            continue
        missed = (scores.genuine < threshold).astype(float)
        report["thresholds"][name] = threshold
        report["fnmr_at_fmr"][name] = fnmr(scores.genuine, threshold)
        report["fnmr_at_fmr_interval"][name] = list(interval_of_mean(missed, scores.subjects))
        report["fnmr_at_fmr_without_failures"][name] = fnmr(scores.genuine[acquired], threshold)
    if unsupported:
        report["not_carried"] = (
            f"{scores.impostors.total} impostor pairs do not carry an FMR of {', '.join(unsupported)}: null"
        )
    return report


def report_on_images(pictures: Sequence[Picture], found: Embeddings) -> tuple[dict[str, Any], Scores]:
    """All against all: rates over pairs, the same with each subject counting alike, and how subjects differ."""
    usable = [picture for picture in pictures if picture.path in found.vectors]
    counts = Counter(picture.subject for picture in pictures)
    if len(counts) < 2 or max(counts.values()) < 2 or len(usable) < 2:
        raise EvaluationError("evaluation.samples", "two subjects, one of them with two pictures, are needed")
    names = {name: number for number, name in enumerate(sorted(counts))}
    subjects = np.array([names[picture.subject] for picture in usable])
    vectors = np.stack([found.vectors[picture.path] for picture in usable])
    genuine, owners, impostors = compare_all(vectors, subjects)
    # A picture without a template fails in each of its genuine comparisons.
    expected = {names[name]: count * (count - 1) // 2 for name, count in counts.items()}
    have = Counter(owners.tolist())
    lost = np.array([s for s, count in expected.items() for _ in range(count - have[s])], np.int64)
    genuine = np.concatenate([genuine, np.full(len(lost), NO_TEMPLATE)])
    owners = np.concatenate([owners, lost])
    scores = Scores(genuine, owners, impostors)
    report: dict[str, Any] = {
        "images": len(pictures),
        "subjects": len(counts),
        "genuine_pairs": len(genuine),
        "impostor_pairs": impostors.total,
        "failures_to_acquire": len(pictures) - len(usable),
        "failure_codes": _failure_codes(found, {picture.path for picture in pictures}),
        "intervals": "FNMR bootstrapped by subject at a fixed threshold",
    }
    report |= rates_of(scores, IMAGE_RATES)
    report |= _balance(scores, report["thresholds"])
    return report, scores


def compare_all(
    vectors: NDArray[np.float32], subjects: NDArray[np.int64]
) -> tuple[Floats, NDArray[np.int64], Impostors]:
    """Every unordered pair once: genuine similarities, whose they are, and the impostors' distribution."""
    genuine, owners, impostors = [], [], Impostors.of(np.empty(0))
    for start in range(0, len(vectors), BLOCK):
        block = vectors[start : start + BLOCK] @ vectors[start:].T
        later = np.arange(block.shape[1]) > np.arange(block.shape[0])[:, None]
        same = subjects[start : start + BLOCK, None] == subjects[None, start:]
        genuine.append(block[later & same])
        owners.append(np.broadcast_to(subjects[start : start + BLOCK, None], block.shape)[later & same])
        impostors = impostors + Impostors.of(block[later & ~same])
    return np.concatenate(genuine).astype(np.float64), np.concatenate(owners), impostors


def _balance(scores: Scores, thresholds: dict[str, float | None]) -> dict[str, Any]:
    """FNMR as the mean over subjects, so that a person with many pictures counts once, and its spread."""
    people, numbers = np.unique(scores.subjects, return_inverse=True)
    sizes = np.bincount(numbers)
    balanced: dict[str, Any] = {}
    spread: dict[str, Any] = {}
    for name, threshold in thresholds.items():
        if threshold is None:
            balanced[name] = spread[name] = None
            continue
        each = np.bincount(numbers, scores.genuine < threshold) / sizes
        balanced[name] = float(each.mean())
        worst = np.sort(each)[::-1]
        spread[name] = {
            "subjects": len(people),
            "without_error": int((each == 0).sum()),
            "above_half": int((each > 0.5).sum()),
            "worst_tenth_mean": float(worst[: max(1, len(worst) // 10)].mean()),
        }
    return {"fnmr_at_fmr_balanced": balanced, "balance": spread}


def rate_name(rate: float) -> str:
    """1e-05 as people write it: 1e-5."""
    mantissa, exponent = f"{rate:e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def _similarity(one: NDArray[np.float32] | None, other: NDArray[np.float32] | None) -> float:
    return NO_TEMPLATE if one is None or other is None else float(one @ other)


def _failure_codes(found: Embeddings, paths: set[Path]) -> dict[str, int]:
    return dict(Counter(code for path, code in found.failures.items() if path in paths))


def _subjects_of(pairs: Sequence[Pair]) -> tuple[NDArray[np.int64], str]:
    """A number for each pair's first person, and what it is taken from.

    Without columns for it, folders serve if they agree with `same` in every pair: the usual layout of face data.
    """
    if all(pair.subject_a for pair in pairs):
        names = [str(pair.subject_a) for pair in pairs]
        basis = "bootstrapped by subject"
    elif all((pair.a.parent == pair.b.parent) == pair.same for pair in pairs):
        names = [str(pair.a.parent) for pair in pairs]
        basis = "bootstrapped by subject (one folder a subject)"
    else:
        return np.arange(len(pairs)), "bootstrapped by pair: subjects unknown"
    numbers = {name: number for number, name in enumerate(sorted(set(names)))}
    return np.array([numbers[name] for name in names]), basis
