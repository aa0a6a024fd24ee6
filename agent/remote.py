"""What can be done to a running terminal from afar: signed settings are tried, signed commands are carried out.

A change of settings and a restart end the running parts; `agent.cli.run` starts them anew with what is then in force.
`Steward` outlives them: it remembers what was broken before a change, so that a change is not blamed for it.
"""

import asyncio
import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from agent.commands import operators
from agent.commands.journal import CommandJournal
from agent.commands.operators import Role
from agent.commands.registry import Action, Order, Registry
from agent.commands.server import CommandServer
from agent.configuration.bundles import Bundles
from agent.configuration.remote import RemoteConfiguration, connected
from agent.configuration.remote_trial import SELF_TEST, Acts
from agent.configuration.schema import Settings
from agent.configuration.store import ConfigurationStore, InForce
from agent.configuration.store_journal import Phase, Revision
from agent.failures import RenzhengError
from agent.health import check
from agent.health.check import Status
from agent.health.checks import checks_of
from agent.health.diagnosis import bundle
from agent.transport.issuer_client import IssuerClient
from agent.transport.mqtt import MqttLink
from agent.transport.outbox import Outbox
from agent.trust.clock import Clock, ClockTrust
from agent.trust.identity import DeviceIdentity
from agent.verification.screen import Screens, Stage

log = logging.getLogger(__name__)

#: What must pass after a change, when nobody remembers how it was before (power was cut in between).
CRITICAL = ("settings", "key", "certificate", "issuer-trust", "csca", "model", "golden", "outbox")
#: A check speaks against a change when it fails this often in a row.
LOOKS = 3
#: Seconds that a person who is being served may finish before parts are started anew.
COURTESY = 180.0
#: The colour in which a terminal shows itself to the one who looks for it, and how often it flashes.
BEACON, FLASHES = "#ff8000", 10


class Steward:
    """Owns the settings' store and the wish to start anew; one for the life of the process."""

    def __init__(self, path: Path, store: ConfigurationStore) -> None:
        self.path, self.store = path, store
        self.bundles = Bundles(store.folder.with_name("bundles"), store.authority)
        self.in_force: InForce = self._booted()
        self.again = asyncio.Event()
        self._broken: frozenset[str] | None = None

    def boot(self) -> Settings:
        """The settings for the next run of the parts."""
        if self.again.is_set():
            self.again.clear()
            self.in_force = self._booted()
        return self.in_force.settings

    def _booted(self) -> InForce:
        """The settings in force, with the models that came from afar, if any did."""
        in_force, models = self.store.boot(), self.bundles.boot()
        if models is None:
            return in_force
        faces = in_force.settings.faces
        if faces.model_authority is None:
            log.error("models from afar are left: faces.model_authority no longer says whose models may run")
            return in_force
        changed = in_force.settings.model_copy(update={"faces": faces.model_copy(update={"models": models})})
        return replace(in_force, settings=changed)

    async def renew(self, screens: Screens) -> NoReturn:
        """Start everything anew, once nobody is being served. Does not return: the caller ends with the parts."""
        try:
            async with asyncio.timeout(COURTESY):
                async for screen in screens.watch():
                    if screen.stage is Stage.IDLE:
                        break
        except TimeoutError:
            log.warning("somebody is still being served; starting anew all the same")
        self.again.set()
        await asyncio.Event().wait()
        raise AssertionError("an event that nobody sets")

    async def note_broken(self) -> None:
        """Remember what is broken now."""
        self._broken = await self._failing()

    async def verify(self) -> None:
        """The self-test of a change.

        Raises:
            RenzhengError: `configuration.self_test`, naming the checks that the change broke.
        """
        broken, self._broken = self._broken, None
        blamed = await self._failing()
        for _ in range(LOOKS - 1):
            # A busy moment can make a check miss its time; what the change broke stays broken.
            blamed &= await self._failing() if blamed else blamed
        if broken is None:
            blamed = frozenset(name for name in blamed if name.partition(".")[0] in CRITICAL)
        else:
            blamed -= broken
        if blamed:
            log.warning("the change broke %s", ", ".join(sorted(blamed)))
            raise RenzhengError(SELF_TEST, f"the change broke {', '.join(sorted(blamed))}")

    async def report(self) -> check.Report:
        """Run the self-test on the settings in force."""
        checks = checks_of(self.in_force.settings, self.path)
        return await asyncio.to_thread(check.run, checks)

    async def _failing(self) -> frozenset[str]:
        report = await self.report()
        return frozenset(result.id for result in report.results if result.finding.status is Status.FAIL)


def configuration(
    steward: Steward, link: MqttLink, outbox: Outbox, screens: Screens, identity: DeviceIdentity, clock: Clock
) -> RemoteConfiguration:
    """The part that takes settings from afar. Make it before the link is started."""

    async def apply(_revision: Revision | None) -> None:
        if steward.store.journal.read().phase is Phase.APPLYING:
            await steward.note_broken()
        await steward.renew(screens)

    acts = Acts(apply=apply, verify=steward.verify, reachable=lambda: connected(link))
    return RemoteConfiguration(
        steward.store,
        link,
        outbox,
        acts,
        terminal=identity.terminal,
        groups=steward.in_force.settings.terminal.groups,
        clock=lambda: None if clock.trust is ClockTrust.CONTRADICTED else int(clock.now()),
    )


def commands(
    steward: Steward,
    client: IssuerClient,
    link: MqttLink,
    outbox: Outbox,
    screens: Screens,
    identity: DeviceIdentity,
    changes: RemoteConfiguration,
) -> CommandServer:
    """The part that takes commands from afar. Make it before the link is started."""

    async def self_test(_order: Order) -> bytes:
        return json.dumps(check.document(await steward.report()), ensure_ascii=False).encode()

    async def diagnostics(_order: Order) -> bytes:
        report = await steward.report()
        return await asyncio.to_thread(bundle, steward.path, check.document(report))

    async def identify(_order: Order) -> bytes:
        for flash in range(2 * FLASHES):
            if screens.current.stage is Stage.IDLE:
                screens.show(replace(screens.current, light="" if flash % 2 else BEACON))
            await asyncio.sleep(0.5)
        return b""

    async def restart(_order: Order) -> bytes:
        await steward.renew(screens)

    async def roll_back(_order: Order) -> bytes:
        await changes.roll_back()
        return b""

    registry = Registry()
    registry.add(Action("self-test", Role.OBSERVER, self_test))
    registry.add(Action("identify", Role.OBSERVER, identify))
    registry.add(Action("diagnostics", Role.SUPPORT, diagnostics, sealed=True))
    registry.add(Action("restart", Role.SUPPORT, restart, ends_process=True, deadline=COURTESY + 60))
    registry.add(Action("roll-back", Role.ADMINISTRATOR, roll_back, ends_process=True, deadline=COURTESY + 60))
    settings = steward.in_force.settings
    return CommandServer(
        link,
        outbox,
        operators.load(settings.identity.folder / "trust" / operators.OPERATORS),
        registry,
        CommandJournal(settings.terminal.state / "commands.json"),
        terminal=identity.terminal,
        clock=lambda: client.epochs.issuer_time,
    )
