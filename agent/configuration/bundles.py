"""Model bundles on the terminal: laid out whole, verified at every start, the last good one kept.

    bundles = Bundles(state / "bundles", authority)
    folder = bundles.boot()          # the bundle in force, None: the shipped one

A bundle's folder holds its files and the authority's signed manifest as `bundle.cose`. `bundles_remote` takes new ones.
"""

import asyncio
import logging
import shutil
from pathlib import Path

from agent import durable
from agent.configuration import bundles_fetch
from agent.configuration.bundles_fetch import Source
from agent.configuration.store_journal import Journal, Phase, Revision
from agent.failures import RenzhengError
from agent.wire import configuration
from agent.wire.configuration import MANIFEST_LIMIT, BundleFile, BundleManifest
from agent.wire.errors import WireError
from agent.wire.keys import KeyRing

_LOG = logging.getLogger(__name__)

MANIFEST = "bundle.cose"
_FILES = "files"


class Bundles:
    """Bundles and their journal below `folder`."""

    def __init__(self, folder: Path, authority: KeyRing) -> None:
        self.folder = folder
        self.authority = authority
        self.journal = Journal(folder / "journal.json")

    def boot(self) -> Path | None:
        """The bundle that is to be in force in this process, whole and verified; None: the shipped one."""
        state = self.journal.boot(self._highest)
        if state.phase is Phase.APPLYING and state.candidate is not None:
            if self._whole(state.candidate):
                return self.path(state.candidate)
            self.journal.abandoned("bundle.unusable")
        for revision in (state.active, state.previous):
            if revision is not None and self._whole(revision):
                if revision is not state.active:
                    self.journal.fell_back(revision, "bundle.unusable")
                return self.path(revision)
        if state.active is not None:
            self.journal.fell_back(None, "bundle.unusable")
        return None

    def path(self, revision: Revision) -> Path:
        """The folder of a bundle."""
        return self.folder / f"{revision.number}-{revision.digest[:16]}"

    async def stage(self, signed: bytes, manifest: BundleManifest, revision: Revision, source: Source) -> Path:
        """Fetch what is missing and lay the bundle's folder out; durable on return.

        Raises:
            RenzhengError: `bundle.unreachable`, `bundle.digest`, `bundle.disk`.
        """
        missing = sum(file.size for file in manifest.files if not self._file(file).exists())
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if shutil.disk_usage(self.folder).free < missing:
                raise RenzhengError("bundle.disk", f"{missing} bytes are needed")
            for file in manifest.files:
                await bundles_fetch.download(source, file, self.folder / _FILES)
        except OSError as error:
            raise RenzhengError("bundle.disk", f"a bundle cannot be kept: {error.strerror}") from error
        return await asyncio.to_thread(self._lay_out, signed, manifest, revision)

    def forget_others(self) -> None:
        """Remove the folders and files that neither the active nor the previous nor a candidate bundle needs.

        Not while one is being fetched: what has arrived of it would go too.
        """
        state = self.journal.read()
        needed = {self.path(each) for each in (state.active, state.previous, state.candidate) if each is not None}
        try:
            # A folder that a power cut kept from its name holds on to files, too.
            for path in (*self.folder.glob("[0-9]*-*"), *self.folder.glob(".[0-9]*-*.new")):
                if path not in needed:
                    shutil.rmtree(path)
            for path in (self.folder / _FILES).glob("*"):
                # The last link to its content: no bundle uses it any more.
                if path.stat().st_nlink == 1:
                    path.unlink()
        except OSError as error:
            _LOG.warning("old bundles could not be removed: %s", error.strerror)

    def _lay_out(self, signed: bytes, manifest: BundleManifest, revision: Revision) -> Path:
        path = self.path(revision)
        beside = path.with_name(f".{path.name}.new")
        try:
            shutil.rmtree(beside, ignore_errors=True)
            shutil.rmtree(path, ignore_errors=True)
            beside.mkdir(mode=0o700)
            for file in manifest.files:
                (beside / file.name).hardlink_to(self._file(file))
            durable.write(beside / MANIFEST, signed)
            beside.rename(path)
            durable.sync_folder(self.folder)
        except OSError as error:
            raise RenzhengError("bundle.disk", f"the bundle cannot be laid out: {error.strerror}") from error
        return path

    def _whole(self, revision: Revision) -> bool:
        """Whether a bundle is there, signed, and every file is what the manifest says."""
        path = self.path(revision)
        try:
            signed = durable.read(path / MANIFEST, limit=MANIFEST_LIMIT) or b""
            manifest = configuration.read_manifest(signed, self.authority)
            if configuration.digest(signed).hex() != revision.digest:
                return False
            return all(bundles_fetch.is_whole(path / file.name, file) for file in manifest.files)
        except (OSError, WireError) as error:
            _LOG.error("bundle %d cannot be used: %s", revision.number, error)
            return False

    def _highest(self) -> int:
        numbers = [int(path.name.partition("-")[0]) for path in self.folder.glob("[0-9]*-*")]
        return max(numbers, default=0)

    def _file(self, file: BundleFile) -> Path:
        return self.folder / _FILES / file.sha256.hex()
