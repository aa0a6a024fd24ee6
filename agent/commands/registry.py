"""What can be ordered: names, roles, and the application's own functions behind them.

    registry = Registry()
    registry.add(Action("self-test", Role.OBSERVER, run_self_test))
    registry.add(Action("diagnostics", Role.SUPPORT, make_bundle, sealed=True))
    registry.add(Action("restart", Role.SUPPORT, restart, ends_process=True))

An action gets an `Order` and returns what it found as bytes (a CBOR map by custom; empty for nothing).
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from agent.commands.operators import Operator, Role
from agent.failures import RenzhengError

#: `await progress("models", 40)`: a token that names the step, and hundredths done.
Progress = Callable[[str, int], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Order:
    """One accepted command, as its action sees it."""

    operator: Operator
    argument: str
    progress: Progress


@dataclass(frozen=True, slots=True)
class Action:
    """Something that can be ordered. RenzhengError from `run` is a failure with that code.

    sealed        the result is encrypted to the operator: it may tell more than the issuer should see
    ends_process  `run` does not come back when it succeeds; the next start reports it done
    deadline      seconds after which it has failed
    """

    name: str
    role: Role
    run: Callable[[Order], Awaitable[bytes]]
    sealed: bool = False
    ends_process: bool = False
    deadline: float = 60.0


class Registry:
    """The actions of this terminal, by name."""

    def __init__(self) -> None:
        self._actions: dict[str, Action] = {}

    def add(self, action: Action) -> None:
        """Offer `action`.

        Raises:
            ValueError: there is one of this name already.
        """
        if action.name in self._actions:
            raise ValueError(f"{action.name} is there already")
        self._actions[action.name] = action

    def find(self, name: str, operator: Operator) -> Action:
        """The action that `operator` orders.

        Raises:
            RenzhengError: `command.unknown`, `command.not_authorised`, or `command.no_seal`.
        """
        action = self._actions.get(name)
        if action is None:
            raise RenzhengError("command.unknown", "no such command here")
        if operator.role < action.role:
            raise RenzhengError("command.not_authorised", f"{name} is for {action.role.name.lower()}s")
        if action.sealed and operator.seal is None:
            raise RenzhengError("command.no_seal", f"{operator.name} has no key that a result could be sealed to")
        return action
