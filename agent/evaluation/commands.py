"""What `renzheng models evaluate` and `evaluate-pad` do, from the list to the files of the report."""

from pathlib import Path

from agent.biometrics.passive import ATTACK_FROM
from agent.evaluation.faces import embed_files
from agent.evaluation.pad import pad_curves, pad_lines, report_on_presentations
from agent.evaluation.plots import draw_det, draw_histogram, draw_pad_det
from agent.evaluation.presentations import score_presentations
from agent.evaluation.report import heading, open_folder, verification_lines, write, write_failures
from agent.evaluation.run import Run
from agent.evaluation.samples import read_pairs, read_pictures, read_presentations
from agent.evaluation.verification import report_on_images, report_on_pairs


def evaluate_pairs(table: Path, out: Path, run: Run, portrait: bool = False) -> list[str]:
    """Write the report on a list of pairs; the lines of report.md.

    With `portrait` the first picture of each pair is first made what a chip would hold of it.
    """
    pairs = read_pairs(table, run.limit)
    open_folder(out)
    if portrait:
        first = embed_files((pair.a for pair in pairs), run, as_portraits=True)
        second = embed_files((pair.b for pair in pairs), run)
    else:
        first = second = embed_files((path for pair in pairs for path in (pair.a, pair.b)), run)
    sets, scores = report_on_pairs(pairs, first, second)
    write_failures(out, first.failures | second.failures)
    lines = verification_lines(sets)
    write(out, heading(run.bundle(), "evaluate --pairs", table) | {"sets": sets}, lines)
    draw_det(scores, out / "det.png")
    draw_histogram(scores, out / "histogram.png")
    return lines


def evaluate_images(table: Path, out: Path, run: Run) -> list[str]:
    """Write the report on pictures of subjects, all against all; the lines of report.md."""
    pictures = read_pictures(table, run.limit)
    open_folder(out)
    found = embed_files((picture.path for picture in pictures), run)
    report, scores = report_on_images(pictures, found)
    write_failures(out, found.failures)
    lines = verification_lines({"all": report})
    write(out, heading(run.bundle(), "evaluate --images", table) | report | {"sets": {"all": report}}, lines)
    draw_det({"all": scores}, out / "det.png")
    draw_histogram({"all": scores}, out / "histogram.png")
    return lines


def evaluate_presentations(table: Path, out: Path, run: Run, threshold: float | None = None) -> list[str]:
    """Write the report on live and attack presentations; the lines of report.md."""
    presentations = read_presentations(table, run.limit)
    open_folder(out)
    scores = score_presentations(presentations, run)
    report = report_on_presentations(scores, ATTACK_FROM if threshold is None else threshold)
    lines = pad_lines(report)
    write(out, heading(run.bundle(), "evaluate-pad", table) | report, lines)
    draw_pad_det(pad_curves(scores), out / "det.png")
    return lines
