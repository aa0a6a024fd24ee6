"""A threshold for a false match rate, from pictures of the people of a site."""

from pathlib import Path
from typing import Any

import numpy as np
import tomlkit

from agent.biometrics.bundle import MANIFEST, SIGNATURE, parse_manifest
from agent.biometrics.manifest import Role, Threshold
from agent.biometrics.site import SiteManifest
from agent.evaluation.errors import EvaluationError
from agent.evaluation.faces import embed_files
from agent.evaluation.rates import fnmr
from agent.evaluation.run import Run
from agent.evaluation.samples import read_pictures
from agent.evaluation.verification import compare_all

#: Similarities are written with this many decimals, rounded up: never to a laxer threshold.
DECIMALS = 4


def calibrate_threshold(table: Path, fmr: float, site: Path | None, run: Run) -> tuple[Threshold, Path]:
    """Measure, then write the threshold into the site manifest or, without one, the bundle's; both are returned.

    Raises:
        EvaluationError: `evaluation.too_few`, the impostor pairs do not carry such a rate.
    """
    pictures = read_pictures(table, run.limit)
    found = embed_files((picture.path for picture in pictures), run)
    usable = [picture for picture in pictures if picture.path in found.vectors]
    names = {name: number for number, name in enumerate(sorted({picture.subject for picture in usable}))}
    if len(names) < 2:
        raise EvaluationError("evaluation.too_few", f"{table}: faces of two subjects or more are needed")
    subjects = np.array([names[picture.subject] for picture in usable])
    genuine, _, impostors = compare_all(np.stack([found.vectors[picture.path] for picture in usable]), subjects)
    cosine = impostors.threshold(fmr)
    if cosine is None:
        raise EvaluationError(
            "evaluation.too_few",
            f"{impostors.total} impostor pairs do not carry an FMR of {fmr:g}: at least {int(np.ceil(1 / fmr))} are "
            f"needed, or a rate of {1 / max(impostors.total, 1):.1g}",
        )
    rounded = float(np.ceil(cosine * 10**DECIMALS) / 10**DECIMALS)
    expected = fmr * impostors.total
    rate = fnmr(genuine, rounded)
    missed = "" if rate is None else f", FNMR {100 * rate:.2f} % of {len(genuine)} genuine pairs"
    weak = "; fewer than ten false matches carry it, take it with care" if expected < 10 else ""
    threshold = Threshold(
        target_fmr=fmr,
        cosine=rounded,
        impostor_pairs=impostors.total,
        evidence=f"{table.name}: {len(usable)} pictures of {len(names)} subjects, all against all{missed}{weak}",
    )
    if run.folder is not None and site is None:
        return threshold, _into_bundle(run.folder, threshold)
    return threshold, _into_site(site or Path("site.toml"), run.bundle().templates, threshold)


def _into_site(path: Path, model: str, threshold: Threshold) -> Path:
    document = read_site(path)
    embed: Any = document.get("embed")
    kept = [] if embed is None or embed["model"] != model else list(embed["thresholds"])
    document["embed"] = {"model": model, "thresholds": _with(kept, threshold)}
    write_site(path, document)
    return path


def _into_bundle(folder: Path, threshold: Threshold) -> Path:
    path = folder / MANIFEST
    document = tomlkit.parse(path.read_text("utf-8"))
    models: Any = document["models"]
    embed = models[str(Role.EMBED)]
    embed["thresholds"] = _with(list(embed.get("thresholds", [])), threshold)
    text = tomlkit.dumps(document).encode()
    parse_manifest(text)
    path.write_bytes(text)
    # The signature covered another manifest.
    (folder / SIGNATURE).unlink(missing_ok=True)
    return path


def _with(kept: list[Any], threshold: Threshold) -> list[dict[str, Any]]:
    """The thresholds with this one in the place of any other for the same rate, strictest last."""
    others = [dict(entry) for entry in kept if float(entry["target_fmr"]) != threshold.target_fmr]
    return sorted([*others, threshold.model_dump()], key=lambda entry: -float(entry["target_fmr"]))


def read_site(path: Path) -> Any:
    """The site manifest as a document to change; an empty one if there is no file yet."""
    if not path.exists():
        return tomlkit.parse(
            "# Calibrated at this site by `renzheng models`; sign it again after each change.\nformat = 1\n"
        )
    SiteManifest.load(path)
    return tomlkit.parse(path.read_text("utf-8"))


def write_site(path: Path, document: Any) -> None:
    """Write the site manifest; a signature that no longer fits is removed.

    Raises:
        EvaluationError: `evaluation.output`, it cannot be written.
    """
    try:
        path.write_text(tomlkit.dumps(document), "utf-8")
        path.with_name(path.name + ".sig").unlink(missing_ok=True)
    except OSError as error:
        raise EvaluationError("evaluation.output", f"{path}: {error.strerror}") from error
    SiteManifest.load(path)
