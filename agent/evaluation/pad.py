"""Error rates of presentation attack detection after ISO/IEC 30107-3.

Higher scores speak of an attack. APCER: the share of an attack species' presentations that are taken for bona fide;
BPCER: the share of bona fide presentations that are taken for attacks; the worst species counts. Presentations without
a score are non-responses and counted beside, not within.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from agent.evaluation.errors import EvaluationError
from agent.evaluation.presentations import ClipScores
from agent.evaluation.rates import Flags, Floats, interval_of_mean
from agent.evaluation.report import percent

OPERATING_POINTS = {"5%": 0.05, "10%": 0.10}
LIVE = "live"
ROUNDS = 1000


class Sample:
    """Scores of one label with the number of each one's subject; not a number where there was no response."""

    def __init__(self, scores: Sequence[float | None], subjects: Sequence[str]) -> None:
        values = np.array([np.nan if score is None else score for score in scores], np.float64)
        self.non_response = float(np.isnan(values).mean()) if len(values) else 0.0
        names = {name: number for number, name in enumerate(sorted(set(subjects)))}
        self.count = len(values)
        self.scores = values[~np.isnan(values)]
        self.subjects = np.array([names[subject] for subject in subjects], np.int64)[~np.isnan(values)]


def report_on_presentations(clips: Sequence[ClipScores], threshold: float) -> dict[str, Any]:
    """Rates per clip and per frame at `threshold`, and APCER where BPCER is 5 and 10 per cent.

    Raises:
        EvaluationError: no live or no attack presentation.
    """
    return {
        "threshold": threshold,
        "subjects": len({clip.subject for clip in clips}),
        "per_clip": _rates(_by_label([(c.label, c.subject, c.score) for c in clips]), threshold),
        "per_frame": _rates(_by_label([(c.label, c.subject, s) for c in clips for s in c.frames]), threshold),
        "note": "APCER at a BPCER uses the threshold of these same samples: it tells how well the score ranks, not "
        "what an installed terminal reaches. Frames of one clip are strongly correlated.",
    }


def _by_label(rows: Sequence[tuple[str, str, float | None]]) -> dict[str, Sample]:
    labels = sorted({label for label, _, _ in rows})
    return {
        label: Sample([s for name, _, s in rows if name == label], [p for name, p, _ in rows if name == label])
        for label in labels
    }


def _rates(samples: Mapping[str, Sample], threshold: float) -> dict[str, Any]:
    attacks = {label: sample for label, sample in samples.items() if label != LIVE}
    live = samples.get(LIVE)
    if live is None or not attacks:
        raise EvaluationError("evaluation.samples", "live and attack presentations are needed")
    report: dict[str, Any] = {
        "presentations": {label: sample.count for label, sample in samples.items()},
        "non_response": {label: sample.non_response for label, sample in samples.items()},
        "bpcer": _bpcer(live, threshold),
        "bpcer_interval": _interval(live, lambda scores: scores >= threshold),
        "apcer": _apcer(attacks, threshold),
        "apcer_interval": {
            label: _interval(sample, lambda scores: scores < threshold) for label, sample in attacks.items()
        },
        "apcer_at_bpcer": {},
        "eer": {label: _eer(live.scores, sample.scores) for label, sample in attacks.items()},
    }
    for name, bpcer in OPERATING_POINTS.items():
        point = threshold_at(live.scores, bpcer)
        report["apcer_at_bpcer"][name] = None if point is None else _at(attacks, live, point)
    return report


def _at(attacks: Mapping[str, Sample], live: Sample, point: float) -> dict[str, Any]:
    intervals = {label: _interval(sample, lambda scores: scores < point) for label, sample in attacks.items()}
    return _apcer(attacks, point) | {"threshold": point, "bpcer": _bpcer(live, point), "interval": intervals}


def threshold_at(live: Floats, bpcer: float) -> float | None:
    """The smallest threshold at which no more than `bpcer` of the live scores are called attacks."""
    if not len(live):
        return None
    allowed = int(np.floor(bpcer * len(live)))
    return float(np.nextafter(np.sort(live)[::-1][allowed], np.inf))


def _bpcer(live: Sample, threshold: float) -> float | None:
    return float((live.scores >= threshold).mean()) if len(live.scores) else None


def _apcer(attacks: Mapping[str, Sample], threshold: float) -> dict[str, Any]:
    rates = {
        label: float((sample.scores < threshold).mean()) if len(sample.scores) else None
        for label, sample in attacks.items()
    }
    known = [rate for rate in rates.values() if rate is not None]
    return rates | {"worst": max(known) if known else None}


def _eer(live: Floats, attack: Floats) -> float | None:
    if not len(live) or not len(attack):
        return None
    points = np.unique(np.concatenate([live, attack, [np.inf]]))
    bpcer = 1 - np.searchsorted(np.sort(live), points) / len(live)
    apcer = np.searchsorted(np.sort(attack), points) / len(attack)
    best = int(np.argmin(np.abs(bpcer - apcer)))
    return float((bpcer[best] + apcer[best]) / 2)


def _interval(sample: Sample, wrong: Callable[[Floats], Flags]) -> list[float] | None:
    """95 % by drawing subjects again; None without a response."""
    if not len(sample.scores):
        return None
    people = np.unique(sample.subjects, return_inverse=True)[1]
    return list(interval_of_mean(wrong(sample.scores).astype(float), people, ROUNDS))


def pad_curves(clips: Sequence[ClipScores]) -> dict[str, tuple[Floats, Floats]]:
    """BPCER and APCER over all thresholds for each species, per frame."""
    samples = _by_label([(c.label, c.subject, s) for c in clips for s in c.frames])
    live = np.sort(samples[LIVE].scores)
    curves = {}
    for label, sample in samples.items():
        if label == LIVE or not len(sample.scores) or not len(live):
            continue
        points = np.unique(np.concatenate([[-np.inf], live, sample.scores, [np.inf]]))
        bpcer = 1 - np.searchsorted(live, points) / len(live)
        apcer = np.searchsorted(np.sort(sample.scores), points) / len(sample.scores)
        curves[label] = (bpcer, apcer)
    return curves


def pad_lines(report: Mapping[str, Any]) -> list[str]:
    """The tables of a PAD report."""
    lines = ["# Presentation attack detection, passive score", "", f"Threshold {report['threshold']:g}."]
    for basis in ("per_clip", "per_frame"):
        part = report[basis]
        at = {name: part["apcer_at_bpcer"][name] or {} for name in OPERATING_POINTS}
        lines += ["", f"## {basis.replace('_', ' ').capitalize()}", ""]
        lines.append(f"BPCER {percent(part['bpcer'])}, non-response {percent(part['non_response']['live'])} of live.")
        lines += ["", "| species | presentations | non-response | APCER | EER | APCER at BPCER 5 % | at 10 % |"]
        lines.append("|---|---|---|---|---|---|---|")
        for label, rate in part["apcer"].items():
            count, silent = part["presentations"].get(label), part["non_response"].get(label)
            lines.append(
                f"| {label} | {'' if count is None else count} | {'' if silent is None else percent(silent)} "
                f"| {percent(rate)} | {percent(part['eer'].get(label)) if label in part['eer'] else ''} "
                f"| {percent(at['5%'].get(label))} | {percent(at['10%'].get(label))} |"
            )
    return [*lines, "", str(report["note"])]
