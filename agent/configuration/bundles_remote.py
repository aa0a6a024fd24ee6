"""Manifests of the authority as they arrive: files fetched, new models tested, then tried as a configuration is.

    remote = RemoteBundles(bundles, link, outbox, acts, golden, terminal=..., groups=..., clock=..., origins=())
    link.start()
    await remote.run()               # a task of the agent

`golden(folder)` runs the new models on known input before anything is switched; `acts` are those of a configuration
(`remote_trial.Acts`).
"""

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from agent.configuration import signing
from agent.configuration.bundles import MANIFEST, Bundles
from agent.configuration.bundles_fetch import HttpsSource, MqttSource, Source
from agent.configuration.remote import report_untold
from agent.configuration.remote_intake import Intake, serve
from agent.configuration.remote_trial import Acts, Trial
from agent.configuration.store_journal import Phase, Revision, admit
from agent.failures import RenzhengError
from agent.transport.mqtt import MqttLink
from agent.transport.outbox import Outbox
from agent.wire import configuration, topics
from agent.wire.configuration import MANIFEST_LIMIT, BundleManifest
from agent.wire.errors import Fault, WireError
from agent.wire.keys import KeyRing

_LOG = logging.getLogger(__name__)

#: Seconds between attempts to fetch what could not be fetched.
_AGAIN = 60.0
_SUBJECT = "bundle"


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
        self._origins = tuple(origins)
        self._tls = tls
        self._mqtt = MqttSource(link, terminal)
        self._intake = Intake(link, topics.BUNDLE.of(terminal), bundles.journal, clock)

    async def run(self) -> None:
        """Finish what was under way, report, then take manifests until cancelled."""
        await serve(self._resume(), self._intake.next, self._consider, self._report, subject=_SUBJECT)

    async def _resume(self) -> None:
        on_trial = self._bundles.journal.read().phase is Phase.APPLYING
        await self._trial.resume()
        if on_trial:
            await asyncio.to_thread(self._bundles.forget_others)

    async def _report(self) -> None:
        await report_untold(self._bundles.journal, self._outbox, _SUBJECT)

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
            self._intake.refuse(revision, error)
            return
        if await self._intake.superseded_before(manifest.valid_from):
            return
        await self._stage_and_try(data, manifest, revision, source)

    async def _stage_and_try(self, data: bytes, manifest: BundleManifest, revision: Revision, source: Source) -> None:
        try:
            path = await self._bundles.stage(data, manifest, revision, source)
        except RenzhengError as error:
            _LOG.warning("bundle %d could not be fetched: %s", revision.number, error)
            self._bundles.journal.refused(revision, error.code)
            # The broker will not send the retained manifest again by itself.
            asyncio.get_running_loop().call_later(_AGAIN, self._intake.offer_again, data)
            return
        try:
            await self._golden(path)
        except RenzhengError as error:
            self._bundles.journal.prepared(revision)
            self._bundles.journal.rolling_back(error.code)
            self._bundles.journal.rolled_back()
            await asyncio.to_thread(self._bundles.forget_others)
            return
        await self._trial.start(revision)
        await asyncio.to_thread(self._bundles.forget_others)

    def _source(self, manifest: BundleManifest) -> Source:
        if not manifest.origins:
            return self._mqtt
        origin = next((origin for origin in manifest.origins if origin in self._origins), manifest.origins[0])
        return HttpsSource(origin, self._origins, tls=self._tls)


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
