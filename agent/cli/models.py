"""`renzheng models`: measure the face models, calibrate them for a site, bring others, sign and verify bundles."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from agent.evaluation.workers import Progress as Report

INPUT_HELP = "The picture it wants, e.g. size=112,colour=RGB,offset=127.5,scale=128: value = (pixel - offset) / scale."

existing = click.Path(path_type=Path, exists=True, dir_okay=False)
folder = click.Path(path_type=Path, file_okay=False)


@contextmanager
def progress_bar(title: str) -> Iterator[Report]:
    """A bar on the error stream, silent where that is no terminal."""
    console = Console(stderr=True)
    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@click.group()
def models() -> None:
    """Measure, calibrate, bring, sign and verify the models of the face pipeline.

    Bring your own network in four steps:

    \b
      renzheng models add arcface.tflite --bundle DIR --role embed --input size=112,colour=RGB,offset=127.5,scale=127.5
      renzheng models evaluate --bundle DIR --pairs pairs.csv --out report/
      renzheng models calibrate --bundle DIR --images images.csv --fmr 1e-5
      renzheng models sign DIR --key operator.pem
    """


bundle_option = click.option("--bundle", type=folder, help="Folder of a model bundle.  [default: the shipped one]")
limit_option = click.option(
    "--limit", type=click.IntRange(min=1), help="Take N rows, spread over the list (--images: the first)."
)
jobs_option = click.option("--jobs", type=click.IntRange(min=0), default=0, help="Worker processes.  [default: cores]")
cache_option = click.option("--cache/--no-cache", default=True, help="Keep results for the next run.  [default: cache]")


@models.command()
@click.option("--pairs", type=existing, help="CSV with columns a,b,same[,set,fold]: accuracy, EER, FNMR at FMR.")
@click.option("--images", type=existing, help="CSV with columns path,subject: all pictures against all.")
@click.option("--out", type=folder, required=True, help="Folder for report.json, report.md and plots.")
@click.option("--portrait", is_flag=True, help="Take `a` as a chip's portrait: 240 x 320, JPEG 2000, 15 kB.")
@bundle_option
@limit_option
@jobs_option
@cache_option
def evaluate(
    pairs: Path | None,
    images: Path | None,
    out: Path,
    portrait: bool,
    bundle: Path | None,
    limit: int | None,
    jobs: int,
    cache: bool,
) -> None:
    """Error rates of the comparison on your pictures.

    Writes report.json, report.md, failures.csv, det.png and histogram.png. A picture without a face is a failure to
    acquire: it counts as an error, and the rates without such pictures stand beside. A run that was stopped goes on
    where it was. Of several faces in a picture the one in its middle is meant, unless another is far larger.
    """
    from agent.evaluation.commands import evaluate_images, evaluate_pairs
    from agent.evaluation.run import Run

    if (pairs is None) == (images is None):
        raise click.UsageError("give either --pairs or --images")
    with progress_bar("templates") as progress:
        run = Run(bundle, limit, jobs, cache, progress)
        if pairs is not None:
            lines = evaluate_pairs(pairs, out, run, portrait)
        elif images is not None:
            lines = evaluate_images(images, out, run)
    click.echo("\n".join(lines))
    click.echo(f"written to {out}")


@models.command("evaluate-pad")
@click.option("--samples", type=existing, required=True, help="CSV with columns path,label[,subject,clip].")
@click.option("--out", type=folder, required=True, help="Folder for report.json, report.md and det.png.")
@click.option("--threshold", type=float, help="Score from which an attack is called.  [default: 0.988]")
@bundle_option
@limit_option
@jobs_option
@cache_option
def evaluate_pad(
    samples: Path,
    out: Path,
    threshold: float | None,
    bundle: Path | None,
    limit: int | None,
    jobs: int,
    cache: bool,
) -> None:
    """Error rates of the passive attack score after ISO/IEC 30107-3.

    The label is `live` or the species of the attack; a path is a picture or a video; rows of one clip are its frames
    in order. The passive score is advisory: no terminal passes or refuses a person by it alone.
    """
    from agent.evaluation.commands import evaluate_presentations
    from agent.evaluation.run import Run

    with progress_bar("presentations") as progress:
        lines = evaluate_presentations(samples, out, Run(bundle, limit, jobs, cache, progress), threshold)
    click.echo("\n".join(lines))
    click.echo(f"written to {out}")


@models.command()
@click.option("--images", type=existing, required=True, help="CSV with columns path,subject.")
@click.option("--fmr", type=click.FloatRange(1e-9, 0.5), default=1e-5, show_default=True, help="False match rate.")
@click.option("--site", type=click.Path(path_type=Path, dir_okay=False), help="Site manifest to write it to.")
@click.option("--bundle", type=folder, help="Folder of a bundle: writes into its manifest unless --site is given.")
@limit_option
@jobs_option
@cache_option
def calibrate(
    images: Path,
    fmr: float,
    site: Path | None,
    bundle: Path | None,
    limit: int | None,
    jobs: int,
    cache: bool,
) -> None:
    """Find the threshold for a false match rate on pictures of the people whom the terminal will see.

    The threshold goes into site.toml (or into the bundle's manifest) together with what it rests on. A threshold from
    other people's pictures can be off by a factor of ten or more.
    """
    from agent.evaluation.calibrate import calibrate_threshold
    from agent.evaluation.run import Run

    with progress_bar("templates") as progress:
        threshold, target = calibrate_threshold(images, fmr, site, Run(bundle, limit, jobs, cache, progress))
    click.echo(f"cosine {threshold.cosine:.4f} for FMR {threshold.target_fmr:g}: {threshold.evidence}")
    click.echo(f"written to {target}")


@models.command("calibrate-camera")
@click.option("--device", help="Video4Linux device, e.g. /dev/video0.")
@click.option("--replay", type=click.Path(path_type=Path, exists=True), help="Folder of pictures or video instead.")
@click.option("--site", type=click.Path(path_type=Path, dir_okay=False), default=Path("site.toml"), show_default=True)
@click.option("--seconds", type=click.FloatRange(5, 3600), default=120.0, show_default=True)
@click.option("--bpcer", type=click.FloatRange(0.001, 0.5), default=0.05, show_default=True)
@bundle_option
def calibrate_camera(
    device: str | None, replay: Path | None, site: Path, seconds: float, bpcer: float, bundle: Path | None
) -> None:
    """Set the limits of the advisory scores for this camera, in this light, in two minutes.

    Let a few people stand before the terminal one after the other, as guests will, some seconds each. A limit is where
    the given share of their frames would cost one turn more; advice never passes or refuses anyone alone.
    """
    from agent.evaluation.camera import calibrate_camera as run

    with progress_bar("frames") as progress:
        camera = run(device, replay, site, seconds, bpcer, bundle, progress)
    limits = {
        "passive": camera.passive_threshold,
        "borders": camera.borders_threshold,
        "texture": camera.texture_threshold,
    }
    told = ", ".join(f"{name} {'none' if limit is None else f'{limit:.4f}'}" for name, limit in limits.items())
    click.echo(f"limits: {told}; from {camera.evidence}")
    click.echo(f"written to {site}")


@models.command()
@click.argument("file", type=existing)
@click.option("--role", type=click.Choice(["detect", "points", "mesh", "embed", "second", "passive"]), default="embed")
@click.option("--input", "contract", required=True, help=INPUT_HELP)
@click.option("--licence", default="as licensed to the operator", help="What its licence is.")
@click.option("--crop", type=click.Choice(["arcface", "dlib"]), default="arcface", help="How it wants faces cut out.")
@click.option("--weight", type=click.FloatRange(0.01, 0.99), help="A second embedding's share of the similarity.")
@click.option("--bundle", type=folder, required=True, help="Folder of the bundle; made from the shipped one if absent.")
def add(file: Path, role: str, contract: str, licence: str, crop: str, weight: float | None, bundle: Path) -> None:
    """Put the model FILE into a bundle: its digest, shapes and input contract go into the manifest.

    An embedding network brings no thresholds: calibrate it before the daemon can use it. With the role `second` it
    stands beside the first embedding, and both together need thresholds of their own. The bundle's signature is
    removed: sign it again.
    """
    from agent.evaluation.bundles import add_model

    if (role == "second") != (weight is not None):
        raise click.UsageError("--weight belongs to --role second, which needs one: 0.5 counts both alike")
    entry = add_model(bundle, file, role, contract, licence, crop, weight)
    shapes = ", ".join(f"{output.name} {list(output.shape)}" for output in entry.outputs)
    click.echo(f"{entry.file}: input {list(entry.input.shape)}, output {shapes}, SHA-256 {entry.sha256}")


@models.command()
@click.argument("target", type=click.Path(path_type=Path, exists=True))
@click.option("--key", type=existing, required=True, help="PEM private key: P-256 or Ed25519.")
def sign(target: Path, key: Path) -> None:
    """Sign a bundle (its folder) or a site manifest (its file) for the terminals that trust the key.

    Every file of a bundle is checked against the manifest first: a signature never covers what does not load.
    """
    from agent.evaluation.bundles import sign_target

    click.echo(f"written {sign_target(target, key)}")


@models.command()
@click.argument("bundle", type=folder, required=False)
@click.option("--key", "keys", type=existing, multiple=True, help="PEM public key that must have signed it.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def verify(bundle: Path | None, keys: tuple[Path, ...], as_json: bool) -> None:
    """Check digests, shapes and, with --key, the signature of a bundle (the shipped one if none is named)."""
    from agent.evaluation.bundles import verify_bundle

    rows = verify_bundle(bundle, [key.read_bytes() for key in keys])
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        click.echo(f"ok  {row['role']:<8} {row['file']:<34} {row['sha256']}")
