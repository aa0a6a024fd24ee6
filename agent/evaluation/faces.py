"""Templates of many picture files."""

import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageOps

from agent.biometrics.bundle import ModelBundle
from agent.biometrics.decode import decode_file
from agent.biometrics.errors import FaceError
from agent.biometrics.image import Picture
from agent.biometrics.manifest import Role
from agent.biometrics.pipeline import FacePipeline
from agent.biometrics.types import Image
from agent.evaluation.cache import ResultCache, cache_key
from agent.evaluation.run import Run, open_bundle
from agent.evaluation.workers import Item, map_items

#: What a worker answers for a picture without a template: the code of its failure after this byte.
FAILED = b"\x00"
MISSING = "evaluation.file_missing"
PORTRAIT_SIZE = (240, 320)
PORTRAIT_BYTES = 15_000


@dataclass(frozen=True, slots=True, eq=False)
class Embeddings:
    """Unit vectors by file, and the codes of the files that have none."""

    vectors: dict[Path, NDArray[np.float32]]
    failures: dict[Path, str]


def embeddings_key(bundle: ModelBundle, as_portraits: bool = False) -> str:
    """Names what decides the templates of stills: the models and the views that are added up."""
    finders = (bundle.entry(role).sha256 for role in (Role.DETECT, Role.MESH, Role.POINTS))
    kind = ["portrait"] if as_portraits else []
    return cache_key([*kind, *finders, bundle.templates, *bundle.entry(Role.EMBED).still_views])


def embed_files(
    paths: Iterable[Path],
    run: Run,
    as_portraits: bool = False,
) -> Embeddings:
    """Templates of all `paths`; `as_portraits` first makes of each picture what a chip would hold of it."""
    with ResultCache(embeddings_key(run.bundle(), as_portraits), run.cache) as cache:
        items = ((path,) for path in paths)
        results = map_items(items, _embed, _prepare, (run.folder, as_portraits), cache, run.jobs, run.progress)
    vectors, failures = {}, {}
    for (path,), result in results.items():
        if result is None:
            failures[path] = MISSING
        elif result.startswith(FAILED):
            failures[path] = result[1:].decode()
        else:
            vectors[path] = np.frombuffer(result[1:], np.float32)
    return Embeddings(vectors, failures)


_pipeline: list[FacePipeline] = []
_as_portraits: list[bool] = []


def _prepare(folder: Path | None, as_portraits: bool) -> None:
    """One pipeline for each worker process."""
    cv2.setNumThreads(1)
    _pipeline[:] = [FacePipeline(open_bundle(folder), target_fmr=None)]
    _as_portraits[:] = [as_portraits]


def _embed(item: Item) -> bytes:
    pipeline, (path,) = _pipeline[0], item
    try:
        pixels = decode_file(path)
        if _as_portraits[0]:
            template = pipeline.enroll(chip_portrait(pixels))
        else:
            picture = Picture(pixels)
            template = pipeline.embed_still(picture, pipeline.analyse_still(picture))
    except FaceError as error:
        return FAILED + error.code.encode()
    return b"\x01" + template.vector.tobytes()


def chip_portrait(pixels: Image) -> bytes:
    """A picture as chips hold portraits: 240 x 320 pixels, JPEG 2000 of about 15 kB."""
    width, height = PORTRAIT_SIZE
    picture = ImageOps.pad(Pillow.fromarray(pixels), (width, height), Pillow.Resampling.LANCZOS, color=(200, 200, 200))
    out = io.BytesIO()
    picture.save(out, "JPEG2000", quality_mode="rates", quality_layers=[width * height * 3 / PORTRAIT_BYTES])
    return out.getvalue()
