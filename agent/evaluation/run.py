"""How a measurement is run."""

from dataclasses import dataclass
from pathlib import Path

from agent.biometrics.bundle import ModelBundle
from agent.evaluation.cache import cache_folder
from agent.evaluation.workers import Progress


@dataclass(frozen=True, slots=True)
class Run:
    """By which models, on how much of a list, with how many workers (0: all cores), and who hears of the progress."""

    #: Folder of a bundle; None is the shipped one.
    folder: Path | None = None
    limit: int | None = None
    jobs: int = 0
    #: Keep results for the next run.
    keep: bool = True
    progress: Progress | None = None

    @property
    def cache(self) -> Path | None:
        """Where results are kept."""
        return cache_folder() if self.keep else None

    def bundle(self) -> ModelBundle:
        """The bundle to measure."""
        return open_bundle(self.folder)


def open_bundle(folder: Path | None) -> ModelBundle:
    """The bundle in `folder`, or the shipped one."""
    return ModelBundle.shipped() if folder is None else ModelBundle.unsigned(folder)
