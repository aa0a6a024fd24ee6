"""What the operator page tells: plain facts about the terminal, none about a person."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from agent.kiosk.aim import Aim


class Health(StrEnum):
    """How a part is."""

    GOOD = "good"
    DEGRADED = "degraded"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Part:
    """A check of the self-test, a device, or a network connection. `code` is a failure code, or ""."""

    name: str
    health: Health
    detail: str = ""
    code: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one verification ended: when (Unix time), after how many seconds, and its failure code ("" is success)."""

    at: float
    seconds: float
    code: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything on the operator page but the camera's aim. Newest outcomes first."""

    terminal: str
    version: str
    #: Seconds since the agent started.
    uptime: float
    #: Of the processor, in degrees Celsius; None where it cannot be read.
    temperature: float | None
    devices: tuple[Part, ...] = ()
    network: tuple[Part, ...] = ()
    checks: tuple[Part, ...] = ()
    outcomes: tuple[Outcome, ...] = ()


class OperatorView(Protocol):
    """What the page asks of the agent. The calls come from the loop and must not block it."""

    async def facts(self) -> Facts:
        """The newest facts; `checks` as the last self-test found them."""

    async def self_test(self) -> None:
        """Run the self-test now; its results are in the next `facts`."""

    async def aim(self) -> Aim | None:
        """Keep the camera delivering previews for the next two seconds and measure one; None while there is none.

        `agent.kiosk.aim.measure` reads a preview picture.
        """
