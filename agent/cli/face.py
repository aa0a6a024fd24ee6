"""`renzheng face`: for a person with two pictures and a question."""

import json
from pathlib import Path

import click

existing = click.Path(path_type=Path, exists=True, dir_okay=False)
bundle_option = click.option(
    "--bundle", type=click.Path(path_type=Path, file_okay=False), help="Folder of a bundle.  [default: the shipped one]"
)


@click.group()
def face() -> None:
    """Compare two pictures, or see what the pipeline sees in one."""


@face.command()
@click.argument("a", type=existing)
@click.argument("b", type=existing)
@click.option("--fmr", type=float, default=1e-5, show_default=True, help="False match rate of the threshold.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@bundle_option
def compare(a: Path, b: Path, fmr: float, as_json: bool, bundle: Path | None) -> None:
    """Do A and B show one person?

    Exit status 0: yes, at the threshold of the false match rate; 2: no; 1: one of them could not be compared.
    """
    from agent.evaluation.inspect import compare_files

    result = compare_files(a, b, fmr, bundle)
    if as_json:
        click.echo(json.dumps(result, indent=2))
    else:
        verdict = "one person" if result["match"] else "not taken for one person"
        click.echo(f"{verdict}: similarity {result['similarity']:.4f}, threshold {result['threshold']:.4f}")
        click.echo(f"  at the threshold about one in {1 / result['target_fmr']:,.0f} pairs of strangers would match")
        for side in ("a", "b"):
            if result[side]["problems"]:
                click.echo(f"  {side}: {', '.join(result[side]['problems'])}: less certain than usual")
    if not result["match"]:
        raise SystemExit(2)


@face.command()
@click.argument("image", type=existing)
@click.option("--annotate", type=click.Path(path_type=Path, dir_okay=False), help="Write the picture with its points.")
@click.option("--passive", is_flag=True, help="The passive attack score, too (slow; advisory).")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@bundle_option
def inspect(image: Path, annotate: Path | None, passive: bool, as_json: bool, bundle: Path | None) -> None:
    """What the pipeline sees in IMAGE: faces, pose, quality, and what it would ask the person to do."""
    from agent.evaluation.inspect import inspect_file

    result = inspect_file(image, annotate, passive, bundle)
    if as_json:
        click.echo(json.dumps(result, indent=2))
        return
    click.echo(f"{result['width']} x {result['height']} pixels, faces seen: {result['faces']}")
    if result["face"] is not None:
        pose, box = result["face"]["pose"], result["face"]["box"]
        click.echo(f"box     left {box[0]:.0f}, top {box[1]:.0f}, right {box[2]:.0f}, bottom {box[3]:.0f}")
        click.echo(f"pose    yaw {pose['yaw']:+.1f}°, pitch {pose['pitch']:+.1f}°, roll {pose['roll']:+.1f}°")
        for name, value in result["quality"].items():
            click.echo(f"  {name:<14} {value:10.3f}")
    click.echo("ask     " + (", ".join(result["problems"]) or "nothing: good enough to compare"))
    if result["passive"] is not None:
        click.echo(f"passive {result['passive']:.3f} (0 living, 1 attack; advisory)")
    if annotate:
        click.echo(f"written {annotate}")
