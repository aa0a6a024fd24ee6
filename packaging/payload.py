# ruff: noqa: INP001 - a script
"""Lay out /opt/renzheng: one self-contained environment for every Python of the supported releases.

    lib/common      what is the same for each Python: pure packages, and extensions against the stable ABI
    lib/python3.11  the rest, for Debian 12
    lib/python3.13  the rest, for Debian 13
    bin/            the launchers, which put the two folders on the path

One package thus serves both releases and survives an upgrade of the system under it. Everything comes from lock
files with hashes; only pyscard has no wheels and is compiled, once, against the stable ABI (PEP 384).
"""

import argparse
import filecmp
import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements/runtime.txt"
#: What the system's own packages import and must get from us.
AHEAD = ROOT / "packaging/ahead.txt"
PYTHONS = ("3.11", "3.13")
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
COMPILERS = {"amd64": "gcc", "arm64": "aarch64-linux-gnu-gcc"}
OWN = ("agent", "firmware_bridge", "models")
#: Of the optional parts those that are small and run everywhere, so that nobody needs pip on a terminal: SM2.
OPTIONAL = {"gmalg"}

#: Tests, headers, type stubs and accelerators for hardware that no terminal has; with their sizes in docs/decisions.
UNUSED = (
    "numpy/**/tests", "numpy/_core/include", "numpy/_core/lib", "numpy/f2py", "psutil/tests",
    "numpy/distutils", "ai_edge_litert/aot", "ai_edge_litert/tools", "ai_edge_litert/vendors",
    "ai_edge_litert/libLiteRtWebGpuAccelerator.so", "cv2/qt", "cv2/data", "**/*.pyi", "**/*.pxd", "**/*.c", "**/*.h",
    "**/*.a", "bin", "smartcard/wx", ".lock", "CACHEDIR.TAG",
)  # fmt: skip


def main() -> None:
    """Build the tree in the folder given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--architecture", choices=sorted(MACHINES), required=True)
    parser.add_argument("--tools", type=Path, required=True, help="virtual environment of packaging/requirements.txt")
    parser.add_argument("output", type=Path)
    options = parser.parse_args()
    shutil.rmtree(options.output, ignore_errors=True)
    with tempfile.TemporaryDirectory() as scratch:
        build(options.architecture, options.output, options.tools.resolve() / "bin", Path(scratch))


def build(architecture: str, output: Path, tools: Path, scratch: Path) -> None:
    """Install for each Python, then move what is equal into `common`."""
    wheels, compiled = split_lock(LOCK.read_text("utf-8"))
    (scratch / "wheels.txt").write_text(wheels, "utf-8")
    (scratch / "compiled.txt").write_text(compiled, "utf-8")
    pyscard = compile_pyscard(architecture, tools, scratch)
    trees = [output / f"lib/python{python}" for python in PYTHONS]
    for python, tree in zip(PYTHONS, trees, strict=True):
        run(tools / "uv", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:",
            "--target", tree, "--python-version", python, "--python-platform",
            f"{MACHINES[architecture]}-manylinux_2_36", "-r", scratch / "wheels.txt", "-r", AHEAD)  # fmt: skip
        shutil.unpack_archive(pyscard, tree, "zip")
        prune(tree)
    common = output / "lib/common"
    share(trees, common)
    for package in OWN:
        shutil.copytree(ROOT / package, common / package, ignore=shutil.ignore_patterns("__pycache__", "build"))
    shutil.copytree(ROOT / "packaging/bin", output / "bin")


def split_lock(lock: str) -> tuple[str, str]:
    """The entries of the lock file that a terminal needs: those with wheels, and pyscard."""
    needed = closure("renzheng", set()) | OPTIONAL
    wheels, compiled = [], []
    for entry in re.split(r"\n(?=[A-Za-z0-9])", lock.strip()):
        name = normal(re.split(r"[^A-Za-z0-9._-]", entry, maxsplit=1)[0])
        if name == "pyscard":
            compiled.append(entry)
        elif name in needed:
            wheels.append(entry)
    return "\n".join(wheels), "\n".join(compiled)


def closure(package: str, seen: set[str]) -> set[str]:
    """`package` and all that it requires without extras, on whatever Python: the lock's markers choose."""
    name = normal(package)
    if name in seen:
        return seen
    seen.add(name)
    try:
        requirements = importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return seen
    for requirement in requirements:
        if "extra ==" not in requirement:
            closure(re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0], seen)
    return seen


def normal(name: str) -> str:
    """A distribution's name as the index spells it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def compile_pyscard(architecture: str, tools: Path, scratch: Path) -> Path:
    """A wheel of pyscard whose extension serves every Python from 3.11 on: SWIG writes for the stable ABI."""
    flags = (
        "-O2 -DPy_LIMITED_API=0x030B0000 -DPyUnicode_GET_LENGTH=PyUnicode_GetLength "
        "-include stdlib.h -include string.h -include stdio.h -Werror=implicit-function-declaration"
    )
    environment = {"SETUPTOOLS_EXT_SUFFIX": ".abi3.so", "LDFLAGS": "-Wl,-s", "CC": COMPILERS[architecture]}
    if MACHINES[architecture] != platform.machine():
        flags += f" -I{foreign_headers(architecture, scratch / 'include')}"
        environment["_PYTHON_HOST_PLATFORM"] = f"linux-{MACHINES[architecture]}"
    run(tools / "python", "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-cache-dir",
        "--no-binary", "pyscard", "--require-hashes", "-w", scratch, "-r", scratch / "compiled.txt",
        **environment, CFLAGS=flags, PATH=f"{tools}:{os.environ['PATH']}")  # fmt: skip
    return next(scratch.glob("pyscard-*.whl"))


def foreign_headers(architecture: str, folder: Path) -> Path:
    """A folder in which Debian's Python.h finds its pyconfig.h for another machine.

    The stable ABI rests on the sizes of C's types alone, and these are equal on x86-64 and aarch64.
    """
    python = Path(sysconfig.get_path("include")).name
    native = Path(f"/usr/include/{platform.machine()}-linux-gnu/{python}")
    (folder / f"{MACHINES[architecture]}-linux-gnu").mkdir(parents=True)
    (folder / f"{MACHINES[architecture]}-linux-gnu" / python).symlink_to(native)
    return folder


def prune(tree: Path) -> None:
    """Remove what no terminal uses."""
    for pattern in UNUSED:
        for path in sorted(tree.glob(pattern)):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def share(trees: list[Path], common: Path) -> None:
    """Move the packages that are equal in all trees into `common`."""
    common.mkdir(parents=True)
    first, *others = trees
    for path in sorted(first.iterdir()):
        twins = [other / path.name for other in others]
        if all(equal(path, twin) for twin in twins):
            path.rename(common / path.name)
            for twin in twins:
                shutil.rmtree(twin) if twin.is_dir() else twin.unlink()
            if path.suffix == ".libs":
                # Extensions find the libraries of their wheel beside themselves.
                for tree in trees:
                    (tree / path.name).symlink_to(Path("../common") / path.name)


def equal(left: Path, right: Path) -> bool:
    """Whether two files or folders hold the same bytes under the same names."""
    if left.is_file() and right.is_file():
        return filecmp.cmp(left, right, shallow=False)
    if not (left.is_dir() and right.is_dir()):
        return False
    names = {path.name for path in left.iterdir()}
    return names == {path.name for path in right.iterdir()} and all(equal(left / n, right / n) for n in names)


def run(*command: str | Path, **environment: str) -> None:
    """Run a program; its failure ends the build."""
    subprocess.run([str(part) for part in command], check=True, env={**os.environ, **environment})


if __name__ == "__main__":
    main()
