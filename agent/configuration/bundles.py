"""Model bundles from afar: a signed manifest, its files fetched and tested, then tried as a configuration is.

    bundles = Bundles(state / "bundles", authority)
    folder = bundles.boot()          # the bundle in force, None: the shipped one
    remote = RemoteBundles(bundles, link, outbox, acts, golden, terminal=..., groups=..., clock=..., origins=())
    link.start()
    await remote.run()               # a task of the agent

`golden(folder)` runs the new models on known input before anything is switched; `acts` are those of a configuration
(`remote_trial.Acts`). The folder that is handed on holds the files and the signed manifest as `bundle.cose`.
"""

import asyncio
import logging
import shutil
import ssl
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from agent import durable
from agent.configuration import bundles_fetch, signing
from agent.configuration.bundles_fetch import HttpsSource, MqttSource, Source
from agent.configuration.remote import report_untold
from agent.configuration.remote_trial import Acts, Trial
from agent.configuration.store_journal import Journal, Phase, Revision, admit
from agent.failures import RenzhengError
from agent.transport.mqtt import Incoming, MqttLink
from agent.transport.outbox import Outbox
from agent.wire import configuration, topics
from agent.wire.configuration import MANIFEST_LIMIT, BundleFile, BundleManifest
from agent.wire.errors import Fault, WireError
from agent.wire.keys import KeyRing

_LOG = logging.getLogger(__name__)

MANIFEST = "bundle.cose"
_FILES = "files"
#: Seconds between attempts to fetch what could not be fetched, and between looks at the clock.
_AGAIN = 60.0


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
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if shutil.disk_usage(self.folder).free < missing:
            raise RenzhengError("bundle.disk", f"{missing} bytes are needed")
        for file in manifest.files:
            await bundles_fetch.download(source, file, self.folder / _FILES)
        return await asyncio.to_thread(self._lay_out, signed, manifest, revision)

    def forget_others(self) -> None:
        """Remove the folders and files that neither the active nor the previous nor a candidate bundle needs."""
        state = self.journal.read()
        needed = {self.path(each) for each in (state.active, state.previous, state.candidate) if each is not None}
        for path in self.folder.glob("[0-9]*-*"):
            if path not in needed:
                shutil.rmtree(path)
        for path in (self.folder / _FILES).glob("*"):
            # The last link to its content: no bundle uses it any more.
            if path.stat().st_nlink == 1:
                path.unlink()

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


class RemoteBundles:
    """Takes manifests from the link. Make it before the link is started, after `bundles.boot()`."""

    def __init__(
        self,
        bundles: Bundles,
        link: MqttLink,
        outbox: Outbox,
        acts: Acts,
        golden: Callable[[Path], Awaitable[None]],
        *,
        terminal: str,
        groups: Sequence[str] = (),
        clock: Callable[[], int | None],
        origins: Sequence[str] = (),
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._bundles = bundles
        self._outbox = outbox
        self._trial = Trial(bundles.journal, acts)
        self._golden = golden
        self._terminal = terminal
        self._groups = tuple(groups)
        self._clock = clock
        self._origins = tuple(origins)
        self._tls = tls
        self._mqtt = MqttSource(link, terminal)
        self._newest: bytes | None = None
        self._arrival = asyncio.Event()
        self._complained: set[str] = set()
        link.handle(topics.BUNDLE.of(terminal), self.take)

    def take(self, message: Incoming) -> None:
        """A message on the bundle topic."""
        if message.payload:
            self._newest = message.payload
            self._arrival.set()

    async def run(self) -> None:
        """Finish what was under way, report, then take manifests until cancelled."""
        await self._step(self._trial.resume())
        while True:
            await self._arrival.wait()
            self._arrival.clear()
            data, self._newest = self._newest, None
            if data is not None:
                await self._step(self._consider(data))

    async def _step(self, step: Awaitable[None]) -> None:
        try:
            await step
        except RenzhengError as error:
            _LOG.error("a bundle could not be handled: %s", error)
        await report_untold(self._bundles.journal, self._outbox, "bundle")

    async def _consider(self, data: bytes) -> None:
        revision = Revision(number=0, digest=configuration.digest(data[: MANIFEST_LIMIT + 1]).hex())
        try:
            manifest = _manifest(data, self._bundles.authority)
            revision = Revision(number=manifest.number, digest=revision.digest)
            signing.require_target(manifest.target, self._terminal, self._groups)
            if not admit(self._bundles.journal.read(), revision):
                return
            source = self._source(manifest)
        except RenzhengError as error:
            self._refuse(revision, error)
            return
        if await self._superseded_before(manifest.valid_from):
            return
        await self._stage_and_try(data, manifest, revision, source)

    async def _stage_and_try(self, data: bytes, manifest: BundleManifest, revision: Revision, source: Source) -> None:
        try:
            path = await self._bundles.stage(data, manifest, revision, source)
        except RenzhengError as error:
            _LOG.warning("bundle %d could not be fetched: %s", revision.number, error)
            self._bundles.journal.refused(revision, error.code)
            # The broker will not send the retained manifest again by itself.
            asyncio.get_running_loop().call_later(_AGAIN, self._retry, data)
            return
        try:
            await self._golden(path)
        except RenzhengError as error:
            self._bundles.journal.prepared(revision)
            self._bundles.journal.rolling_back(error.code)
            self._bundles.journal.rolled_back()
            return
        await self._trial.start(revision)
        await asyncio.to_thread(self._bundles.forget_others)

    def _retry(self, data: bytes) -> None:
        if self._newest is None:
            self._newest = data
            self._arrival.set()

    def _refuse(self, revision: Revision, error: RenzhengError) -> None:
        # As for configurations: nobody's message is noted once for each reason.
        if revision.number == 0:
            if error.code in self._complained:
                return
            self._complained.add(error.code)
        _LOG.warning("bundle %d refused: %s", revision.number, error)
        self._bundles.journal.refused(revision, error.code)

    def _source(self, manifest: BundleManifest) -> Source:
        if not manifest.origins:
            return self._mqtt
        origin = next((origin for origin in manifest.origins if origin in self._origins), manifest.origins[0])
        return HttpsSource(origin, self._origins, tls=self._tls)

    async def _superseded_before(self, valid_from: int) -> bool:
        while True:
            now = self._clock()
            if now is not None and now >= valid_from:
                return False
            try:
                async with asyncio.timeout(_AGAIN if now is None else min(_AGAIN, valid_from - now)):
                    await self._arrival.wait()
            except TimeoutError:
                continue
            return True


def _manifest(data: bytes, authority: KeyRing) -> BundleManifest:
    codes = {Fault.LIMIT: "configuration.oversized", Fault.MALFORMED: "configuration.malformed"}
    try:
        manifest = configuration.read_manifest(data, authority)
    except WireError as error:
        raise RenzhengError(codes.get(error.fault, "configuration.unsigned"), str(error)) from error
    names = {file.name for file in manifest.files}
    if len(names) != len(manifest.files) or MANIFEST in names:
        raise RenzhengError("configuration.malformed", "two files of one name")
    return manifest
