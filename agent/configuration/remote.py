"""Settings from afar: documents of the authority that arrive over MQTT, tried, and committed or rolled back.

    remote = RemoteConfiguration(store, link, outbox, acts, terminal="t-0001", groups=("lobby",), clock=clock)
    link.start()
    await remote.run()               # a task of the agent

`acts` (see `remote_trial.Acts`) are the application's: apply, verify, reachable. Whatever is refused is refused with a
code, noted in the history, reported through the outbox, and changes nothing. A report that cannot be written is tried
again with the next change or start; it never undoes anything.
"""

import asyncio
import hashlib
import logging
from collections.abc import Callable, Sequence

from agent.configuration import signing
from agent.configuration.remote_intake import Intake, serve
from agent.configuration.remote_trial import Acts, Trial
from agent.configuration.store import ConfigurationStore
from agent.configuration.store_journal import Journal, Revision, Step, admit
from agent.failures import RenzhengError
from agent.transport.mqtt import MqttLink
from agent.transport.outbox import Outbox, Priority
from agent.wire import topics
from agent.wire.configuration import DOCUMENT_LIMIT, REPORT, ChangeReport

_LOG = logging.getLogger(__name__)

#: Why a configuration is left when an operator asks for it.
ROLLED_BACK = "configuration.rolled_back"
_SUBJECT = "configuration"


class RemoteConfiguration:
    """Takes documents from the link. Make it before the link is started, after `store.boot()`.

    `clock` gives seconds since 1970, or None while the time cannot be trusted: a document then waits.
    """

    def __init__(
        self,
        store: ConfigurationStore,
        link: MqttLink,
        outbox: Outbox,
        acts: Acts,
        *,
        terminal: str,
        groups: Sequence[str] = (),
        clock: Callable[[], int | None],
    ) -> None:
        self._store = store
        self._outbox = outbox
        self._acts = acts
        self._trial = Trial(store.journal, acts)
        self._terminal = terminal
        self._groups = tuple(groups)
        self._intake = Intake(link, topics.CONFIGURATION.of(terminal), store.journal, clock)

    async def run(self) -> None:
        """Finish what was under way, report, then take documents until cancelled."""
        await serve(self._trial.resume(), self._intake.next, self._consider, self._report, subject=_SUBJECT)

    async def roll_back(self) -> None:
        """Go back to the last good configuration, because an operator says so; the one in force is not taken again.

        Raises:
            RenzhengError: `configuration.nothing_to_roll_back`.
        """
        state = self._store.journal.back_to_previous(ROLLED_BACK)
        await self._acts.apply(state.active)
        await self._report()

    async def _consider(self, data: bytes) -> None:
        revision = Revision(number=0, digest=hashlib.sha256(data[: DOCUMENT_LIMIT + 1]).hexdigest())
        try:
            document = signing.open_document(data, self._store.authority)
            revision = Revision(number=document.number, digest=document.digest.hex())
            signing.require_target(document.target, self._terminal, self._groups)
            if not admit(self._store.journal.read(), revision):
                return
            self._store.settings_with(document)
        except RenzhengError as error:
            self._intake.refuse(revision, error)
            return
        if await self._intake.superseded_before(document.valid_from):
            return
        await self._trial.start(self._store.keep(document))

    async def _report(self) -> None:
        await report_untold(self._store.journal, self._outbox, _SUBJECT)


async def connected(link: MqttLink, *, steady: float = 5.0) -> None:
    """Return once `link` has been up for `steady` seconds in one piece: a plain `Acts.reachable`."""
    while True:
        try:
            await link.wait_connected(steady)
        except RenzhengError:
            continue
        await asyncio.sleep(steady)
        if link.connected:
            return


async def report_untold(journal: Journal, outbox: Outbox, subject: str) -> None:
    """Put what the issuer has not been told yet into the outbox. A failure is told in the log and changes nothing."""
    try:
        state = journal.read()
        active = state.active.number if state.active else 0
        for step in state.history[len(state.history) - state.untold :]:
            report = ChangeReport.model_validate(
                {
                    "subject": subject,
                    "number": step.revision.number,
                    "digest": bytes.fromhex(step.revision.digest),
                    "state": step.state,
                    "reason": step.reason,
                    "active": active,
                }
            )
            await outbox.put(REPORT, report.encode(), Priority.RESULT, event_id=_event_id(subject, step))
        if state.untold:
            journal.told(state.untold)
    except RenzhengError as error:
        _LOG.warning("a change of %s could not be reported yet: %s", subject, error)


def _event_id(subject: str, step: Step) -> bytes:
    """The same step is the same event, however often a power cut makes us report it."""
    return hashlib.sha256(f"{subject} {step.model_dump_json()}".encode()).digest()[:16]
