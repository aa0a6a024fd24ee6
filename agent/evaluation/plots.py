"""Detection error trade-off curves and score histograms as PNG."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.evaluation.errors import EvaluationError
from agent.evaluation.rates import BINS, NO_TEMPLATE
from agent.evaluation.verification import Scores

#: Told apart without colour vision, too (Okabe and Ito).
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")


def _figure(title: str) -> tuple[Any, Any]:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise EvaluationError("evaluation.plots", "the report is written; matplotlib is not installed") from error
    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title)
    axes.grid(visible=True, which="both", alpha=0.3)
    return figure, axes


def draw_det(scores: Mapping[str, Scores], path: Path) -> None:
    """False match rate against false non-match rate, both logarithmic."""
    figure, axes = _figure("Detection error trade-off")
    edges = np.linspace(-1, 1, BINS + 1)
    for (name, score), colour in zip(scores.items(), _cycle(len(scores)), strict=True):
        counts = score.impostors.counts
        false_match = 1 - np.concatenate([[0], np.cumsum(counts)]) / max(counts.sum(), 1)
        false_non_match = np.searchsorted(np.sort(score.genuine), edges) / max(len(score.genuine), 1)
        keep = (false_match > 0) & (false_non_match > 0)
        label = f"{name}: {len(score.genuine)} genuine, {score.impostors.total} impostor"
        axes.loglog(false_match[keep], false_non_match[keep], color=colour, label=label)
    axes.set(xlabel="false match rate", ylabel="false non-match rate", ylim=(None, 1))
    axes.legend()
    figure.savefig(path, dpi=110)


def draw_histogram(scores: Mapping[str, Scores], path: Path) -> None:
    """Densities of genuine and impostor similarities."""
    figure, axes = _figure("Similarities")
    bins = 100
    edges = np.linspace(-1, 1, bins + 1)
    for (name, score), colour in zip(scores.items(), _cycle(len(scores)), strict=True):
        impostors = score.impostors.counts.reshape(bins, -1).sum(axis=1)
        genuine, _ = np.histogram(score.genuine[score.genuine > NO_TEMPLATE], edges)
        for counts, style, kind in ((impostors, "--", "impostor"), (genuine, "-", "genuine")):
            density = counts / max(counts.sum(), 1) * bins / 2
            axes.stairs(density, edges, color=colour, linestyle=style, label=f"{name}, {kind}")
    axes.set(xlabel="cosine similarity", ylabel="density")
    axes.legend()
    figure.savefig(path, dpi=110)


def draw_pad_det(curves: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]], path: Path) -> None:
    """BPCER against APCER for each species."""
    figure, axes = _figure("Presentation attack detection")
    for (name, (bpcer, apcer)), colour in zip(curves.items(), _cycle(len(curves)), strict=True):
        axes.plot(bpcer, apcer, color=colour, label=name)
    axes.set(xlabel="BPCER", ylabel="APCER", xlim=(0, 1), ylim=(0, 1))
    axes.legend()
    figure.savefig(path, dpi=110)


def _cycle(count: int) -> list[str]:
    return [COLOURS[i % len(COLOURS)] for i in range(count)]
