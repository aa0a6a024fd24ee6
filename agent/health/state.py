"""What the running agent says about its parts, in a small file on a tmpfs: the self-test and the operator read it.

A camera belongs to one process: while the agent runs, its word stands for the look that the self-test cannot take.
"""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import monotonic, time

from agent.health import events

FILE = "health.json"
#: The agent writes at least this often; older words count for nothing.
FRESH = 30.0


@dataclass(frozen=True, slots=True)
class PartState:
    """One part: up, or down with a failure code, since a moment (seconds since the epoch)."""

    up: bool
    code: str
    since: float
    #: What the part says of itself, such as the number of a security module.
    about: str = ""


class PartStates:
    """The parts' states; a change is logged once and told to those who listen."""

    def __init__(self) -> None:
        self._states: dict[str, PartState] = {}
        #: When each part last changed, by the clock that never jumps.
        self._changed: dict[str, float] = {}
        self._listeners: list[Callable[[], None]] = []

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` after each change."""
        self._listeners.append(listener)

    def up(self, part: str) -> None:
        """`part` serves."""
        previous = self._states.get(part)
        if previous is None or not previous.up:
            down_for = monotonic() - self._changed.get(part, 0.0)
            self._set(part, PartState(up=True, code="", since=time()))
            if previous is not None:
                events.emit(events.PART_UP, part=part, seconds=round(down_for, 1))

    def down(self, part: str, code: str) -> None:
        """`part` does not serve, for the reason `code`."""
        previous = self._states.get(part)
        if previous is None or previous.up or previous.code != code:
            self._set(part, PartState(up=False, code=code, since=time()))
            events.emit(events.PART_DOWN, part=part, code=code)

    def note(self, part: str, about: str) -> None:
        """What `part`, which is up, says of itself; forgotten when it goes."""
        if (state := self._states.get(part)) is not None and state.up:
            self._set(part, replace(state, about=about))

    @property
    def states(self) -> Mapping[str, PartState]:
        """All parts by name."""
        return dict(self._states)

    def summary(self) -> str:
        """One line for `systemctl status`."""
        down = [f"{part} down ({state.code})" for part, state in sorted(self._states.items()) if not state.up]
        return "; ".join(down) or "all parts serve"

    def write(self, folder: Path) -> None:
        """Write the file (replaced as a whole)."""
        document = {
            "pid": os.getpid(),
            "written": round(time(), 3),
            "parts": {part: asdict(state) for part, state in self._states.items()},
        }
        new = folder / f"{FILE}.new"
        new.write_text(json.dumps(document), "utf-8")
        new.chmod(0o644)
        new.replace(folder / FILE)

    def _set(self, part: str, state: PartState) -> None:
        self._states[part] = state
        self._changed[part] = monotonic()
        for listener in self._listeners:
            listener()


def read(folder: Path) -> Mapping[str, PartState] | None:
    """What a running agent wrote into `folder`; None when none runs, or it has not written for a while."""
    try:
        document = json.loads((folder / FILE).read_text("utf-8"))
        if time() - document["written"] > FRESH or not _runs(document["pid"]):
            return None
        return {part: PartState(**state) for part, state in document["parts"].items()}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _runs(process: int) -> bool:
    """Whether there is such a process; one that was killed had no time to take its word back."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
