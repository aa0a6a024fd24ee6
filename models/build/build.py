"""Rebuild the shipped models from their pinned packages, byte for byte.

    python models/build/build.py --out models            write them
    python models/build/build.py --check models          build again elsewhere and compare digests

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
from graph import Graph, fold_half_weights, fuse_prelu, fuse_softmax, set_batch
from recipes import RECIPES, Recipe
from sources import fetch

HERE = Path(__file__).resolve().parent
CACHE = HERE.parents[1] / "build" / "models"


def edit(made: Recipe, target: Path) -> None:
    """Write the edited float model."""
    graph = Graph(fetch(made.source, CACHE / "packages") / made.path)
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("--out", type=Path, help="folder to write the models into; float forms go to build/models/float")
    group.add_argument("--check", type=Path, help="folder of models to compare with")
    arguments = parser.parse_args()
    differing = 0
    with tempfile.TemporaryDirectory() as scratch:
        for made in RECIPES:
            built = build(made, Path(scratch))
            if arguments.out:
                (arguments.out / made.output).write_bytes(built.read_bytes())
                floats = CACHE / "float"
                floats.mkdir(parents=True, exist_ok=True)
                (floats / made.output).write_bytes((built.parent / f"float-{made.output}").read_bytes())
                print(f"{made.output}  {built.stat().st_size} bytes  {digest(built)}")
            else:
                same = digest(built) == digest(arguments.check / made.output)
                differing += not same
                print(f"{'same     ' if same else 'DIFFERENT'} {made.output}  {digest(built)}")
    raise SystemExit(1 if differing else 0)


if __name__ == "__main__":
    main()
