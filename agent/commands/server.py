"""Takes commands from the link, does them one after the other, and tells what became of them through the outbox.

    server = CommandServer(link, outbox, operators, registry, journal, terminal="t-0001", clock=issuer_time)
    link.start()
    await server.run()               # a task of the agent

`clock` is the issuer's time, `issued_at` of the newest fresh epoch, or None while there is none: then every command is
stale. A command whose signature does not hold is not answered at all, since nobody is known to have asked.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping

from agent.commands.journal import CommandJournal
from agent.commands.operators import Operator
from agent.commands.registry import Action, Order, Registry
from agent.failures import RenzhengError
from agent.transport.mqtt import Incoming, MqttLink
from agent.transport.outbox import Outbox, Priority
from agent.wire import commands, topics
from agent.wire.commands import MAX_LIFETIME, Command, CommandProgress, CommandResult
from agent.wire.errors import WireError

_LOG = logging.getLogger(__name__)

#: Commands that wait while one is being done; more are dropped, and their operators ask again.
_WAITING = 8
#: Seconds by which an operator's idea of the issuer's time may be ahead (an epoch or two).
_AHEAD = 60
#: Refusals that are remembered.
_REFUSED = 200
#: Seconds that a progress report is worth sending.
_PROGRESS_LIFE = 60


class CommandServer:
    """Make it before the link is started: it subscribes to commands."""

    def __init__(
        self,
        link: MqttLink,
        outbox: Outbox,
        operators: Mapping[bytes, Operator],
        registry: Registry,
        journal: CommandJournal,
        *,
        terminal: str,
        clock: Callable[[], int | None],
    ) -> None:
        self._outbox = outbox
        self._operators = operators
        self._registry = registry
        self._journal = journal
        self._terminal = terminal
        self._clock = clock
        self._waiting: asyncio.Queue[bytes] = asyncio.Queue(_WAITING)
        self._refused: list[bytes] = []
        link.handle(topics.COMMAND.of(terminal), self.take)

    def take(self, message: Incoming) -> None:
        """A message on the command topic. Commands are never retained: one that is, is somebody's trick."""
        if message.retained or self._waiting.full():
            _LOG.warning("a command was dropped: %s", "retained" if message.retained else "too many wait")
            return
        self._waiting.put_nowait(message.payload)

    async def run(self) -> None:
        """Tell how the last process's commands ended, then do commands until cancelled."""
        for command_id, name, ends_process in self._journal.unfinished():
            result = ("done", "") if ends_process else ("interrupted", "command.interrupted")
            try:
                await self._end(command_id, CommandResult.model_validate(_fields(command_id, name, *result)))
            except RenzhengError as error:
                # It stays in the journal, and the next process tells it.
                _LOG.error("the end of a command could not be told: %s", error)
        while True:
            data = await self._waiting.get()
            try:
                await self._handle(data)
            except RenzhengError as error:
                _LOG.error("a command could not be handled: %s", error)

    async def _handle(self, data: bytes) -> None:
        try:
            operator = self._operators.get(commands.kid(data))
            if operator is None:
                _LOG.warning("a command by nobody who is known here was dropped")
                return
            command = commands.read(data, operator.key, terminal=self._terminal)
        except WireError as error:
            _LOG.warning("a command was dropped: %s", error)
            return
        try:
            now = self._fresh(command)
            action = self._registry.find(command.name, operator)
            self._journal.accept(command.command_id, command.name, now=now, ends_process=action.ends_process)
        except RenzhengError as error:
            await self._refuse(command, operator, error)
            return
        _LOG.info("command %s of %s", command.name, operator.name)
        await self._end(command.command_id, await self._do(command, action, operator))

    async def _refuse(self, command: Command, operator: Operator, error: RenzhengError) -> None:
        """Answer once: whoever can repeat a message must not be able to make us write without end."""
        if error.code == "command.repeated" or command.command_id in self._refused:
            return
        _LOG.warning("command %s of %s refused: %s", command.name, operator.name, error)
        self._refused = [*self._refused[-_REFUSED:], command.command_id]
        await self._tell(CommandResult.model_validate(_of(command, "refused", error.code)))

    def _fresh(self, command: Command) -> int:
        """The issuer's time, if `command` is of use now.

        Raises:
            RenzhengError: `command.stale`.
        """
        now = self._clock()
        if now is None:
            raise RenzhengError("command.stale", "without a fresh epoch no command's age is known")
        if not command.issued_at - _AHEAD <= now <= command.expires_at <= command.issued_at + MAX_LIFETIME:
            raise RenzhengError("command.stale", "the command is too old, too new, or too long-lived")
        return now

    async def _do(self, command: Command, action: Action, operator: Operator) -> CommandResult:
        async def progress(step: str, done: int) -> None:
            await self._progress(command, step, done)

        try:
            async with asyncio.timeout(action.deadline):
                content = await action.run(Order(operator, command.argument, progress))
            return CommandResult.model_validate(
                {**_of(command, "done"), **self._content(command, action, operator, content)}
            )
        except TimeoutError:
            return CommandResult.model_validate(_of(command, "failed", "command.timeout"))
        except RenzhengError as error:
            return CommandResult.model_validate(_of(command, "failed", error.code))
        except Exception:  # noqa: BLE001 - whatever an action does, the operator is answered and the server goes on
            _LOG.exception("command %s failed", command.name)
            return CommandResult.model_validate(_of(command, "failed", "internal.error"))

    def _content(self, command: Command, action: Action, operator: Operator, content: bytes) -> dict[str, object]:
        if action.sealed and operator.seal is not None:
            content = commands.seal_result(
                content, operator.seal, terminal=self._terminal, command_id=command.command_id
            )
        if len(content) > commands.RESULT_LIMIT:
            raise RenzhengError("command.result_too_large", f"{len(content)} bytes")
        return {"content": content, "sealed": action.sealed}

    async def _progress(self, command: Command, step: str, done: int) -> None:
        report = CommandProgress(command_id=command.command_id, name=command.name, step=step, done=done)
        try:
            expires = int(time.time()) + _PROGRESS_LIFE
            await self._outbox.put(commands.PROGRESS, report.encode(), Priority.PROGRESS, expires)
        except RenzhengError as error:
            # Progress is worth nothing once it is late; the command itself goes on.
            _LOG.info("progress was not told: %s", error)

    async def _end(self, command_id: bytes, result: CommandResult) -> None:
        await self._tell(result)
        self._journal.end(command_id)

    async def _tell(self, result: CommandResult) -> None:
        # The command's own identifier: told once, however often a power cut makes us tell it.
        await self._outbox.put(commands.RESULT, result.encode(), Priority.RESULT, event_id=result.command_id)


def _of(command: Command, outcome: str, reason: str = "") -> dict[str, object]:
    return _fields(command.command_id, command.name, outcome, reason)


def _fields(command_id: bytes, name: str, outcome: str, reason: str) -> dict[str, object]:
    return {"command_id": command_id, "name": name, "outcome": outcome, "reason": reason}
