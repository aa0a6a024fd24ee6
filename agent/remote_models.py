"""Models from afar: a bundle that the configuration authority rolls out and the models' authority has signed.

Two signatures on purpose: who may decide which terminal runs what is not who vouches for the networks. Before anything
is switched the new models must find the known faces (`agent.health.checks.models`).
"""

import asyncio
import logging
from pathlib import Path

from agent.configuration.bundles_remote import RemoteBundles
from agent.configuration.remote import connected
from agent.configuration.remote_trial import Acts
from agent.configuration.schema import Settings
from agent.configuration.store_journal import Phase, Revision
from agent.failures import RenzhengError
from agent.health import check
from agent.health.check import Status
from agent.health.checks import models
from agent.remote import Steward
from agent.transport.mqtt import MqttLink
from agent.transport.outbox import Outbox
from agent.trust.clock import Clock, ClockTrust
from agent.trust.identity import DeviceIdentity
from agent.verification.screen import Screens

log = logging.getLogger(__name__)


def bundles(
    steward: Steward, link: MqttLink, outbox: Outbox, screens: Screens, identity: DeviceIdentity, clock: Clock
) -> RemoteBundles:
    """The part that takes model bundles from afar. Make it before the link is started."""
    settings = steward.in_force.settings

    async def apply(_revision: Revision | None) -> None:
        if steward.bundles.journal.read().phase is Phase.APPLYING:
            await steward.note_broken()
        await steward.renew(screens)

    async def golden(folder: Path) -> None:
        await asyncio.to_thread(must_know_the_known_faces, settings, folder)

    return RemoteBundles(
        steward.bundles,
        link,
        outbox,
        Acts(apply=apply, verify=steward.verify, reachable=lambda: connected(link)),
        golden,
        terminal=identity.terminal,
        groups=settings.terminal.groups,
        clock=lambda: None if clock.trust is ClockTrust.CONTRADICTED else int(clock.now()),
        origins=settings.faces.origins,
    )


def must_know_the_known_faces(settings: Settings, folder: Path) -> None:
    """Load every model in `folder` and hold it against known pictures. Takes seconds.

    Raises:
        RenzhengError: the code of the first check that failed.
    """
    trial = settings.model_copy(update={"faces": settings.faces.model_copy(update={"models": folder})})
    for result in check.run(models.checks(trial)).results:
        if result.finding.status is Status.FAIL:
            log.warning("the new models fail %s: %s", result.id, result.finding.measured)
            raise RenzhengError(result.finding.code or "model.runtime", f"the new models fail {result.id}")
