"""Templates of many picture files."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from agent.biometrics.bundle import ModelBundle
from agent.biometrics.decode import decode_file
from agent.biometrics.errors import FaceError
from agent.biometrics.image import Picture
from agent.biometrics.manifest import Role
from agent.biometrics.pipeline import FacePipeline
from agent.evaluation.cache import ResultCache, cache_key
from agent.evaluation.workers import Item, Progress, map_items

#: What a worker answers for a picture without a template: the code of its failure after this byte.
FAILED = b"\x00"
MISSING = "evaluation.file_missing"


@dataclass(frozen=True, slots=True, eq=False)
class Embeddings:
    """Unit vectors by file, and the codes of the files that have none."""

    vectors: dict[Path, NDArray[np.float32]]
    failures: dict[Path, str]


def embeddings_key(bundle: ModelBundle) -> str:
    """Names what decides the templates of stills: the models and the views that are added up."""
    roles = (Role.DETECT, Role.MESH, Role.POINTS, Role.EMBED)
    return cache_key([*(bundle.entry(role).sha256 for role in roles), *bundle.entry(Role.EMBED).still_views])


def embed_files(
    paths: Iterable[Path],
    folder: Path | None,
    cache_folder: Path | None,
    jobs: int = 0,
    progress: Progress | None = None,
) -> Embeddings:
    """Templates of all `paths` by the bundle in `folder` (None: the shipped one), on all cores."""
    with ResultCache(embeddings_key(open_bundle(folder)), cache_folder) as cache:
        results = map_items(((path,) for path in paths), _embed, _prepare, (folder,), cache, jobs, progress)
    vectors, failures = {}, {}
    for (path,), result in results.items():
        if result is None:
            failures[path] = MISSING
        elif result.startswith(FAILED):
            failures[path] = result[1:].decode()
        else:
            vectors[path] = np.frombuffer(result[1:], np.float32)
    return Embeddings(vectors, failures)


def open_bundle(folder: Path | None) -> ModelBundle:
    """The bundle in `folder`, or the shipped one."""
    return ModelBundle.shipped() if folder is None else ModelBundle.unsigned(folder)


_pipeline: list[FacePipeline] = []


def _prepare(folder: Path | None) -> None:
    """One pipeline for each worker process."""
    cv2.setNumThreads(1)
    _pipeline[:] = [FacePipeline(open_bundle(folder), target_fmr=None)]


def _embed(item: Item) -> bytes:
    pipeline, (path,) = _pipeline[0], item
    try:
        picture = Picture(decode_file(path))
        analysis = pipeline.analyse_still(picture)
        return b"\x01" + pipeline.embed_still(picture, analysis).vector.tobytes()
    except FaceError as error:
        return FAILED + error.code.encode()
