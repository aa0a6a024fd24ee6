"""Error rates of comparisons after ISO/IEC 19795-1, with intervals.

A comparison whose picture gave no template has the similarity -2: a genuine one is a false non-match at every
threshold, an impostor never a false match.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

NO_TEMPLATE = -2.0
#: Histogram resolution of similarities: far finer than what separates two operating points.
BINS = 40_000


@dataclass(frozen=True, slots=True, eq=False)
class Impostors:
    """The distribution of impostor similarities as a histogram, so that a hundred million of them fit."""

    counts: NDArray[np.int64]

    @classmethod
    def of(cls, similarities: NDArray[np.floating]) -> "Impostors":
        """The histogram of these similarities."""
        places = np.clip((np.asarray(similarities, np.float64) + 1.0) * (BINS / 2), 0, BINS - 1).astype(np.int64)
        return cls(np.bincount(places, minlength=BINS))

    def __add__(self, other: "Impostors") -> "Impostors":
        return Impostors(self.counts + other.counts)

    @property
    def total(self) -> int:
        """How many comparisons there were."""
        return int(self.counts.sum())

    def threshold(self, fmr: float) -> float | None:
        """The smallest similarity at or above which no more than `fmr` of the impostors lie.

        None if fewer than one impostor would be expected there: the number of pairs does not carry such a rate.
        """
        allowed = int(np.floor(fmr * self.total))
        if allowed < 1:
            return None
        above = np.cumsum(self.counts[::-1])
        # The first bin, from the top, whose inclusion would let too many pass; the threshold is its upper edge.
        first = int(np.searchsorted(above, allowed, side="right"))
        return min(1.0, (BINS - first) * (2.0 / BINS) - 1.0)

    def fmr(self, threshold: float) -> float:
        """The share of impostors at or above `threshold`."""
        start = int(np.clip(np.ceil((threshold + 1.0) * (BINS / 2) - 1e-6), 0, BINS))
        return float(self.counts[start:].sum() / max(self.total, 1))


def fnmr(genuine: Floats, threshold: float) -> float | None:
    """The share of genuine comparisons below `threshold`; None without any."""
    return float((genuine < threshold).mean()) if len(genuine) else None


def equal_error_rate(genuine: Floats, impostors: Impostors) -> float:
    """The rate at the threshold where false matches and false non-matches are equally frequent."""
    edges = np.linspace(-1.0, 1.0, BINS + 1)
    false_match = 1.0 - np.concatenate([[0], np.cumsum(impostors.counts)]) / max(impostors.total, 1)
    false_non_match = np.searchsorted(np.sort(genuine), edges, side="left") / max(len(genuine), 1)
    crossing = int(np.argmax(false_non_match >= false_match))
    return float((false_match[crossing] + false_non_match[crossing]) / 2)


def best_threshold(similarities: Floats, same: Flags) -> float:
    """The threshold with the most right answers; the middle of the widest such gap."""
    order = np.argsort(similarities)
    values, right = similarities[order], same[order]
    # Position i: everything from i on is taken for a match.
    correct = np.concatenate([[0], np.cumsum(~right)]) + (right.sum() - np.concatenate([[0], np.cumsum(right)]))
    edges = np.concatenate([[values[0] - 1e-6], (values[1:] + values[:-1]) / 2, [values[-1] + 1e-6]])
    # Equal neighbours cannot be parted.
    parted = np.concatenate([[True], values[1:] > values[:-1], [True]])
    best = np.flatnonzero(parted & (correct == correct[parted].max()))
    return float(np.median(edges[best]))


def accuracy_over_folds(similarities: Floats, same: Flags, folds: NDArray[np.int64]) -> list[float]:
    """The accuracy on each fold with the threshold chosen on the others; a missing template is a wrong answer."""
    found = []
    for fold in np.unique(folds):
        held_out = folds == fold
        threshold = best_threshold(similarities[~held_out], same[~held_out])
        answers = similarities[held_out] >= threshold
        right = (answers == same[held_out]) & (similarities[held_out] > NO_TEMPLATE)
        found.append(float(right.mean()))
    return found


def interval_of_mean(
    values: Floats, groups: NDArray[np.int64], rounds: int = 1000, seed: int = 1
) -> tuple[float, float]:
    """The 95 % interval of a mean when whole groups (subjects) are drawn again, with replacement."""
    count = int(groups.max()) + 1
    sums = np.bincount(groups, values, count)
    sizes = np.bincount(groups, minlength=count)
    draws = np.random.default_rng(seed).integers(0, count, (rounds, count))
    means = sums[draws].sum(axis=1) / np.maximum(sizes[draws].sum(axis=1), 1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
