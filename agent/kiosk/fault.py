"""When an idle terminal must say that it cannot serve: a part that every verification needs is down, and stays down."""

from collections.abc import Mapping

from agent.health.state import PartState

#: Seconds that a part may be away before the person is sent to the staff: most come back by themselves.
GRACE = 5.0
_READER = "reader "
_NEEDED = ("clock", "camera", "broker", "issuer")


def standing_fault(states: Mapping[str, PartState], now: float) -> str:
    """The failure code that keeps the terminal from serving at `now` (Unix time), or "".

    One reader of several may be away: the others serve.
    """
    # A moment in the future is from before the clock was set back: long ago.
    away = {name: s.code for name, s in states.items() if not s.up and not 0 <= now - s.since < GRACE}
    readers = [name for name in states if name.startswith(_READER)]
    if readers and all(name in away for name in readers):
        return away[readers[0]]
    return next((away[name] for name in _NEEDED if name in away), "")
